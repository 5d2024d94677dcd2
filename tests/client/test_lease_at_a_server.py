"""Leases at a real server: what its own clock, its log and its rules about operators say."""

import time
from collections.abc import Awaitable, Callable

import anyio
import pytest

from coord_client import Client, Lease, LeaseKey
from coord_protocol.errors import LeaseLost, NodeExists, NoLease, SessionExpired
from tests.client.relay import relaying
from tests.client.ways import World, in_every_way


async def hold_until_lost(client: Client, ttl: float, lose: Callable[[Lease], Awaitable[None]]) -> float:
    """Hold a lease, do what loses it, and wait for what never comes. Returns when the body was over."""
    over_at: list[float] = []

    async def work() -> None:
        _, change = await client.exists_and_watch("/never")
        async with client.lease(ttl) as lease:
            try:
                await lose(lease)
                await change.wait()
            finally:
                over_at.append(time.monotonic())

    with anyio.fail_after(20), pytest.raises(LeaseLost):
        await work()
    return over_at[0]


async def create_in_turn(client: Client, lease: Lease, path: str) -> None:
    """Wait until nobody else has the path."""
    while True:
        try:
            await lease.create(path)
            return
        except NodeExists:
            stat, change = await client.exists_and_watch(path)
            if stat is not None:
                await change.wait()


@in_every_way(extensions=True)
async def test_a_lease_has_znodes_and_everybody_sees_it(world: World) -> None:
    async with world.connect(name="worker 7") as client, world.connect() as other:
        async with client.lease(ttl=20.0, name="nightly", meta=b"db7") as lease:
            assert await lease.create("/jobs/owner", b"1", make_parents=True) == "/jobs/owner"
            numbered, stat = await lease.create("/jobs/n-", sequence=True, include_stat=True)
            assert (numbered, stat.ephemeral_owner) == ("/jobs/n-0000000001", lease.id)
            assert 0 < lease.remaining() <= 20.0

            assert lease.id in [info.lease_id for info in await other.leases("lease")]
            info = await other.lease_info(lease.id)
            assert (info.name, info.kind, info.ttl_ms, info.meta) == ("nightly", "lease", 20_000, b"db7")
            assert info.keys == [f"{world.root}/jobs/owner", f"{world.root}/jobs/n-0000000001"]
            await client.transaction(lease.fence(numbered)).set("/jobs", b"done").commit()

        assert await client.get_children("/jobs") == []
        with pytest.raises(NoLease):
            await other.lease_info(lease.id)


@in_every_way(extensions=True)
async def test_a_lease_outlives_its_session(world: World) -> None:
    """An operator ends the session; the client gets a new one, and the body hears nothing."""
    async with world.connect() as client, world.connect() as operator:
        session_id = client.session_id
        async with client.lease(ttl=2.0) as lease:
            await lease.create("/owner")
            await client.create("/session", ephemeral=True)
            with client.states() as states:
                await operator.end_lease(session_id)
                seen = [(await anext(states)).value for _ in range(4)]
            assert seen == ["connected", "suspended", "lost", "connected"]
            await anyio.sleep(2.5)  # longer than it would last by itself

            assert client.session_id != session_id
            assert await operator.exists("/owner")
            assert await operator.exists("/session") is None


@in_every_way(extensions=True)
async def test_a_detached_lease_is_taken_up_by_its_key(world: World) -> None:
    async with world.connect() as client, client.lease(ttl=5.0, name="nightly") as lease:
        await lease.create("/owner")
        stored = str(lease.detach())

    key = LeaseKey.parse(stored)
    async with world.connect() as client:
        with pytest.raises(NoLease):
            await client.resume_lease(LeaseKey(key.id, bytes(16))).__aenter__()
        assert await client.exists("/owner")
        async with client.resume_lease(key) as resumed:
            assert (resumed.id, resumed.name, resumed.ttl) == (key.id, "nightly", 5.0)
            await client.create("/more", lease=key)
        assert await client.get_children("/") == []


@in_every_way(extensions=True)
async def test_an_operator_ends_a_lease_and_its_holder_is_cancelled(world: World) -> None:
    async with world.connect() as client, world.connect() as operator:

        async def lose(lease: Lease) -> None:
            await operator.end_lease(lease.id)

        started_at = time.monotonic()
        assert await hold_until_lost(client, 6.0, lose) < started_at + 6.0, "with the next keep-alive"
        with pytest.raises(NoLease):
            await operator.end_lease(4711)


@in_every_way(extensions=True)
async def test_the_client_of_a_session_that_an_operator_ends_is_told_so(world: World) -> None:
    async with world.connect() as client, world.connect() as operator:
        _, change = await client.exists_and_watch("/a")
        await operator.end_lease(client.session_id)

        with anyio.fail_after(10), pytest.raises(SessionExpired):
            await change.wait()


@in_every_way(extensions=True)
async def test_a_path_never_has_two_holders(world: World) -> None:
    """The first one's keep-alives are held up: the second gets the path, but after the first one's body is over."""
    over_at = 0.0
    is_held = anyio.Event()

    async def isolate(lease: Lease) -> None:
        await lease.create("/owner")
        relay.hold()
        is_held.set()

    async def first(client: Client) -> None:
        nonlocal over_at
        over_at = await hold_until_lost(client, 2.0, isolate)

    with relaying(world.server) as relay:
        far = f"{relay.address}{world.root}"
        async with world.connect() as near, world.connect_to(far) as isolated, anyio.create_task_group() as tasks:
            tasks.start_soon(first, isolated)
            await is_held.wait()
            async with near.lease(ttl=5.0) as lease:
                with anyio.fail_after(10):
                    await create_in_turn(near, lease, "/owner")
                begun_at = time.monotonic()

    assert 0.0 < over_at < begun_at
