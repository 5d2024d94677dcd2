"""A queue from which each item goes to one consumer, at most once.

    queue = Queue(client, "/mails")
    await queue.put(b"to: alice", priority=50)      # 0 goes first, 999 last

    mail = await queue.get(timeout=10)              # None if there was nothing to get in time

An item leaves the queue before its consumer has it: one that dies then takes the item with it. Where this
must not be, take `LockingQueue`.

Items are znodes `entry-<priority>-<number>` below the path, as kazoo's `Queue` has them, so that both can put
and get; Curator's queues wrap their items in a format of their own. Lower priorities first, within one the
order in which they came. A `get` lists the queue: make it no longer than some thousand items.

Lost answers: a put or get happens once, because it leaves a receipt (`coord_client.receipts`) in its
transaction. Only if the session ends, or no server is reached, before the outcome is known, the error
(`SessionExpired`, `ConnectionLost`) says with `definite` False that it may have happened: the item may be in
the queue, or is lost if it was a get. So may be the item of a `get` that is cancelled while it takes one;
its own `timeout` never does this. A session's end changes nothing else: items are nobody's, and who waits
goes on in the next session. Fairness: none among consumers; each that waits is woken by each put.
"""

import re
from contextlib import suppress
from typing import Final

import anyio

from coord_client.client import Client
from coord_client.retry import until_answered
from coord_client.transaction import Create, Delete
from coord_protocol.errors import BadArguments, NoNode, SessionExpired
from coord_protocol.paths import join

DEFAULT_PRIORITY: Final = 100  # kazoo's
LAST_PRIORITY: Final = 999  # three digits, so that names sort as numbers do
_is_entry: Final = re.compile(r"entry-\d{3}-.+").fullmatch


def entry_prefix(priority: int) -> str:
    """The name of an entry, up to its number. Raises `BadArguments` for what is no priority.

    >>> entry_prefix(7)
    'entry-007-'
    """
    if not 0 <= priority <= LAST_PRIORITY:
        raise BadArguments(detail=f"a priority is a number from 0 to {LAST_PRIORITY}, not {priority}")
    return f"entry-{priority:03d}-"


def in_order(names: list[str]) -> list[str]:
    """The entries among `names`, first the one to take first.

    >>> in_order(["entry-100-0000000002", "notes", "entry-050-0000000003", "entry-100-0000000001"])
    ['entry-050-0000000003', 'entry-100-0000000001', 'entry-100-0000000002']
    """
    return sorted(name for name in names if _is_entry(name))


class Queue:
    """See the module's head."""

    def __init__(self, client: Client, path: str) -> None:
        self.path = path
        self._client = client

    async def put(self, value: bytes, priority: int = DEFAULT_PRIORITY) -> None:
        """Return when the item is in the queue for good. Makes missing parents."""
        entry = Create(join(self.path, entry_prefix(priority)), value, sequence=True)
        while True:
            try:
                await self._client.receipts.commit(entry)
                return
            except NoNode:
                await until_answered(lambda: self._client.ensure_path(self.path))

    async def get(self, timeout: float | None = None) -> bytes | None:
        """The first item, waiting for one if need be. None if there is none after `timeout` seconds; 0: only look."""
        deadline = float("inf") if timeout is None else anyio.current_time() + timeout
        names = await self._entries()
        while True:
            for name in names:
                value = await self._take(name)
                if value is not None:
                    return value
            names = []
            with anyio.CancelScope(deadline=deadline):
                names = await self._wait_for_entries()
            if not names:
                return None

    async def size(self) -> int:
        """How many items wait to be taken."""
        return len(await self._entries())

    async def _entries(self) -> list[str]:
        try:
            return in_order(await self._client.get_children(self.path))
        except NoNode:
            return []

    async def _wait_for_entries(self) -> list[str]:
        while True:
            try:
                names, change = await self._client.get_children_and_watch(self.path)
            except NoNode:
                await until_answered(lambda: self._client.ensure_path(self.path))
                continue
            try:
                if entries := in_order(names):
                    return entries
                with suppress(SessionExpired):
                    await change.wait()
            finally:
                change.cancel()

    async def _take(self, name: str) -> bytes | None:
        """None if somebody else was faster."""
        path = join(self.path, name)
        try:
            value, _ = await self._client.get(path)
            await self._client.receipts.commit(Delete(path))
        except NoNode:
            return None
        return value
