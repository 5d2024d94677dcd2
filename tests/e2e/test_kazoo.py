"""kazoo, unmodified, while leaders are killed and come back: its recipes keep what they promise."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss, KazooException
from kazoo.recipe.queue import LockingQueue
from kazoo.retry import KazooRetry

from coord import Cluster
from coord.local.cluster import LocalCluster
from tests.e2e.clusters import PATIENCE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SESSION_TIMEOUT = 6.0
KILLS = 2


@contextmanager
def client_of(cluster: Cluster | LocalCluster) -> Iterator[KazooClient]:
    client = KazooClient(
        cluster.servers,
        timeout=SESSION_TIMEOUT,
        connection_retry=KazooRetry(max_tries=-1, delay=0.05, max_delay=0.5),
        command_retry=KazooRetry(max_tries=-1, delay=0.05, max_delay=0.5),
        randomize_hosts=True,
    )
    client.start(timeout=20)
    try:
        yield client
    finally:
        client.stop()
        client.close()


@contextmanager
def beside(over: threading.Event, *functions: Callable[[], None]) -> Iterator[None]:
    """Functions in threads of their own, for as long as the scope; then `over` tells them to end."""
    with ThreadPoolExecutor(len(functions)) as pool:
        running = [pool.submit(function) for function in functions]
        try:
            yield
        finally:
            over.set()
        for function in running:
            function.result()


def until(condition: Callable[[], bool]) -> None:
    """Wait until it is so. Fails after `PATIENCE`."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def kill_leaders(cluster: Cluster, between: Callable[[int], None]) -> None:
    """Kill the leader, wait until the others serve, start it again; `KILLS` times."""
    for kill in range(KILLS):
        leader = cluster.leader()
        cluster.kill(leader)
        cluster.leader()
        between(kill)
        cluster.start(leader)


def test_a_lock_has_one_holder_and_goes_on_after_the_leader(coord_cluster: Cluster) -> None:
    holders: list[str] = []
    at_once: list[int] = []
    turns = {"a": 0, "b": 0, "c": 0}
    over = threading.Event()

    def contend(name: str) -> None:
        with client_of(coord_cluster) as client:
            lock = client.Lock("/lock", name)
            while not over.is_set():
                try:
                    with lock:
                        holders.append(name)
                        at_once.append(len(holders))
                        turns[name] += 1
                        over.wait(0.02)
                        holders.remove(name)
                except KazooException:
                    continue

    def until_each_had(more: int) -> None:
        before = dict(turns)
        until(lambda: all(turns[name] >= before[name] + more for name in turns))

    with beside(over, *(partial(contend, name) for name in turns)):
        until_each_had(2)
        kill_leaders(coord_cluster, lambda kill: until_each_had(2))
    assert max(at_once) == 1


def test_an_election_is_won_by_one_at_a_time(coord_cluster: Cluster) -> None:
    leading: list[str] = []
    reigns: list[str] = []
    at_once: list[int] = []
    over = threading.Event()

    def stand(name: str) -> None:
        def lead() -> None:
            leading.append(name)
            at_once.append(len(leading))
            reigns.append(name)
            over.wait(0.3)
            leading.remove(name)

        with client_of(coord_cluster) as client:
            election = client.Election("/election", name)
            while not over.is_set():
                try:
                    election.run(lead)
                except KazooException:
                    continue

    def until_three_reigned(kill: int) -> None:
        goal = len(reigns) + 3
        until(lambda: len(reigns) >= goal)

    with beside(over, partial(stand, "a"), partial(stand, "b")):
        kill_leaders(coord_cluster, until_three_reigned)
    assert max(at_once) == 1
    assert set(reigns) == {"a", "b"}


def test_a_party_loses_nobody_who_is_alive(coord_cluster: Cluster) -> None:
    with client_of(coord_cluster) as first, client_of(coord_cluster) as second:
        parties = [client.Party("/party", name) for client, name in ((first, "one"), (second, "two"))]
        for party in parties:
            party.join()
        sessions = [first.client_id[0], second.client_id[0]]

        def check(kill: int) -> None:
            assert sorted(parties[kill % 2]) == ["one", "two"]

        kill_leaders(coord_cluster, check)
        assert [first.client_id[0], second.client_id[0]] == sessions, "a session survives its server"


def test_a_queue_loses_no_item(coord_cluster: Cluster) -> None:
    """kazoo's LockingQueue: an item is gone only when its consumer was told so, or could not be.

    A consumer of kazoo's that does not hear whether it took or consumed an item holds it, without knowing, for as long
    as its session lasts. So a consumer that is in doubt, or finds nothing for a while, begins a new life.
    """
    items = [b"%d" % number for number in range(40)]
    taken: list[bytes] = []
    doubtful: set[bytes] = set()
    enough = threading.Event()

    def consume() -> None:
        while not enough.is_set():
            with client_of(coord_cluster) as client:
                live(client.LockingQueue("/queue"))

    def live(queue: LockingQueue) -> None:
        item = None
        try:
            while (item := queue.get(timeout=0.5)) is not None:
                if queue.consume():
                    taken.append(item)
        except ConnectionLoss:
            if item is not None:
                doubtful.add(item)

    with client_of(coord_cluster) as producer:
        queue = producer.LockingQueue("/queue")
        half = len(items) // KILLS

        def produce(kill: int) -> None:
            for item in items[kill * half : (kill + 1) * half]:
                producer.retry(queue.put, item)

        with beside(enough, consume, consume):
            kill_leaders(coord_cluster, produce)
            until(lambda: doubtful.union(taken) == set(items))
    assert len(doubtful) <= 2 * KILLS
    assert len(taken) == len(set(taken))


def test_a_counter_loses_no_acknowledged_addition(coord_cluster: Cluster) -> None:
    added = unsure = 0
    over = threading.Event()

    def count() -> None:
        nonlocal added, unsure
        with client_of(coord_cluster) as client:
            counter = client.Counter("/counter")
            while not over.is_set():
                try:
                    counter += 1
                    added += 1
                except ConnectionLoss:
                    unsure += 1

    def until_more_are_added(kill: int) -> None:
        before = added
        until(lambda: added > before + 20)

    with beside(over, count):
        kill_leaders(coord_cluster, until_more_are_added)

    with client_of(coord_cluster) as client:
        value = client.Counter("/counter").value
    # kazoo's own retries may add twice where a reply was lost, but never takes back what it said was done.
    assert added <= value <= added + unsure + 2 * KILLS


def test_a_data_watch_sees_the_last_value_of_every_reign(coord_cluster: Cluster) -> None:
    seen: list[bytes] = []

    with client_of(coord_cluster) as watcher, client_of(coord_cluster) as writer:
        watcher.ensure_path("/watched")
        watcher.DataWatch("/watched", lambda data, stat: seen.append(data))

        def write(kill: int) -> None:
            writer.retry(writer.set, "/watched", b"%d" % kill)
            until(lambda: bool(seen) and seen[-1] == b"%d" % kill)

        kill_leaders(coord_cluster, write)
    numbers = [int(value) for value in seen if value]
    assert numbers == sorted(numbers), "never back"
