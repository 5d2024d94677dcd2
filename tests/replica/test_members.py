"""Members that come and go while the others serve: a turn is a call, and an empty directory is a new replica."""

import pytest
from msgspec.structs import replace

from coord.raft.leader import Leader
from coord.raft.types import MemberId
from coord.replica.changes import ALL_PATIENCE
from coord.replica.inputs import MembersKnown
from coord.replica.replica import AddedAgain
from coord.replica.status import role_of
from coord_protocol.errors import Code
from coord_protocol.extensions import (
    ChangeMembersRequest,
    ExtensionFailure,
    JoiningMember,
    TransferLeadershipRequest,
)
from coord_protocol.records import OPEN_ACL_UNSAFE
from coord_protocol.requests import (
    CreateMode,
    CreateRequest,
    GetDataRequest,
    GetDataResponse,
    OpCode,
    ReconfigRequest,
    SetDataRequest,
)
from tests.replica.world import CHANGE_PATIENCE, Client, World

SECONDS = 2.0  # plenty for a change whose newcomers are there


def operator(world: World, member: int = 1) -> Client:
    client = world.client(member, "127.0.0.1")
    client.connect()
    return client


def change(client: Client, *joining: tuple[int, str] | tuple[int, str, bool], leaving: tuple[int, ...] = ()) -> str:
    """Ask for it; returns why it is refused, or ""."""
    request = ChangeMembersRequest(
        [JoiningMember(*one, *[False] * (3 - len(one))) for one in joining], list(leaving), -1
    )
    code, body = client.ask(OpCode.CHANGE_MEMBERS, request)
    if code == Code.CHANGE_REFUSED:
        return str(ExtensionFailure.decode(body).text)
    assert code == 0
    return ""


def address_of(member: int) -> str:
    return f"host{member}:2281"


def parts(world: World, member: int = 1) -> tuple[list[int], list[int]]:
    """Voters and learners, as a member has applied them."""
    configuration = world.replicas[MemberId(member)].machine.members.membership.configuration
    assert not configuration.is_joint
    return list(configuration.voters), list(configuration.learners)


def failure(world: World, member: int = 1) -> str:
    return world.replicas[MemberId(member)].machine.members.failure


def follower(world: World) -> int:
    return next(member for member in world.replicas if member != world.leader.member)


def has_settled(world: World) -> bool:
    digests = {replica.machine.digest() for replica in world.replicas.values()}
    return len(digests) == 1


# Who is there


def test_the_founders_are_written_down_with_their_directories() -> None:
    world = World(3)
    world.pass_time(0.5)
    seats = world.leader.raft.configuration.seats
    assert [(seat.member, seat.address, seat.directory) for seat in seats] == [
        (1, "host1:2281", 1),
        (2, "host2:2281", 2),
        (3, "host3:2281", 3),
    ]
    assert world.leader.raft.log.memberships[-1].index == world.leader.machine.members.membership.index > 0


def test_a_configuration_is_written_only_when_it_says_something_new() -> None:
    world = World(3)
    world.pass_time(0.5)
    before = world.leader.machine.members.membership.index
    world.pass_time(5.0)
    assert world.leader.machine.members.membership.index == before


# Adding


def test_who_is_added_gets_the_state_and_then_a_vote_by_itself() -> None:
    world = World(3)
    client = operator(world)
    client.ask(OpCode.CREATE, CreateRequest("/a", b"x", OPEN_ACL_UNSAFE, CreateMode.PERSISTENT))
    world.join(4)
    assert change(client, (4, address_of(4))) == ""
    world.pass_time(SECONDS)
    assert parts(world) == ([1, 2, 3, 4], [])
    newcomer = world.client(4)
    newcomer.connect()
    assert newcomer.call(OpCode.GET_DATA, GetDataRequest("/a", False), GetDataResponse).data == b"x"
    assert has_settled(world)


def test_who_is_added_may_start_later() -> None:
    world = World(3)
    client = operator(world)
    change(client, (4, address_of(4)))
    world.pass_time(CHANGE_PATIENCE / 2)
    assert parts(world) == ([1, 2, 3], [4]), "it waits as a learner"
    world.join(4)
    world.pass_time(SECONDS)
    assert parts(world) == ([1, 2, 3, 4], [])


def test_a_cluster_of_one_grows_to_three_and_survives_its_founder() -> None:
    world = World(1)
    client = operator(world)
    client.ask(OpCode.CREATE, CreateRequest("/a", b"x", OPEN_ACL_UNSAFE, CreateMode.PERSISTENT))
    for member in (2, 3):
        world.join(member)
        assert change(client, (member, address_of(member))) == ""
        world.pass_time(SECONDS)
    world.cut_off.add(MemberId(1))
    world.pass_time(SECONDS)
    other = world.client(2)
    other.connect()
    assert other.call(OpCode.GET_DATA, GetDataRequest("/a", False), GetDataResponse).data == b"x"


def test_several_are_added_at_once_and_get_their_votes_together() -> None:
    world = World(1)
    client = operator(world)
    for member in (2, 3):
        world.join(member)
    change(client, (2, address_of(2)), (3, address_of(3)))
    world.pass_time(SECONDS)
    assert parts(world) == ([1, 2, 3], [])


def test_a_learner_is_sent_everything_serves_and_never_votes() -> None:
    world = World(3)
    client = operator(world)
    world.join(4)
    change(client, (4, address_of(4), True))
    world.pass_time(SECONDS)
    assert parts(world) == ([1, 2, 3], [4])
    at_learner = world.client(4)
    at_learner.connect()
    code, _ = at_learner.ask(OpCode.CREATE, CreateRequest("/l", b"y", OPEN_ACL_UNSAFE, CreateMode.PERSISTENT))
    assert code == 0
    assert client.call(OpCode.GET_DATA, GetDataRequest("/l", False), GetDataResponse).data == b"y"
    voters = [MemberId(member) for member in (1, 2, 3) if member != world.leader.member]
    world.cut_off.update(voters)
    world.pass_time(SECONDS)
    assert not any(replica.raft.is_leader for replica in world.replicas.values()), "the learner made no majority"


def test_a_learner_becomes_a_voter_by_being_added_again_and_back() -> None:
    world = World(3)
    client = operator(world)
    world.join(4)
    change(client, (4, address_of(4), True))
    world.pass_time(SECONDS)
    assert change(client, (4, "")) == ""
    world.pass_time(SECONDS)
    assert parts(world) == ([1, 2, 3, 4], [])
    assert change(client, (4, "", True)) == ""
    world.pass_time(SECONDS)
    assert parts(world) == ([1, 2, 3], [4])


def test_who_never_comes_is_given_up_and_costs_nothing() -> None:
    """A typo in an address never costs availability."""
    world = World(3)
    client = operator(world)
    change(client, (4, "no-such-host:2281"))
    world.pass_time(CHANGE_PATIENCE + SECONDS)
    assert parts(world) == ([1, 2, 3], [])
    assert "member 4 did not answer at no-such-host:2281 within" in failure(world)
    assert "coord serve --id 4 --join" in failure(world)
    assert change(operator(world), (5, address_of(5))) == "", "the next change may begin"
    assert failure(world) == ""


def test_a_change_that_is_given_up_costs_nobody_else_a_thing() -> None:
    """Neither its place nor its address, before the newcomer is ready."""
    world = World(3)
    client = operator(world)
    world.join(5)
    change(client, (5, address_of(5), True))
    world.pass_time(SECONDS)
    before = world.leader.raft.configuration
    assert change(client, (4, "nowhere:1"), (2, "moved:9"), leaving=(5,)) == ""
    world.pass_time(CHANGE_PATIENCE + SECONDS)
    assert "member 4 did not answer" in failure(world)
    assert world.leader.raft.configuration == before


def test_a_learner_that_cannot_be_promoted_stays_a_learner() -> None:
    world = World(3)
    client = operator(world)
    world.join(4)
    change(client, (4, address_of(4), True))
    world.pass_time(SECONDS)
    world.cut_off.add(MemberId(4))
    client.ask(OpCode.CREATE, CreateRequest("/a", b"x", OPEN_ACL_UNSAFE, CreateMode.PERSISTENT))
    assert change(client, (4, "")) == ""
    world.pass_time(CHANGE_PATIENCE + SECONDS)
    assert "member 4 did not" in failure(world)
    assert parts(world) == ([1, 2, 3], [4])


def test_who_stops_on_its_way_is_given_up_with_how_far_it_came() -> None:
    world = World(3)
    client = operator(world)
    world.join(4)
    change(client, (4, address_of(4)))
    role = world.leader.raft.role
    assert isinstance(role, Leader)
    while MemberId(4) not in role.progress or not role.progress[MemberId(4)].match_index:
        world.pass_time(0.001, step=0.001)
    world.cut_off.add(MemberId(4))
    client.ask(OpCode.CREATE, CreateRequest("/a", b"x", OPEN_ACL_UNSAFE, CreateMode.PERSISTENT))
    world.pass_time(CHANGE_PATIENCE + SECONDS)
    assert parts(world) == ([1, 2, 3], [])
    assert "member 4 did not catch up within" in failure(world)
    assert "entries; see its log" in failure(world)


def test_who_lags_for_ever_is_given_up_in_the_end() -> None:
    """It comes on all the time, and never catches up."""
    world = World(3)
    client = operator(world)
    world.join(4)
    change(client, (4, address_of(4)))
    role = world.leader.raft.role
    assert isinstance(role, Leader)
    changes = world.leader._changes
    assert changes is not None
    world.cut_off.add(MemberId(4))
    world.pass_time(1.0)
    newcomer = changes._newcomers[MemberId(4)]
    for _ in range(3 * ALL_PATIENCE):
        newcomer.moved_at = world.now
        world.pass_time(CHANGE_PATIENCE / 2)
    assert parts(world) == ([1, 2, 3], [])
    assert failure(world)


def test_a_change_outlives_the_leader_that_began_it() -> None:
    world = World(3)
    first = world.leader.member
    client = operator(world, follower(world))
    change(client, (4, address_of(4)))
    world.pass_time(0.2)
    world.cut_off.add(first)
    world.join(4)
    world.pass_time(SECONDS)
    assert world.leader.member != first
    assert parts(world, world.leader.member) == ([1, 2, 3, 4], [])


# Removing


def test_who_is_removed_has_no_vote_and_no_say() -> None:
    world = World(3)
    gone = follower(world)
    client = operator(world, world.leader.member)
    assert change(client, leaving=(gone,)) == ""
    world.pass_time(SECONDS)
    assert parts(world, world.leader.member) == ([one for one in (1, 2, 3) if one != gone], [])
    before = world.leader.raft.term
    world.pass_time(5.0)
    assert world.leader.raft.term == before, "it does not disturb the others"
    late = world.client(gone)
    late.greet()
    world.pass_time(SECONDS)
    assert not late.frames, "it serves nobody"


def test_a_leader_that_is_removed_hands_over_first() -> None:
    world = World(3)
    first = world.leader.member
    client = operator(world, follower(world))
    change(client, leaving=(first,))
    world.pass_time(SECONDS)
    assert world.leader.member != first
    assert parts(world, world.leader.member)[0] == [one for one in (1, 2, 3) if one != first]
    assert client.ask(OpCode.CREATE, CreateRequest("/a", b"", OPEN_ACL_UNSAFE, CreateMode.PERSISTENT))[0] == 0


def test_the_last_voter_stays() -> None:
    world = World(1)
    assert "no voter" in change(operator(world), leaving=(1,))


def test_who_was_removed_and_comes_back_empty_is_heard_again() -> None:
    """Its commands are numbered from 1 again, as those of its first life were."""
    world = World(3)
    gone = follower(world)
    for member in world.replicas:
        world.client(member).connect()
    client = operator(world, world.leader.member)
    change(client, leaving=(gone,))
    world.pass_time(SECONDS)
    world.join(gone)
    change(client, (gone, address_of(gone)))
    world.pass_time(SECONDS)
    assert parts(world, world.leader.member) == ([1, 2, 3], [])
    seat = world.leader.raft.configuration.seat_of(MemberId(gone))
    assert seat is not None
    assert seat.directory == 4, "the new one"
    again = world.client(gone)
    again.connect()
    assert again.ask(OpCode.CREATE, CreateRequest("/a", b"", OPEN_ACL_UNSAFE, CreateMode.PERSISTENT))[0] == 0
    assert has_settled(world)


def test_who_was_removed_and_is_added_again_while_it_runs_asks_to_be_started_once_more() -> None:
    """The others count what it sends from 1 again, and it cannot."""
    world = World(3)
    gone = follower(world)
    for member in world.replicas:
        world.client(member).connect()
    client = operator(world, world.leader.member)
    change(client, leaving=(gone,))
    world.pass_time(SECONDS)
    change(client, (gone, address_of(gone)))
    with pytest.raises(AddedAgain, match=f"member {gone} was removed and has been added again"):
        world.pass_time(SECONDS)


# Replacing


def test_one_takes_the_place_of_another_in_one_step() -> None:
    world = World(3)
    lost = follower(world)
    client = operator(world, world.leader.member)
    world.cut_off.add(MemberId(lost))
    world.join(4)
    assert change(client, (4, address_of(4)), leaving=(lost,)) == ""
    seen: set[tuple[int, ...]] = set()
    for _ in range(100):
        world.pass_time(0.02)
        seen.add(world.leader.machine.members.membership.configuration.voters)
    survivors = [member for member in (1, 2, 3) if member != lost]
    assert seen == {(1, 2, 3), (*survivors, 4)}, "never two, never four"


def test_all_are_replaced_at_once() -> None:
    world = World(3)
    client = operator(world)
    for member in (4, 5, 6):
        world.join(member)
    new = [(member, address_of(member)) for member in (4, 5, 6)]
    assert change(client, *new, leaving=(1, 2, 3)) == ""
    world.pass_time(3 * SECONDS)
    assert world.leader.member in (4, 5, 6)
    assert parts(world, 4) == ([4, 5, 6], [])


def test_an_address_is_an_attribute() -> None:
    world = World(3)
    client = operator(world)
    index = world.leader.machine.members.membership.index
    assert change(client, (2, "moved:9")) == ""
    world.pass_time(SECONDS)
    seat = world.leader.raft.configuration.seat_of(MemberId(2))
    assert seat is not None
    assert (seat.address, seat.directory) == ("moved:9", 2)
    assert len(world.leader.raft.log.memberships) == 1 or index < world.leader.machine.members.membership.index
    assert parts(world) == ([1, 2, 3], [])


# Refusals


def test_one_change_at_a_time_and_the_rest_is_told_what_is_going_on() -> None:
    world = World(3)
    client = operator(world)
    change(client, (4, address_of(4)))
    assert change(client, (5, address_of(5))) == "one change at a time, and adding 4"
    assert change(client, leaving=(2,)) == "one change at a time, and adding 4"


@pytest.mark.parametrize(
    ("joining", "leaving", "why"),
    [
        ([], (7,), "member 7 is none; there are 1, 2, 3"),
        ([(4, "")], (), "member 4 joins without an address"),
        ([(2, "a:1")], (2,), "joins and leaves"),
        ([(4, "a:1"), (4, "b:1")], (), "each joins once"),
        ([(0, "a:1")], (), "ids are positive"),
        ([(4, "host2:2281")], (), "host2:2281 is the address of member 2"),
        ([], (1, 2, 3), "no voter"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(
    joining: list[tuple[int, str]], leaving: tuple[int, ...], why: str
) -> None:
    world = World(3)
    world.pass_time(0.5)
    assert why in change(operator(world), *joining, leaving=leaving)


def test_only_an_operator_may_change_members() -> None:
    world = World(3)
    stranger = world.client(address="10.0.0.1")
    stranger.connect()
    for opcode, request in (
        (OpCode.CHANGE_MEMBERS, ChangeMembersRequest([], [2], -1)),
        (OpCode.TRANSFER_LEADERSHIP, TransferLeadershipRequest(2)),
    ):
        assert stranger.ask(opcode, request)[0] == Code.NOT_OPERATOR
    assert stranger.ask(OpCode.RECONFIG, ReconfigRequest("", "2", "", -1))[0] == Code.NO_AUTH


# Leadership


def test_leadership_is_handed_to_whom_it_was_meant_for() -> None:
    world = World(3)
    target = follower(world)
    client = operator(world, world.leader.member)
    assert client.ask(OpCode.TRANSFER_LEADERSHIP, TransferLeadershipRequest(target))[0] == 0
    world.pass_time(SECONDS)
    assert world.leader.member == target


def test_leadership_is_asked_of_the_leader_and_for_a_voter() -> None:
    world = World(3)
    leader = world.leader.member
    code, body = operator(world, follower(world)).ask(OpCode.TRANSFER_LEADERSHIP, TransferLeadershipRequest(0))
    assert code == Code.NOT_LEADER
    assert f"member {leader} leads" in str(ExtensionFailure.decode(body).text)
    for target in (7, leader):
        code, _ = operator(world, leader).ask(OpCode.TRANSFER_LEADERSHIP, TransferLeadershipRequest(target))
        assert code == Code.CHANGE_REFUSED


# ZooKeeper's door


def reconfig(
    client: Client, joining: str = "", leaving: str = "", whole: str = "", version: int = -1
) -> tuple[int, str]:
    client.request(OpCode.RECONFIG, ReconfigRequest(joining, leaving, whole, version))
    client.world.pass_time(SECONDS)
    _, _, code, body = client.take()
    return code, (GetDataResponse.decode(body).data or b"").decode() if code == 0 else ""


def test_reconfig_adds_and_removes_as_zookeeper_does() -> None:
    """The answer is the data of /zookeeper/config, once it is so."""
    world = World(3)
    client = operator(world)
    observer = "server.100=127.0.0.1:7001:7002:observer;0.0.0.0:7003"
    code, text = reconfig(client, joining=observer)
    assert code == 0
    assert observer in text.split("\n")
    shown = client.call(OpCode.GET_DATA, GetDataRequest("/zookeeper/config", False), GetDataResponse).data
    assert shown == text.encode()
    version = int(text.rpartition("version=")[2], 16)
    assert reconfig(client, leaving="100", version=version + 1)[0] == Code.BAD_VERSION
    code, text = reconfig(client, leaving="100", version=version)
    assert code == 0
    assert "server.100" not in text


def test_reconfig_of_a_stranger_is_told_of_the_version_first() -> None:
    world = World(3)
    stranger = world.client(address="10.0.0.1")
    stranger.connect()
    version = world.leader.machine.members.membership.index
    assert reconfig(stranger, leaving="2", version=version + 99)[0] == Code.BAD_VERSION
    assert reconfig(stranger, leaving="2", version=-1)[0] == Code.NO_AUTH


def test_reconfig_takes_a_whole_new_list() -> None:
    world = World(3)
    client = operator(world)
    world.join(4)
    servers = ",".join(f"server.{member}=host{member}:2281:3888:participant;2181" for member in (1, 2, 4))
    code, text = reconfig(client, whole=servers)
    assert code == 0
    assert [line.split("=")[0] for line in text.split("\n")] == ["server.1", "server.2", "server.4", "version"]
    assert parts(world) == ([1, 2, 4], [])


@pytest.mark.parametrize("joining", ["", "bad", "server.x=a:1:2", "server.4=a:1", "server.4=a:1:99999", "4=a:1:2"])
def test_reconfig_of_nonsense_is_refused(joining: str) -> None:
    world = World(1)
    assert reconfig(operator(world), joining=joining)[0] == Code.BAD_ARGUMENTS


def test_reconfig_whose_newcomer_never_comes_has_no_quorum() -> None:
    world = World(3)
    client = operator(world)
    client.request(OpCode.RECONFIG, ReconfigRequest("server.4=nowhere:1:2", "", "", -1))
    world.pass_time(CHANGE_PATIENCE + 0.4)
    assert client.take()[2] == Code.NEW_CONFIG_NO_QUORUM


def test_reconfig_is_off_unless_it_is_switched_on() -> None:
    world = World(3, reconfig=False)
    assert reconfig(operator(world), leaving="2")[0] == Code.RECONFIG_DISABLED


def test_snapshots_carry_the_members_and_a_change_that_is_under_way() -> None:
    """A member that is behind the log learns of all of it from the state."""
    world = World(3, snapshot_log_bytes=1000)
    client = operator(world)
    laggard = MemberId(follower(world))
    client = operator(world, world.leader.member)
    world.cut_off.add(laggard)
    change(client, (4, address_of(4)))
    client.ask(OpCode.CREATE, CreateRequest("/a", b"", OPEN_ACL_UNSAFE, CreateMode.PERSISTENT))
    for _ in range(60):
        client.ask(OpCode.SET_DATA, SetDataRequest("/a", bytes(50), -1))
    world.cut_off.clear()
    world.pass_time(1.0)
    machine = world.replicas[laggard].machine
    assert machine.members.membership.configuration.learners == (4,)
    assert machine.members.doing() == "adding 4"
    assert world.replicas[laggard].raft.configuration == machine.members.membership.configuration, (
        "which holds (row 12)"
    )
    assert machine.digest() == world.leader.machine.digest()


def test_everybody_knows_what_it_is() -> None:
    world = World(3)
    client = operator(world)
    for member in (4, 5):
        world.join(member)
    assert role_of(world.replicas[MemberId(5)]) == "joining"
    change(client, (4, address_of(4), True))
    world.pass_time(SECONDS)
    gone = follower(world)
    change(operator(world, world.leader.member), leaving=(gone,))
    world.pass_time(SECONDS)
    roles = {member: role_of(replica) for member, replica in world.replicas.items()}
    assert roles[MemberId(4)] == "learner"
    assert roles[MemberId(gone)] in ("removed", "candidate"), "if the last entry that it was sent told it"
    assert sorted(roles[member] for member in world.leader.raft.configuration.voters) == ["follower", "leader"]


def test_whoever_keeps_the_links_is_told_of_each_configuration_that_holds() -> None:
    """From the start, and when it is put in the place of another that was never decided."""
    world = World(3)
    world.pass_time(1.0)
    first = next(event for event in world.events if isinstance(event, MembersKnown))
    assert (first.membership.index, first.membership.configuration.voters) == (0, (1, 2, 3))
    leader = world.leader
    decided = leader.raft.log.memberships[-1]
    assert MembersKnown(decided) in world.events

    world.cut_off.add(leader.member)
    leader.raft.change_members(replace(decided.configuration, learners=(MemberId(9),)), world.now)
    undecided = leader.raft.log.memberships[-1]
    world.pass_time(3.0)
    assert MembersKnown(undecided) in world.events
    world.events.clear()
    world.cut_off.clear()
    world.pass_time(3.0)

    assert MembersKnown(decided) in world.events
    assert MembersKnown(undecided) not in world.events
