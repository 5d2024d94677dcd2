"""Operators end the leases and sessions of others: who may, what ends with them, and who is told."""

import pytest

from coord_protocol.errors import Code
from coord_protocol.extensions import (
    CreateWithLeaseRequest,
    EndLeaseRequest,
    ExtensionFailure,
    LeaseAndSecret,
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
)
from coord_protocol.records import OPEN_ACL_UNSAFE, EventType, WatcherEvent
from coord_protocol.requests import AuthPacket, Create2Response, CreateRequest, ExistsRequest, OpCode
from tests.replica.world import Client, World

SUPER_DIGEST = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs="
SUPER = AuthPacket(0, "digest", b"super:admin")
AUTH_XID = -4

SIZES = pytest.mark.parametrize("size", [1, 3])


def connected(world: World, member: int = 1, address: str = "10.1.2.3") -> tuple[Client, int]:
    """A client, and its session."""
    client = world.client(member, address)
    return client, client.connect().session_id


def lease_with_key(client: Client) -> LeaseGrantResponse:
    lease = client.call(OpCode.LEASE_GRANT, LeaseGrantRequest(60_000, "backup", b"", 0), LeaseGrantResponse)
    create = CreateWithLeaseRequest("/k", b"", OPEN_ACL_UNSAFE, 0, lease.lease_id, lease.secret)
    client.call(OpCode.CREATE_WITH_LEASE, create, Create2Response)
    return lease


@SIZES
def test_an_operator_ends_a_lease_and_its_holder_is_told_at_the_next_keep_alive(size: int) -> None:
    world = World(size)
    holder, _ = connected(world, size)
    lease = lease_with_key(holder)
    operator, _ = connected(world, 1, "127.0.0.1")

    assert operator.ask(OpCode.END_LEASE, EndLeaseRequest(lease.lease_id)) == (0, b"")

    assert operator.ask(OpCode.EXISTS, ExistsRequest("/k", False))[0] == Code.NO_NODE
    keep = LeaseKeepAliveRequest([LeaseAndSecret(lease.lease_id, lease.secret)])
    assert holder.call(OpCode.LEASE_KEEP_ALIVE, keep, LeaseKeepAliveResponse).remaining_ms == [-1]
    assert operator.ask(OpCode.END_LEASE, EndLeaseRequest(lease.lease_id))[0] == Code.NO_LEASE


@SIZES
def test_an_operator_ends_a_session_and_its_server_closes_the_connection(size: int) -> None:
    """As at closeSession: ephemerals go, watchers hear of it, and who takes the session up again is refused."""
    world = World(size)
    victim = world.client(size)
    session = victim.connect()
    victim.ask(OpCode.CREATE, CreateRequest("/e", b"", OPEN_ACL_UNSAFE, 1))
    operator, _ = connected(world, 1, "::1")
    operator.ask(OpCode.EXISTS, ExistsRequest("/e", True))

    operator.request(OpCode.END_LEASE, EndLeaseRequest(session.session_id))
    world.settle()

    event = WatcherEvent.decode(operator.take()[3])
    assert (event.type, event.path) == (EventType.DELETED, "/e")
    assert operator.take()[2] == 0
    assert victim.is_closed
    assert world.client(size).connect(session.session_id, session.password).session_id == 0


def test_an_operator_that_ends_its_own_session_still_gets_the_answer() -> None:
    operator, session = connected(World(), address="127.0.0.1")

    assert operator.ask(OpCode.END_LEASE, EndLeaseRequest(session)) == (0, b"")
    assert operator.is_closed


def test_who_has_proved_super_may_come_from_anywhere() -> None:
    """Also when the request comes right behind the credentials, as after a reconnect."""
    world = World(super_digest=SUPER_DIGEST)
    _, session = connected(world)
    operator, _ = connected(world, address="10.9.9.9")

    operator.request(OpCode.AUTH, SUPER, AUTH_XID)
    operator.request(OpCode.END_LEASE, EndLeaseRequest(session), 1)
    world.settle()

    assert [operator.take()[::2] for _ in range(2)] == [(AUTH_XID, 0), (1, 0)]


@pytest.mark.parametrize(
    ("super_digest", "address", "advice"),
    [
        (SUPER_DIGEST, "10.9.9.9", "add the identity digest super:PASSWORD"),
        (SUPER_DIGEST, "127.0.0.1", "add the identity digest super:PASSWORD"),
        ("", "10.9.9.9", "connect from the server's own machine"),
    ],
)
def test_others_are_refused_and_told_what_to_do(super_digest: str, address: str, advice: str) -> None:
    world = World(super_digest=super_digest)
    victim, session = connected(world)
    stranger, _ = connected(world, address=address)
    stranger.ask(OpCode.AUTH, AuthPacket(0, "digest", b"super:guess"), AUTH_XID)

    code, body = stranger.ask(OpCode.END_LEASE, EndLeaseRequest(session))

    assert code == Code.NOT_OPERATOR
    assert advice in ExtensionFailure.decode(body).text
    assert not victim.is_closed
