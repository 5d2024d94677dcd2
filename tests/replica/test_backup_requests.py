"""What operators read for a backup: the file of a snapshot, and the log after it."""

from coord.raft.types import MemberId
from coord.replica.inputs import FetchSnapshot
from coord_protocol.errors import Code
from coord_protocol.extensions import (
    ReadLogRequest,
    ReadLogResponse,
    ReadSnapshotRequest,
    ReadSnapshotResponse,
    SnapshotRequest,
    SnapshotResponse,
    check_of_run,
)
from coord_protocol.records import OPEN_ACL_UNSAFE
from coord_protocol.requests import CreateMode, CreateRequest, OpCode, SetDataRequest
from tests.replica.world import Client, World

OPERATOR = "127.0.0.1"


def started(world: World, address: str = OPERATOR) -> Client:
    client = world.client(address=address)
    client.connect()
    client.ask(OpCode.CREATE, CreateRequest("/a", b"", OPEN_ACL_UNSAFE, CreateMode.PERSISTENT))
    return client


def write(client: Client, count: int) -> None:
    for number in range(count):
        client.ask(OpCode.SET_DATA, SetDataRequest("/a", b"%d" % number, -1))


def snapshot(client: Client) -> int:
    return client.call(OpCode.SNAPSHOT, SnapshotRequest(), SnapshotResponse).zxid


def read(client: Client, zxid: int, file_id: int = 0, offset: int = 0, length: int = 100) -> ReadSnapshotResponse:
    return client.call(OpCode.READ_SNAPSHOT, ReadSnapshotRequest(zxid, file_id, offset, length), ReadSnapshotResponse)


def read_log(client: Client, zxid: int, term: int, max_bytes: int = 1) -> ReadLogResponse:
    return client.call(OpCode.READ_LOG, ReadLogRequest(zxid, term, max_bytes), ReadLogResponse)


def test_others_are_told_how_to_become_an_operator() -> None:
    client = started(World(), address="10.1.2.3")
    for opcode, request in (
        (OpCode.READ_SNAPSHOT, ReadSnapshotRequest(1, 0, 0, 1)),
        (OpCode.READ_LOG, ReadLogRequest(1, 1, 1)),
    ):
        code, body = client.ask(opcode, request)
        assert code == Code.NOT_OPERATOR
        assert b"super_digest" in body
        assert client.ask(opcode, b"\0")[0] == Code.MARSHALLING_ERROR


def test_a_snapshots_file_is_read_in_chunks_while_it_is_the_newest_or_the_one_before() -> None:
    world = World()
    client = started(world)
    first = snapshot(client)
    start = read(client, first)
    data = start.data or b""
    while len(data) < start.file_bytes:
        chunk = read(client, first, start.file_id, len(data))
        assert (chunk.file_id, chunk.offset) == (start.file_id, len(data))
        data += chunk.data or b""
    assert data == next(iter(world.disks[MemberId(1)].files.values()))[1]

    write(client, 1)
    second = snapshot(client)
    assert read(client, first, start.file_id, 5).offset == 5
    assert read(client, second, start.file_id, 5).offset == 0, "it is another file"
    write(client, 1)
    snapshot(client)
    assert read(client, first, start.file_id, 5).file_bytes == 0, "it is gone"
    assert read(client, first + 1000).file_bytes == 0


def test_a_snapshot_is_not_replaced_while_it_is_read() -> None:
    world = World(snapshot_log_bytes=2000)
    client = started(world)
    newest = snapshot(client)
    for _ in range(40):
        write(client, 1)
        assert read(client, newest).file_bytes
    world.pass_time(3.0)
    write(client, 20)
    assert world.leader.snapshots.newest.index > newest


def test_members_and_clients_get_what_they_asked_for() -> None:
    """Their requests go to the disk side by side."""
    world = World(3)
    leader = world.leader
    client = Client(world, leader.member, OPERATOR)
    client.connect()
    zxid = snapshot(client)
    place = leader.snapshots.newest

    leader.snapshots.lend(MemberId(99), FetchSnapshot(place, 0, 0, 10), world.now)
    chunk = read(client, zxid, length=10)
    world.settle()

    assert chunk.data


def test_the_log_is_read_run_by_run_and_makes_the_same_state() -> None:
    client = started(World())
    world = client.world
    zxid = snapshot(client)
    term = world.leader.raft.log.term_at(world.leader.snapshots.newest.index)
    write(client, 10)

    at: tuple[int, int] = (zxid, term)
    answers = []
    while (answer := read_log(client, *at)).runs:
        assert answer.is_held
        (run,) = answer.runs
        assert run.first == at[0] + 1
        assert run.check == check_of_run(run.first, run.count, run.term, run.is_configuration, run.data or b"")
        at = (run.first + run.count - 1, run.term)
        answers.append(run)
    assert at[0] == answer.last_zxid == world.leader.machine.applied_index
    assert answer.cluster == (world.leader.machine.cluster.id if world.leader.machine.cluster else 0)
    assert len(read_log(client, zxid, term, max_bytes=1 << 20).runs) == len(answers)


def test_what_is_not_held_is_not_followed() -> None:
    """What was cut off, another log's entry, and one that is to come."""
    world = World(snapshot_log_bytes=500)
    client = started(world)
    write(client, 30)
    log = world.leader.raft.log
    before = log.start.index - 1
    for zxid, term in ((before, 1), (log.last_index, 99), (log.last_index + 1000, 1), (-1, 0), (1 << 62, 1)):
        answer = read_log(client, zxid, term)
        assert (answer.is_held, answer.runs) == (False, [])


def test_the_middle_of_a_run_is_no_place_to_go_on_from() -> None:
    world = World()
    client = started(world)
    for number in range(3):
        client.request(OpCode.SET_DATA, SetDataRequest("/a", b"", -1), xid=number)
    world.settle()
    client.frames.clear()
    run = next(run for run in world.leader.raft.log.runs if run.count == 3)
    assert not read_log(client, run.first, run.term).is_held
    assert read_log(client, run.last, run.term).is_held
