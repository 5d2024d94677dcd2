"""The stubs of `coord_client.sync`: up to date, and of use to a type checker."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import assert_type

import coord_client.sync
from coord_client.sync import Change, Client, Stat, Transaction, WatchStream, Znode
from coord_client.sync.recipes import Contender, Held, Lock
from tests.client.sync_stubs import Stubs


def test_the_stubs_are_what_the_rule_makes_of_the_async_classes() -> None:
    stale = [path.name for path, text in Stubs().written().items() if not path.exists() or path.read_text() != text]

    assert stale == [], "run `uv run python -m tests.client.sync_stubs`"


def test_what_the_stubs_promise_is_there() -> None:
    """Names, and the parameters of functions, as a program finds them."""
    for name in coord_client.sync.__all__:
        assert getattr(coord_client.sync, name) is not None
    for function in ("get", "create", "watch", "lock", "close"):
        assert callable(getattr(Client, function))
    assert Client.get.__doc__ == "Data and `Stat`. Raises `NoNode`."
    assert (Client.watch.__doc__ or "").startswith("`with client.watch(path) as events: for event in events")


def what_a_type_checker_knows(client: Client, lock: Lock) -> None:
    """Never called: mypy reads it."""
    assert_type(client.get("/a"), Znode)
    assert_type(client.create("/a"), str)
    assert_type(client.create("/a", include_stat=True), tuple[str, Stat])
    assert_type(client.get_and_watch("/a")[1], Change)
    assert_type(client.watch("/a"), AbstractContextManager[WatchStream])
    assert_type(client.transaction().set("/a", b""), Transaction)
    assert_type(client.election("/a").watch_leader(), AbstractContextManager[Iterator[Contender | None]])
    assert_type(lock.holder(), Contender | None)
    assert_type(lock.name, str)
    with lock as held:
        assert_type(held, Held)
        assert_type(held.token, int)
