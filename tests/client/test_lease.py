"""Leases in virtual time: kept alive together, whatever breaks, and ended or taken up again as their holders like."""

import anyio
import pytest

from coord_client import Client, LeaseKey
from coord_protocol.errors import (
    ConnectionLost,
    ExtensionError,
    ExtensionUnavailable,
    LocalProtocolError,
    NodeExists,
    NoLease,
    NoNode,
)
from coord_protocol.extensions import LeaseKeepAliveRequest
from coord_protocol.requests import OpCode
from tests.client.backends import on_both_backends
from tests.client.keeper import Action, Keeper, Once
from tests.client.opening import client_of, cut


def keep_alives(keeper: Keeper) -> list[list[int]]:
    """The ids in each keep-alive that came."""
    return [
        [one.lease_id for one in record.leases]
        for _, record in keeper.seen
        if isinstance(record, LeaseKeepAliveRequest)
    ]


# What it is.


@on_both_backends
async def test_a_lease_lives_on_for_as_long_as_its_scope() -> None:
    keeper = Keeper()
    async with keeper.expiring_in_time(), client_of(keeper, name="worker 7") as client:
        async with client.lease(9.0, meta=b"db7") as lease:
            await lease.create("/owner")
            await anyio.sleep(100.0)

            (info,) = await client.leases("lease")
            assert info == await client.lease_info(lease.id)
            assert (info.name, info.ttl_ms, info.keys, info.meta) == ("worker 7", 9000, ["/owner"], b"db7")
            assert (lease.name, lease.ttl, lease.id) == ("worker 7", 9.0, info.lease_id)

        assert await client.exists("/owner") is None, "leaving revokes it, and its znodes are gone at once"
        with pytest.raises(NoLease):
            await client.lease_info(lease.id)


@on_both_backends
async def test_leaving_with_an_error_revokes_it_too() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.lease():
                raise ZeroDivisionError

        assert keeper.leases.table == {}


@on_both_backends
async def test_the_time_left_counts_from_the_sending_of_what_was_confirmed() -> None:
    """Not from its answer: the server's clock for the lease may have started right after it was sent."""
    keeper = Keeper()
    async with client_of(keeper, timeout=60.0) as client:
        sent_at = anyio.current_time()
        keeper.is_silent = True
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(heal_after, keeper, 2.0)
            async with client.lease(10.0) as lease:
                assert anyio.current_time() - sent_at == pytest.approx(2.0)
                assert lease.deadline == pytest.approx(sent_at + 9.5)
                assert lease.remaining() == pytest.approx(7.5)

                await anyio.sleep(3.0)  # past the first keep-alive

                assert lease.deadline == pytest.approx(sent_at + 10 / 3 + 9.5)


async def heal_after(keeper: Keeper, seconds: float) -> None:
    await anyio.sleep(seconds)
    keeper.heal()


@on_both_backends
async def test_a_ttl_that_the_server_refuses() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        with pytest.raises(ExtensionError):
            await client.lease(0.5).__aenter__()
        with pytest.raises(LocalProtocolError, match="not inf"):
            await client.lease(float("inf")).__aenter__()


@on_both_backends
async def test_a_plain_zookeeper_is_told_nothing_that_it_does_not_know() -> None:
    keeper = Keeper(extensions=False)
    async with client_of(keeper) as client:
        with pytest.raises(ExtensionUnavailable, match="LEASE_GRANT"):
            await client.lease().__aenter__()
        with pytest.raises(ExtensionUnavailable, match="CREATE_WITH_LEASE"):
            await client.create("/a", lease=LeaseKey(7, bytes(16)))
        with pytest.raises(ExtensionUnavailable, match="END_LEASE"):
            await client.end_lease(7)

        assert keeper.count(OpCode.LEASE_GRANT) == 0


# Its znodes.


@on_both_backends
async def test_znodes_of_a_lease() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client, client.lease() as lease:
        assert await lease.create("/a/b/c", b"1", make_parents=True) == "/a/b/c"
        assert await lease.create("/a/n-", sequence=True) == "/a/n-0000000001"
        path, stat = await lease.create("/a/d", include_stat=True)

        assert (path, stat.ephemeral_owner) == ("/a/d", lease.id)
        with pytest.raises(NodeExists):
            await lease.create("/a/d")
        with pytest.raises(LocalProtocolError, match="either"):
            await client.create("/a/e", ephemeral=True, lease=lease.key)


@on_both_backends
async def test_a_create_whose_answer_is_lost_may_have_happened() -> None:
    """As `Client.create`: the znode tells whose it is."""
    keeper = Keeper()
    async with client_of(keeper) as client, client.lease() as lease:
        keeper.on_request = Once(Action.CUT_AFTER, OpCode.CREATE_WITH_LEASE)

        with pytest.raises(ConnectionLost) as lost:
            await lease.create("/owner")

        assert not lost.value.definite
        stat = await client.exists("/owner")
        assert stat is not None
        assert stat.ephemeral_owner == lease.id


@on_both_backends
async def test_a_fence_refuses_what_comes_after_the_end() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        await client.create("/report")
        async with client.lease() as lease:
            fence = lease.fence(await lease.create("/turn-", sequence=True))
            await client.set(fence.path, b"what its holder notes there is no matter")
            await client.transaction(fence).set("/report", b"1").commit()
            with pytest.raises(LocalProtocolError, match="others may create it"):
                lease.fence("/turn")

        with pytest.raises(NoNode) as refused:
            await client.transaction(fence).set("/report", b"stale").commit()

        assert refused.value.op_index == 0
        assert keeper.znodes["/report"].data == b"1"


# What it outlives.


@on_both_backends
async def test_the_body_hears_nothing_of_broken_connections() -> None:
    keeper = Keeper()
    async with keeper.expiring_in_time(), client_of(keeper) as client, client.lease(9.0) as lease:
        await lease.create("/owner")
        for _ in range(10):
            await anyio.sleep(3.0)
            keeper.is_reachable = False
            keeper.cut_all()
            await anyio.sleep(3.0)
            keeper.is_reachable = True

        assert await client.exists("/owner")


@on_both_backends
async def test_a_lease_outlives_the_session_it_was_granted_to() -> None:
    keeper = Keeper()
    async with keeper.expiring_in_time(), client_of(keeper) as client, client.lease(9.0) as lease:
        await lease.create("/owner")
        session_id = client.session_id
        keeper.expire(session_id)
        await anyio.sleep(60.0)

        assert client.session_id not in (0, session_id)
        assert await client.exists("/owner")


@on_both_backends
async def test_a_server_that_falls_silent_is_left_for_another_before_the_lease_is_lost() -> None:
    """The session, which lasts longer, would wait for it for forty seconds."""
    keeper = Keeper()
    async with keeper.expiring_in_time(), client_of(keeper, timeout=60.0) as client, client.lease(9.0):
        for number in range(5):
            await anyio.sleep(3.5)
            keeper.links[-1].label = f"silent {number}"
            keeper.cut_off.add(keeper.links[-1].label)
            await anyio.sleep(10.0)

        assert [address.host for address in keeper.dialled] == ["a", "b", "a", "b", "a", "b"]


@pytest.mark.parametrize("action", [Action.CUT_BEFORE, Action.CUT_AFTER])
@pytest.mark.parametrize("opcode", [OpCode.LEASE_GRANT, OpCode.LEASE_KEEP_ALIVE, OpCode.LEASE_REVOKE])
def test_lost_answers_to_what_can_be_repeated_do_not_matter(action: Action, opcode: OpCode) -> None:
    @on_both_backends
    async def story() -> None:
        keeper = Keeper()
        keeper.on_request = Once(action, opcode)
        async with keeper.expiring_in_time(), client_of(keeper) as client:
            async with client.lease(9.0) as lease:
                await lease.create("/owner")
                await anyio.sleep(20.0)
            await anyio.sleep(5.0)
            with pytest.raises(NoLease):
                await client.lease_info(lease.id)

    for backend in ("trio", "asyncio"):
        story(backend)


@on_both_backends
async def test_a_keep_alive_that_the_server_refuses_is_tried_again_soon() -> None:
    """A server that is overloaded, say, answers, but not with what we asked for."""
    keeper = Keeper()
    async with keeper.expiring_in_time(), client_of(keeper) as client, client.lease(9.0) as lease:
        keeper.leases.refuses_keep_alives = True
        await anyio.sleep(4.0)
        keeper.leases.refuses_keep_alives = False
        await anyio.sleep(20.0)

        assert lease.remaining() > 0
        assert 2 <= len(keep_alives(keeper)) < 20


@on_both_backends
async def test_without_a_connection_a_lease_is_revoked_after_the_reconnect() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        async with client.lease(60.0) as lease:
            await lease.create("/owner")
            keeper.is_reachable = False
            cut(keeper, client)
            await anyio.sleep(1.0)
            left_at = anyio.current_time()
        assert anyio.current_time() == left_at, "nobody waits for a server that is not there"

        keeper.is_reachable = True
        await anyio.sleep(5.0)

        assert await client.exists("/owner") is None


# Taking it up again.


@on_both_backends
async def test_a_detached_lease_is_taken_up_elsewhere() -> None:
    keeper = Keeper()
    async with keeper.expiring_in_time():
        async with client_of(keeper) as client, client.lease(9.0, name="nightly") as lease:
            await lease.create("/owner")
            stored = str(lease.detach())
        await anyio.sleep(5.0)

        async with client_of(keeper) as client:
            async with client.resume_lease(LeaseKey.parse(stored)) as resumed:
                assert (resumed.id, resumed.name, resumed.ttl) == (lease.id, "nightly", 9.0)
                assert resumed.remaining() == pytest.approx(9.0 * 0.95)
                await anyio.sleep(60.0)
                assert await client.exists("/owner")

            assert await client.exists("/owner") is None


@on_both_backends
async def test_a_detached_lease_ends_by_itself() -> None:
    keeper = Keeper()
    async with keeper.expiring_in_time(), client_of(keeper) as client:
        async with client.lease(9.0) as lease:
            key = lease.detach()
        await anyio.sleep(8.9)
        assert await client.lease_info(lease.id)
        await anyio.sleep(0.2)

        with pytest.raises(NoLease, match="ended"):
            await client.resume_lease(key).__aenter__()


@on_both_backends
async def test_a_wrong_secret_takes_up_nothing() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client, client.lease() as lease:
        with pytest.raises(NoLease, match=f"{lease.id:#x} has ended, or") as refused:
            await client.resume_lease(LeaseKey(lease.id, bytes(16))).__aenter__()

        assert bytes(16).hex() not in str(refused.value)


def test_a_key_is_stored_as_text_and_keeps_its_secret_to_itself() -> None:
    key = LeaseKey(0x1A2B, bytes(range(16)))

    assert str(key) == "1a2b-000102030405060708090a0b0c0d0e0f"
    assert LeaseKey.parse(f"{key}\n") == key
    assert "0102" not in repr(key)
    for text in ("", "1a2b", "1a2b-00", f"-{key}", f"0-{key.secret.hex()}", str(key).replace("-", " ")):
        with pytest.raises(LocalProtocolError, match="32 hex digits"):
            LeaseKey.parse(text)


# Many of them.


@on_both_backends
async def test_all_leases_of_a_client_are_kept_alive_by_one_request() -> None:
    """Granted at different times, they fall into step; those of another length come along when it is time."""
    keeper = Keeper()
    async with keeper.expiring_in_time(), client_of(keeper) as client, anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(hold, client, 9.0)
            await anyio.sleep(0.05 * (number % 3))
        tasks.start_soon(hold, client, 90.0)
        await anyio.sleep(90.0)

        rounds = [len(ids) for ids in keep_alives(keeper)]
        assert len(rounds) == pytest.approx(90.0 / 3, abs=1)
        assert rounds.count(20) > 20
        assert rounds.count(21) in (2, 3, 4, 5, 6)
        assert set(rounds) == {20, 21}
        tasks.cancel_scope.cancel()


async def hold(client: Client, ttl: float) -> None:
    async with client.lease(ttl):
        await anyio.sleep(600)


@on_both_backends
async def test_a_short_lease_is_not_kept_waiting_by_a_long_one() -> None:
    keeper = Keeper()
    async with keeper.expiring_in_time(), client_of(keeper) as client, client.lease(600.0):
        await anyio.sleep(1.0)
        async with client.lease(1.0):
            await anyio.sleep(5.0)


@on_both_backends
async def test_without_leases_nothing_is_sent() -> None:
    keeper = Keeper()
    async with client_of(keeper) as client:
        async with client.lease(9.0):
            await anyio.sleep(10.0)
        before = len(keep_alives(keeper))
        await anyio.sleep(60.0)

        assert len(keep_alives(keeper)) == before
