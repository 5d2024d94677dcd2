"""What a member tells of what happened: with when, why, and no more than somebody would read."""

from collections.abc import Iterable
from typing import Any

from coord.raft.types import MemberId
from coord.replica.chronicle import KEPT, Chronicle
from coord.replica.inputs import HandOver, PeerLost, PeerUp
from coord.replica.replica import Replica
from coord.replica.status import status_of
from coord.tree.leases import End, Ended, Lease
from coord_protocol.extensions import NameSessionRequest
from coord_protocol.records import OPEN_ACL_UNSAFE
from coord_protocol.requests import CreateRequest, OpCode
from tests.replica.world import World


def told_by(replica: Replica, what: str) -> list[tuple[str, str]]:
    events: Iterable[dict[str, Any]] = status_of(replica)["events"]
    return [(event["text"], event["why"]) for event in events if event["what"] == what]


def followers_of(world: World) -> list[Replica]:
    return [replica for replica in world.replicas.values() if not replica.raft.is_leader]


def test_the_first_election_is_told_by_all() -> None:
    world = World(3)

    leader = world.leader

    text = f"member {leader.member} leads term {leader.raft.term}"
    assert told_by(leader, "election") == [(text, "nobody was known to lead")]
    assert all(told_by(follower, "election")[-1][0] == text for follower in followers_of(world))


def test_an_election_after_silence_tells_how_long() -> None:
    world = World(3)
    old = world.leader
    followers = followers_of(world)
    world.cut_off.add(old.member)

    world.pass_time(1.5)

    new = next(follower for follower in followers if follower.raft.is_leader)
    text, why = told_by(new, "election")[-1]
    assert text == f"member {new.member} leads term {new.raft.term}"
    assert why.startswith(f"member {old.member} was silent for 0.")
    assert told_by(old, "quorum-lost")


def test_an_election_after_a_broken_connection_says_so() -> None:
    world = World(3)
    old = world.leader
    followers = followers_of(world)
    world.cut_off.add(old.member)

    for follower in followers:
        world.give(follower.member, PeerLost(old.member))
    world.pass_time(0.3)

    new = next(follower for follower in followers if follower.raft.is_leader)
    assert told_by(new, "member-lost") == [(f"member {old.member} is gone", "the connection broke")]
    assert told_by(new, "election")[-1][1] == f"the connection to member {old.member} broke"


def test_a_broken_connection_that_costs_no_leader_is_no_election() -> None:
    world = World(3)
    follower = followers_of(world)[0]
    before = told_by(follower, "election")

    world.give(follower.member, PeerLost(world.leader.member))
    world.settle()
    world.give(follower.member, PeerUp(world.leader.member))
    world.settle()

    assert told_by(follower, "member-back") == [(f"member {world.leader.member} is back", "")]
    world.pass_time(0.2)
    assert len(told_by(follower, "election")) <= len(before) + 1, "at most the one that it stood for itself"


def test_a_hand_over_is_told_with_its_election() -> None:
    world = World(3)
    old = world.leader

    world.give(old.member, HandOver())
    world.pass_time(0.3)

    new = world.leader
    assert new is not old
    assert told_by(old, "hand-over") == [(f"member {old.member} hands over to member {new.member}", "it is to stop")]
    assert told_by(new, "election")[-1][1] == f"member {old.member} handed over"


def test_an_expired_session_is_told_alike_by_all_with_its_keys() -> None:
    world = World(3)
    client = world.client()
    session = client.connect().session_id
    client.ask(OpCode.NAME_SESSION, NameSessionRequest("worker 7"))
    client.ask(OpCode.CREATE, CreateRequest("/lock", b"", OPEN_ACL_UNSAFE, 1))
    client.leave()

    world.pass_time(8.0)

    told = [told_by(replica, "session-expired") for replica in world.replicas.values()]
    text = f'session {session:#x} "worker 7" expired, with it /lock'
    assert told == [[(text, "no sign of life for 6 s")]] * 3
    stamps = {event["at_ms"] for replica in world.replicas.values() for event in status_of(replica)["events"][-1:]}
    assert len(stamps) == 1


def test_a_session_that_closes_is_told_of_only_if_it_held_something() -> None:
    world = World()
    for path in ("", "/held"):
        client = world.client()
        client.connect()
        if path:
            client.ask(OpCode.CREATE, CreateRequest(path, b"", OPEN_ACL_UNSAFE, 1))
        client.ask(OpCode.CLOSE_SESSION)

    (text, why), *others = told_by(world.leader, "session-closed")

    assert text.endswith(" from 10.1.2.3 closed, with it /held")
    assert why == ""
    assert not others


def test_a_storm_of_expiries_does_not_push_out_the_elections() -> None:
    chronicle = Chronicle(MemberId(1))
    chronicle.peer_lost(MemberId(2), 5)

    chronicle.ended([Ended(Lease(number, 1000), End.EXPIRED) for number in range(1000)], 7)

    told = chronicle.documents()
    assert told[0]["what"] == "member-lost"
    assert len(told) == KEPT + 1
    assert [each["id"] for each in told] == [1, *range(1002 - KEPT, 1002)]
