"""Programs for `test_sync_processes`, each run in a process of its own with `host:port/chroot` as its argument."""

import functools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from coord_client.sync import Client, SessionState, connect
from coord_client.sync.recipes import Held
from coord_protocol.errors import LocalProtocolError, NodeExists

WORKERS = 2
TURNS = 10

say = functools.partial(print, flush=True)  # the tests read it


def forgets_to_close(server: str) -> None:
    """A client, a lock, and a thread that waits for what never comes are left behind."""
    client = connect(server)
    client.create("/mine", ephemeral=True)
    client.lock("/lock").__enter__()
    _, change = client.exists_and_watch("/never")
    threading.Thread(target=change.wait, daemon=True).start()


def fails_while_holding(server: str) -> None:
    """Ends with status 3."""
    client = connect(server)
    client.create("/mine", ephemeral=True)
    with client.lock("/lock"):
        sys.exit(3)


def waits_for_a_lock_until_ctrl_c(server: str) -> None:
    """Says then how many stand in the queue."""
    client = connect(server)
    try:
        with client.lock("/lock"):
            raise AssertionError("somebody else has it")
    except KeyboardInterrupt:
        say("interrupted;", len(client.get_children("/lock")), "in the queue")


def reads_events_until_ctrl_c(server: str) -> None:
    """Goes on with its client afterwards."""
    with connect(server) as client:
        try:
            with client.watch("/") as events:
                client.create("/watching")
                for event in events:
                    say(event.type.name, "of", event.path)
        except KeyboardInterrupt:
            say("interrupted;", client.state.value)


# fork.


def forks_while_holding(server: str) -> None:
    """The child is refused what is its parent's, works with a client of its own, and ends by itself."""
    with connect(server, name="parent") as client, client.states() as states:
        session_id = client.session_id
        with client.lock("/lock") as held:
            child = os.fork()
            if child == 0:
                _use_in_child(client, held)
                with connect(server, name="child") as own:
                    assert _holder(own) == ("parent", held.token)
                    own.create("/child")
                sys.exit(7)
            assert _status_of(child) == 7
            client.transaction(held.fence()).set("/child", b"seen").commit()
        assert client.session_id == session_id
        client.close()
        assert list(states) == [SessionState.CONNECTED], "the connection was disturbed"


def _holder(client: Client) -> tuple[str, int]:
    holder = client.lock("/lock").holder()
    assert holder is not None
    return holder.name, holder.token


def _use_in_child(client: Client, held: Held) -> None:
    uses: list[Callable[[], object]] = [
        lambda: client.get("/"),
        lambda: client.state,
        lambda: client.lock("/lock"),
        client.__enter__,
        held.fence,
    ]
    for use in uses:
        try:
            use()
        except LocalProtocolError as error:
            assert "connect() anew" in str(error)  # noqa: PT017  (not a test's process)
        else:
            raise AssertionError("a child has used what is its parent's")


@functools.cache
def coordination(server: str) -> Client:
    """The client of this process, as an application would keep it."""
    return connect(server)


os.register_at_fork(after_in_child=coordination.cache_clear)


def hands_work_to_a_pool(server: str) -> None:
    """Of processes that `multiprocessing` forks."""
    coordination(server).create("/jobs")
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        created = pool.map(_create_job, [server] * TURNS)
        pool.close()
        pool.join()
    assert sorted(created) == [f"/jobs/n-{number:010}" for number in range(TURNS)]
    assert coordination(server).get_children("/sessions") == [], "a worker's session was not closed"


def _create_job(server: str) -> str:
    client = coordination(server)
    client.ensure_path("/sessions")
    with suppress(NodeExists):  # when it is not our first job
        client.create(f"/sessions/{os.getpid()}", ephemeral=True)
    return client.create("/jobs/n-", sequence=True)


def serves_with_forked_workers(server: str) -> None:
    """As gunicorn does: the application is loaded before the fork, workers are ended by SIGTERM."""
    master = coordination(server)
    master.create("/sum", b"0")
    master.create("/done")
    workers = [_start_worker(server) for _ in range(WORKERS)]
    while len(master.get_children("/done")) < WORKERS:
        pass
    assert master.get("/sum").data == b"%d" % (WORKERS * TURNS)
    for worker in workers:
        os.kill(worker, signal.SIGTERM)
    assert [_status_of(worker) for worker in workers] == [0] * WORKERS
    assert master.get_children("/done") == [], "a worker's session was not closed"


def _start_worker(server: str) -> int:
    worker = os.fork()
    if worker:
        return worker

    def on_term(number: int, frame: object) -> NoReturn:
        sys.exit(0)

    signal.signal(signal.SIGTERM, on_term)
    client = coordination(server)
    for _ in range(TURNS):
        with client.lock("/lock", timeout=10.0):
            data, _ = client.get("/sum")
            client.set("/sum", b"%d" % (int(data) + 1))
    client.create(f"/done/{os.getpid()}", ephemeral=True)
    _, change = client.exists_and_watch("/never")
    change.wait()
    raise AssertionError("nothing comes but SIGTERM")


def _status_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
