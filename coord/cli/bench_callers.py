"""One process whose callers each do one operation after another: coord's client or kazoo, as a user has them.

    python -m coord.cli.bench_callers CLIENT WHAT SERVERS SECONDS      prints one line of JSON

CLIENT is `trio`, `asyncio`, `threads` (coord_client) or `kazoo`; in the last two each caller is a thread. WHAT is
`get`, `set` or `hand-off`.
The first two measure operations of 64 callers on one session. `hand-off` has ten contenders, each with a session of
its own, pass one lock around: from the moment before its holder lets go to the moment when the next one has it.
"""

import itertools
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

import anyio

from coord.cli.bench_histogram import Histogram
from coord_client import Client, connect

CALLERS: Final = 64
CONTENDERS: Final = 10
ZNODES: Final = 1000
VALUE: Final = bytes(100)
WARM_UP: Final = 1.0  # seconds before anything counts
ROOT: Final = "/bench-callers"
LOCK: Final = f"{ROOT}/lock"
SESSION_TIMEOUT: Final = 30.0


@dataclass(frozen=True, slots=True)
class Work:
    """What the callers of one process have done."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """Processor time of the process for one operation."""


class Stopwatch:
    """Counts operations and their latencies between the end of the warm-up and the end."""

    def __init__(self, seconds: float) -> None:
        self._histogram = Histogram()
        self._begin_ns = time.perf_counter_ns() + int(WARM_UP * 1e9)
        self._end_ns = self._begin_ns + int(seconds * 1e9)
        self._cpu_at_begin = 0.0
        self._cpu_at_end = 0.0

    def count(self, began_ns: int) -> bool:
        """An operation that began then has just ended. False once the time is over."""
        now = time.perf_counter_ns()
        if now < self._begin_ns:
            return True
        if not self._cpu_at_begin:
            self._cpu_at_begin = time.process_time()
        if now >= self._end_ns:
            self._cpu_at_end = self._cpu_at_end or time.process_time()
            return False
        self._histogram.add(now - began_ns, 1)
        return True

    def work(self) -> Work:
        count = self._histogram.count
        assert count, "nothing was done"
        return Work(
            per_second=count / (self._end_ns - self._begin_ns) * 1e9,
            p50_ms=self._histogram.quantile(0.5) / 1e6,
            p99_ms=self._histogram.quantile(0.99) / 1e6,
            cpu_us=(self._cpu_at_end - self._cpu_at_begin) / count * 1e6,
        )


def paths_of(caller: int) -> Iterator[str]:
    """Where a caller reads or writes, again and again: each starts elsewhere."""
    numbers = [(caller * ZNODES // CALLERS + step) % ZNODES for step in range(ZNODES)]
    return itertools.cycle([f"{ROOT}/{number}" for number in numbers])


# With coord's client.


async def operations(servers: str, what: str, seconds: float) -> Work:
    async with connect(servers, session_timeout=SESSION_TIMEOUT) as client:
        await prepare(client)
        stopwatch = Stopwatch(seconds)

        async def call(caller: int) -> None:
            now = time.perf_counter_ns
            for path in paths_of(caller):
                began = now()
                if what == "get":
                    await client.get(path)
                else:
                    await client.set(path, VALUE)
                if not stopwatch.count(began):
                    return

        async with anyio.create_task_group() as tasks:
            for caller in range(CALLERS):
                tasks.start_soon(call, caller)
        return stopwatch.work()


async def prepare(client: Client) -> None:
    await client.ensure_path(ROOT)
    have = set(await client.get_children(ROOT))
    transaction = client.transaction()
    for number in range(ZNODES):
        if str(number) not in have:
            transaction.create(f"{ROOT}/{number}", VALUE)
    await transaction.commit()


async def hand_offs(servers: str, what: str, seconds: float) -> Work:
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connect(servers, session_timeout=SESSION_TIMEOUT))
            for _ in range(CONTENDERS)
        ]
        stopwatch = Stopwatch(seconds)
        released_at = 0

        async def contend(client: Client) -> None:
            nonlocal released_at
            lock = client.lock(LOCK)
            is_going_on = True
            while is_going_on:
                async with lock:
                    if released_at:
                        is_going_on = stopwatch.count(released_at)
                    released_at = time.perf_counter_ns()

        async with anyio.create_task_group() as tasks:
            for client in clients:
                tasks.start_soon(contend, client)
        return stopwatch.work()


# In threads, with kazoo or with ours: the calls have the same names.


def operations_in_threads(
    open_client: Callable[[str], AbstractContextManager[Any]], servers: str, what: str, seconds: float
) -> Work:
    anyio.run(_prepare, servers)
    with open_client(servers) as client:
        stopwatch = Stopwatch(seconds)

        def call(caller: int) -> None:
            now = time.perf_counter_ns
            for path in paths_of(caller):
                began = now()
                if what == "get":
                    client.get(path)
                else:
                    client.set(path, VALUE)
                if not stopwatch.count(began):
                    return

        _in_threads([partial(call, caller) for caller in range(CALLERS)])
        return stopwatch.work()


async def _prepare(servers: str) -> None:
    async with connect(servers) as client:
        await prepare(client)


def hand_offs_in_threads(
    open_client: Callable[[str], AbstractContextManager[Any]],
    lock_of: Callable[[Any], Any],
    servers: str,
    seconds: float,
) -> Work:
    with ExitStack() as stack:
        clients = [stack.enter_context(open_client(servers)) for _ in range(CONTENDERS)]
        stopwatch = Stopwatch(seconds)
        released_at = [0]

        def contend(client: Any) -> None:
            lock = lock_of(client)
            is_going_on = True
            while is_going_on:
                with lock:
                    if released_at[0]:
                        is_going_on = stopwatch.count(released_at[0])
                    released_at[0] = time.perf_counter_ns()

        _in_threads([partial(contend, client) for client in clients])
        return stopwatch.work()


@contextmanager
def open_kazoo(servers: str) -> Iterator[Any]:
    from kazoo.client import KazooClient  # noqa: PLC0415  (only who compares needs it)

    client = KazooClient(servers, timeout=SESSION_TIMEOUT)
    client.start()
    try:
        yield client
    finally:
        client.stop()
        client.close()


def open_ours(servers: str) -> AbstractContextManager[Any]:
    from coord_client import sync  # noqa: PLC0415  (as above)

    return sync.connect(servers, session_timeout=SESSION_TIMEOUT)


def _in_threads(functions: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def work(client: str, what: str, servers: str, seconds: float) -> Work:
    """Do it, in this process."""
    is_hand_off = what == "hand-off"
    if client in {"kazoo", "threads"}:
        open_client = open_kazoo if client == "kazoo" else open_ours
        if is_hand_off:
            lock_of = (lambda each: each.Lock(LOCK)) if client == "kazoo" else (lambda each: each.lock(LOCK))
            return hand_offs_in_threads(open_client, lock_of, servers, seconds)
        return operations_in_threads(open_client, servers, what, seconds)
    function: Callable[[str, str, float], Awaitable[Work]] = hand_offs if is_hand_off else operations
    return anyio.run(function, servers, what, seconds, backend=client)


if __name__ == "__main__":
    _client, _what, _servers, _seconds = sys.argv[1:]
    print(json.dumps(asdict(work(_client, _what, _servers, float(_seconds)))))
