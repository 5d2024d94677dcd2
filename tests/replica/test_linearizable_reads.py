"""A sync and the read after it, wherever they are asked: by rounds, or by the leader's lease."""

import pytest

from coord.raft.types import MemberId
from coord_protocol.extensions import ChangeMembersRequest, JoiningMember
from coord_protocol.records import OPEN_ACL_UNSAFE
from coord_protocol.requests import (
    CreateMode,
    CreateRequest,
    GetDataRequest,
    GetDataResponse,
    OpCode,
    SetDataRequest,
    SyncRequest,
)
from tests.replica.world import Client, World

LEASES = pytest.mark.parametrize("lease_reads", [False, True], ids=["rounds", "lease"])


def grown(lease_reads: bool) -> World:
    """Three voters, and member 4 as a learner."""
    world = World(3, lease_reads=lease_reads)
    world.join(4)
    client = world.client(1, "127.0.0.1")
    client.connect()
    client.ask(OpCode.CHANGE_MEMBERS, ChangeMembersRequest([JoiningMember(4, "host4:2281", True)], [], -1))
    client.ask(OpCode.CREATE, CreateRequest("/a", b"old", OPEN_ACL_UNSAFE, CreateMode.PERSISTENT))
    world.pass_time(2.0)
    assert world.leader.raft.configuration.learners == (4,)
    return world


def connected(world: World, member: int) -> Client:
    client = world.client(member)
    client.connect()
    return client


@LEASES
def test_read_after_a_sync_is_fresh_at_leader_follower_and_learner(lease_reads: bool) -> None:
    world = grown(lease_reads)
    clients = {member: connected(world, member) for member in (1, 2, 3, 4)}
    for number, reader in clients.items():
        value = str(number).encode()
        assert clients[1].ask(OpCode.SET_DATA, SetDataRequest("/a", value, -1))[0] == 0
        reader.request(OpCode.SYNC, SyncRequest("/a"), 8)
        reader.request(OpCode.GET_DATA, GetDataRequest("/a", False), 9)
        world.settle()
        assert reader.take()[0] == 8
        xid, _, code, body = reader.take()
        assert (xid, code) == (9, 0)
        assert GetDataResponse.decode(body).data == value


def is_answered_alone(lease_reads: bool, after: float = 0.0) -> bool:
    """Whether a leader whom nobody hears any more, since so long, answers a sync."""
    world = World(3, lease_reads=lease_reads)
    client = connected(world, world.leader.member)
    client.ask(OpCode.CREATE, CreateRequest("/a", b"", OPEN_ACL_UNSAFE, CreateMode.PERSISTENT))
    world.pass_time(0.1)
    world.cut_off.update(MemberId(member) for member in (1, 2, 3) if member != world.leader.member)
    world.pass_time(after)
    client.request(OpCode.SYNC, SyncRequest("/a"), 8)
    world.settle()
    return bool(client.frames)


def test_leader_with_a_lease_asks_nobody() -> None:
    assert is_answered_alone(lease_reads=True)
    assert not is_answered_alone(lease_reads=False)


def test_leader_asks_again_when_its_lease_may_have_run_out() -> None:
    """0.45 s after its last heartbeat: the election timeout, less a drift of a tenth."""
    assert not is_answered_alone(lease_reads=True, after=0.46)
