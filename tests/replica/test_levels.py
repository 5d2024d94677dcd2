"""A new level: when a leader has it raised, what waits for it until then, and who cannot join any more."""

from collections.abc import Iterator

import msgspec
import pytest

from coord.raft.types import MemberId
from coord.replica.inputs import LevelRaised
from coord.replica.replica import Replica
from coord.replica.status import status_of
from coord.tree.commands import BLOCK_HEAD, HEAD, RUN_HEAD, Kind
from coord.tree.levels import LEVEL, NewerLevel
from coord_protocol.errors import Code
from coord_protocol.extensions import ChangeMembersRequest, JoiningMember
from coord_protocol.records import OPEN_ACL_UNSAFE
from coord_protocol.requests import CreateMode, CreateRequest, OpCode, ReconfigRequest
from tests.replica.test_members import address_of, change, failure, operator, parts
from tests.replica.world import Client, World

ONE, TWO, THREE = MemberId(1), MemberId(2), MemberId(3)


def lead(world: World, member: MemberId) -> None:
    for _ in range(20):
        if world.leader.member == member:
            world.pass_time(0.3)
            return
        world.leader.raft.transfer_leadership(world.now, member)
        world.pass_time(0.2)
    raise AssertionError(f"member {member} does not lead")


def in_force(world: World) -> set[int]:
    return {replica.machine.levels.in_force for replica in world.replicas.values()}


def kinds_in_log(replica: Replica) -> Iterator[int]:
    for run in replica.raft.log.runs:
        offset = RUN_HEAD.size
        while offset < len(run.data) and not run.is_configuration:
            count = BLOCK_HEAD.unpack_from(run.data, offset)[3]
            offset += BLOCK_HEAD.size
            for _ in range(count):
                kind, length, *_ = HEAD.unpack_from(run.data, offset)
                yield kind
                offset += length


def fill(client: Client) -> None:
    for number in range(60):
        client.ask(OpCode.CREATE, CreateRequest(f"/{number}", b"", OPEN_ACL_UNSAFE, CreateMode.PERSISTENT))


@pytest.mark.parametrize("size", [1, 3])
def test_new_cluster_is_at_the_level_of_its_members_within_a_moment(size: int) -> None:
    world = World(size)

    world.pass_time(0.3)

    assert in_force(world) == {LEVEL}
    assert world.events.count(LevelRaised(LEVEL)) == size


def test_one_member_of_an_earlier_release_holds_the_level_back() -> None:
    """Whoever leads."""
    world = World(3, early={3})
    for leader in (TWO, THREE, ONE):
        lead(world, leader)
        assert in_force(world) == {1}

    said = status_of(world.leader)
    assert said["level"] == {"in_force": 1, "known": LEVEL, "waits_for": [3]}
    assert {member: known["level"] for member, known in said["members"].items()} == {"1": LEVEL, "2": LEVEL, "3": 1}


def test_members_announce_themselves_to_every_new_leader() -> None:
    """Its state may come from a snapshot, which does not tell who knows what."""
    world = World(3, early={3})
    lead(world, ONE)
    heir = world.replicas[TWO]
    heir.machine.levels.announced.clear()

    lead(world, TWO)

    assert heir.machine.levels.announced == {1: LEVEL, 2: LEVEL, 3: 1}


def test_server_keeps_out_of_the_log_what_not_all_members_know() -> None:
    """The leader is of the earlier release, and would take it in: it does not look into blocks."""
    world = World(3, early={3})
    lead(world, THREE)
    client = operator(world, 1)

    refusal = change(client, (4, address_of(4)))
    code, _ = client.ask(OpCode.RECONFIG, ReconfigRequest("", "3", "", -1))

    assert refusal == "member 3 runs a release that does not know it (level 2): upgrade it first"
    assert code == Code.UNIMPLEMENTED
    kinds = set(kinds_in_log(world.leader))
    assert Kind.ANNOUNCE in kinds
    assert not kinds & {Kind.CHANGE_MEMBERS, Kind.RAISE_LEVEL}


@pytest.mark.parametrize(("log_bytes", "stops_at"), [(1 << 30, "what follows entry"), (500, "a snapshot")])
def test_member_of_an_earlier_release_cannot_be_added(log_bytes: int, stops_at: str) -> None:
    """It announces itself as soon as it hears the leader, and then stops where the level has risen past it."""
    world = World(3, snapshot_log_bytes=log_bytes)
    lead(world, ONE)
    client = operator(world)
    fill(client)
    world.join(4, level=1)
    client.request(OpCode.CHANGE_MEMBERS, ChangeMembersRequest([JoiningMember(4, address_of(4), False)], [], -1))

    with pytest.raises(NewerLevel, match=f"^{stops_at}"):
        world.pass_time(2.0)
    del world.replicas[MemberId(4)]
    world.pass_time(1.0)

    assert parts(world) == ([1, 2, 3], [])
    assert failure(world) == (
        f"member 4 runs a release that knows levels up to 1, and the cluster is at level {LEVEL}:"
        " start the release there that the other members run, and add it again"
    )


def test_version_of_a_snapshot_is_the_level() -> None:
    world = World(snapshot_log_bytes=2000)
    fill(operator(world))
    _, data = list(world.disks[ONE].files.values())[-1]
    head = msgspec.msgpack.decode(msgspec.msgpack.decode(data)[0])
    assert head[:2] == [0, LEVEL]
