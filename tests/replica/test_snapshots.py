"""Snapshots of a replica's own state, and the installation of another's: a turn is a call, a disk is a dict."""

import pytest

from coord.raft.log import Log
from coord.raft.messages import OfferSnapshot
from coord.raft.types import Index, MemberId, Place, Round, Term
from coord.replica.inputs import FetchSnapshot, FromPeer, SnapshotInstalled, SnapshotRefused, SnapshotTaken
from coord.replica.installation import REFUSAL_PAUSE, Installation
from coord.replica.snapshot_work import ReceiveSnapshot, SnapshotReceived, SnapshotWork
from coord_protocol.errors import Code
from coord_protocol.extensions import SnapshotRequest, SnapshotResponse
from coord_protocol.records import OPEN_ACL_UNSAFE
from coord_protocol.requests import (
    CreateMode,
    CreateRequest,
    GetDataRequest,
    OpCode,
    SetDataRequest,
)
from tests.replica.world import Client, World

LAGGARD = MemberId(3)


def write(client: Client, count: int, size: int = 50) -> None:
    for number in range(count):
        client.ask(OpCode.SET_DATA, SetDataRequest("/a", bytes([number % 256]) * size, -1))


def started(world: World, member: int = 1) -> Client:
    client = world.client(member)
    client.connect()
    client.ask(OpCode.CREATE, CreateRequest("/a", b"", OPEN_ACL_UNSAFE, CreateMode.PERSISTENT))
    return client


def snapshots_taken(world: World) -> list[int]:
    return [event.index for event in world.events if isinstance(event, SnapshotTaken)]


def test_a_snapshot_is_taken_when_the_log_has_grown() -> None:
    world = World(snapshot_log_bytes=2000)
    write(started(world), 60)
    taken = snapshots_taken(world)
    assert len(taken) >= 3
    log = world.leader.raft.log
    assert log.start.index == taken[-1], "nothing before the newest is retained here"
    assert sum(len(run.data) for run in log.runs) < 4000
    assert world.disks[MemberId(1)].cut[-1] == taken[-2], "the disk keeps what the older of two needs"


def test_the_log_in_memory_is_forgotten_a_few_runs_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """To let go of 400,000 at once held a server for 75 ms (measured)."""
    monkeypatch.setattr("coord.replica.snapshots.RUNS_FORGOTTEN", 3)
    dropped: list[int] = []
    compact = Log.compact

    def watched(self: Log, index: Index) -> None:
        before = len(self.runs)
        compact(self, index)
        dropped.append(before - len(self.runs))

    monkeypatch.setattr(Log, "compact", watched)
    world = World(snapshot_log_bytes=2000)
    write(started(world), 60)
    assert max(dropped) == 3
    assert world.leader.raft.log.start.index == snapshots_taken(world)[-1]


def test_a_snapshot_waits_until_the_log_has_grown_by_its_own_size() -> None:
    world = World(snapshot_log_bytes=500)
    client = started(world)
    client.ask(OpCode.SET_DATA, SetDataRequest("/a", bytes(20_000), -1))
    write(client, 200)
    large, next_one, *_ = snapshots_taken(world)
    assert next_one - large > 100, "120 bytes each, and the state has 20,000"


def test_a_snapshot_keeps_a_pause_between_its_pieces() -> None:
    """A piece in each turn would take a third of the time of turns that are short."""
    world = World(snapshot_log_bytes=2000, snapshot_piece_pause=0.002)
    write(started(world), 30)
    assert snapshots_taken(world) == [], "no time has passed, and there is more than one piece"
    world.pass_time(0.1, step=0.001)
    assert snapshots_taken(world)


def test_a_command_takes_one_at_once_and_is_answered_when_it_is_durable() -> None:
    world = World()
    started(world)
    operator = world.client(address="127.0.0.1")
    operator.connect()
    answer = operator.call(OpCode.SNAPSHOT, SnapshotRequest(), SnapshotResponse)
    (place,) = world.disks[MemberId(1)].files
    assert (answer.zxid, answer.file_bytes) == (place.index, len(world.disks[MemberId(1)].files[place][1]))
    assert snapshots_taken(world) == [place.index]
    again = operator.call(OpCode.SNAPSHOT, SnapshotRequest(), SnapshotResponse)
    assert again.zxid >= answer.zxid


@pytest.mark.parametrize("super_digest", ["", "super:abc"])
def test_only_an_operator_may_command(super_digest: str) -> None:
    world = World(super_digest=super_digest)
    client = world.client(address="127.0.0.1" if super_digest else "10.0.0.1")
    client.connect()
    code, _ = client.ask(OpCode.SNAPSHOT, SnapshotRequest())
    assert code == Code.NOT_OPERATOR
    assert not world.disks[MemberId(1)].files


def behind() -> tuple[World, Client]:
    """A cluster whose third member has missed so much that the log for it is gone."""
    world = World(3, snapshot_log_bytes=2000)
    while world.leader.member == LAGGARD:
        world.leader.raft.transfer_leadership(world.now)
        world.pass_time(0.1)
    world.cut_off.add(LAGGARD)
    client = started(world, world.leader.member)
    write(client, 80)
    assert world.leader.raft.log.start.index > world.replicas[LAGGARD].raft.last_index
    return world, client


def test_a_member_that_is_too_far_behind_gets_the_state_and_then_the_log() -> None:
    world, client = behind()
    world.cut_off.clear()
    world.pass_time(3.0)
    leader, laggard = world.leader, world.replicas[LAGGARD]
    write(client, 3)
    world.pass_time(0.2)
    assert any(isinstance(event, SnapshotInstalled) for event in world.events)
    assert laggard.machine.applied_index == leader.machine.applied_index
    assert laggard.machine.digest() == leader.machine.digest()
    reader = world.client(LAGGARD)
    reader.connect()
    code, body = reader.ask(OpCode.GET_DATA, GetDataRequest("/a", False))
    assert code == 0
    assert body[4:54] == bytes([2]) * 50


def test_clients_of_a_member_that_installs_must_come_again() -> None:
    """Their watches missed what happened between."""
    world = World(3, snapshot_log_bytes=2000)
    while world.leader.member == LAGGARD:
        world.leader.raft.transfer_leadership(world.now)
        world.pass_time(0.1)
    client = started(world, world.leader.member)
    watcher = world.client(LAGGARD)
    watcher.connect()
    watcher.ask(OpCode.GET_DATA, GetDataRequest("/a", True))
    world.cut_off.add(LAGGARD)
    watcher.request(OpCode.SET_DATA, SetDataRequest("/a", b"never answered", -1))
    write(client, 80)
    world.cut_off.clear()
    world.pass_time(3.0)
    assert watcher.is_closed
    laggard = world.replicas[LAGGARD]
    assert laggard.watches.count().watches == 0
    world.pass_time(1.5)
    assert not laggard.outbox.slots, "what it had sent before is applied, or goes on"
    assert laggard.machine.digest() == world.leader.machine.digest()


def test_a_transfer_goes_on_where_it_was_when_frames_are_lost() -> None:
    world, _ = behind()
    world.cut_off.clear()
    installation = world.replicas[LAGGARD].installation
    for _ in range(200):
        if installation.written > 300:
            break
        world.pass_time(0.01)
        world.cut_off.add(LAGGARD)  # whatever is under way is lost
        world.pass_time(0.01)
        world.cut_off.clear()
        world.pass_time(1.2)
    world.pass_time(5.0)
    assert world.replicas[LAGGARD].machine.digest() == world.leader.machine.digest()


def receiving() -> tuple[World, Installation, list[SnapshotWork]]:
    """A member on its own that follows a leader, and has been offered a snapshot at 100."""
    world = World(3)
    laggard = next(replica for replica in world.replicas.values() if not replica.raft.is_leader)
    installation = Installation(laggard.config, laggard.raft, world.events.append)
    raft = world.leader.raft
    laggard.raft.step(raft.member, OfferSnapshot(raft.term, Round(1), AT.index, AT.term), world.now)
    installation.look(0.0)
    return world, installation, installation.take_work()


AT = Place(Index(1000), Term(1))


def test_an_answer_to_what_was_given_up_is_no_answer_to_what_was_asked_since() -> None:
    """A slow disk: what it says of earlier writes comes when the file is already being looked for again."""
    _, installation, work = receiving()
    assert work == [ReceiveSnapshot(AT)]
    installation.on_received(SnapshotReceived(AT, 7, 500, False), 0.1)
    assert installation.take_fetches(0.1) == []
    installation.on_received(SnapshotReceived(AT, 7, 300, False, is_start=True), 0.2)
    (fetch,) = installation.take_fetches(0.2)
    assert (fetch.id, fetch.offset) == (7, 300)


def test_a_file_that_cannot_be_taken_is_told_of_and_not_asked_for_again_at_once() -> None:
    world, installation, _ = receiving()
    installation.on_received(SnapshotReceived(AT, 0, 0, False, is_start=True), 0.1)
    installation.on_received(SnapshotReceived(AT, 0, 0, False, "it is damaged"), 1.0)
    assert world.events[-1] == SnapshotRefused(world.leader.member, "it is damaged")
    installation.look(1.0 + REFUSAL_PAUSE / 2)
    assert not installation.is_under_way
    installation.look(1.0 + REFUSAL_PAUSE)
    assert installation.is_under_way


def test_none_is_begun_while_a_member_fetches_the_newest() -> None:
    world, client = behind()
    leader = world.leader
    newest = leader.snapshots.newest
    world.give(leader.member, FromPeer(LAGGARD, [FetchSnapshot(newest, 0, 0, 10)]))
    write(client, 20)
    assert leader.snapshots.newest == newest, "it would cut the log that the member needs next"
    write(client, 60)
    assert leader.snapshots.newest != newest, "but not for ever"
