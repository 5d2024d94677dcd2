"""Bytes in, bytes out: one replica, or three, without sockets."""

import pytest

from coord.raft.types import MemberId
from coord.replica.inputs import FrameTooLong, Persisted, Received
from coord.tree.acl import OPEN
from coord_protocol.errors import Code
from coord_protocol.extensions import (
    EXTENSIONS_VERSION,
    CreateWithLeaseRequest,
    ExtensionFailure,
    LeaseAndSecret,
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseInfo,
    LeaseInfoRequest,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseListRequest,
    LeaseListResponse,
    LeaseRevokeRequest,
    NameSessionRequest,
    StatusResponse,
)
from coord_protocol.frames import REQUEST_HEADER, frame
from coord_protocol.records import WatcherEvent
from coord_protocol.requests import (
    ConnectResponse,
    Create2Response,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    ExistsRequest,
    ExistsResponse,
    GetDataRequest,
    GetDataResponse,
    OpCode,
    SetDataRequest,
    SetDataResponse,
    SyncRequest,
    SyncResponse,
)
from tests.replica.world import Client, World

SIZES = pytest.mark.parametrize("size", [1, 3])


def create(path: str, data: bytes = b"", flags: int = 0) -> CreateRequest:
    return CreateRequest(path, data, OPEN, flags)


def connected(world: World, member: int = 1) -> Client:
    client = world.client(member)
    assert client.connect().session_id
    return client


@SIZES
def test_what_is_written_is_read(size: int) -> None:
    world = World(size)
    client = connected(world, size)
    assert client.call(OpCode.CREATE, create("/a", b"one"), CreateResponse).path == "/a"
    client.call(OpCode.SET_DATA, SetDataRequest("/a", b"two", 0), SetDataResponse)
    answer = client.call(OpCode.GET_DATA, GetDataRequest("/a", False), GetDataResponse)
    assert answer.data == b"two"
    assert answer.stat.version == 1


@SIZES
def test_replies_come_in_the_order_of_requests(size: int) -> None:
    world = World(size)
    client = connected(world, 1)
    client.request(OpCode.CREATE, create("/a", b"one"), 1)
    client.request(OpCode.GET_DATA, GetDataRequest("/a", False), 2)
    client.request(OpCode.SYNC, SyncRequest("/a"), 3)
    client.request(OpCode.GET_DATA, GetDataRequest("/a", False), 4)
    client.request(OpCode.SET_DATA, SetDataRequest("/a", b"two", -1), 5)
    client.request(OpCode.GET_DATA, GetDataRequest("/nope", False), 6)
    world.settle()
    replies = [client.take() for _ in range(6)]
    assert [xid for xid, *_ in replies] == [1, 2, 3, 4, 5, 6]
    assert [code for _, _, code, _ in replies] == [0, 0, 0, 0, 0, Code.NO_NODE]
    assert GetDataResponse.decode(replies[1][3]).data == b"one"
    assert SyncResponse.decode(replies[2][3]).path == "/a"
    zxids = [zxid for _, zxid, *_ in replies]
    assert zxids == sorted(zxids)


def test_bytes_may_be_cut_anywhere() -> None:
    world = World()
    client = connected(world)
    write = REQUEST_HEADER.pack(1, OpCode.CREATE) + create("/a", b"x" * 50).encode()
    read = REQUEST_HEADER.pack(2, OpCode.GET_DATA) + GetDataRequest("/a", False).encode()
    for byte in frame(write) + frame(read):
        client.send(bytes([byte]))
        world.settle()
    assert [client.take()[0] for _ in range(2)] == [1, 2]


@SIZES
def test_what_comes_with_the_handshake_is_served_when_it_is_answered(size: int) -> None:
    """§2: clients may send auth, setWatches and requests ahead of the answer; then nothing more need come."""
    world = World(size)
    client = world.client(size)
    client.greet()
    client.request(OpCode.CREATE, create("/a", b"one"), 1)
    client.request(OpCode.SYNC, SyncRequest("/a"), 2)
    client.request(OpCode.GET_DATA, GetDataRequest("/a", False), 3)
    world.settle()
    assert ConnectResponse.decode(client.frames.pop(0)).session_id
    assert [client.take()[0] for _ in range(3)] == [1, 2, 3]


@SIZES
def test_an_event_comes_before_the_reply_that_reveals_it(size: int) -> None:
    world = World(size)
    watcher = connected(world, 1)
    watcher.ask(OpCode.EXISTS, ExistsRequest("/a", True))
    watcher.request(OpCode.CREATE, create("/a"), 7)
    world.settle()
    xid, zxid, code, body = watcher.take()
    assert (xid, code) == (-1, 0)
    event = WatcherEvent.decode(body)
    assert (event.type, event.state, event.path) == (1, 3, "/a")
    reply = watcher.take()
    assert reply[:2] == (7, zxid)
    watcher.ask(OpCode.SET_DATA, SetDataRequest("/a", b"", -1))  # the watch was one-shot


def test_curators_containers_are_made_and_answered_with_a_stat() -> None:
    client = connected(World())
    made = client.call(OpCode.CREATE_CONTAINER, create("/locks", flags=4), Create2Response)
    assert (made.path, made.stat.ephemeral_owner) == ("/locks", 0)


def test_a_body_that_does_not_decode_leaves_the_connection_open() -> None:
    world = World()
    client = connected(world)
    assert client.ask(OpCode.CREATE, b"\0\0") == (Code.MARSHALLING_ERROR, b"")
    assert client.ask(OpCode.GET_DATA, b"\0\0\0\7/a") == (Code.MARSHALLING_ERROR, b"")
    assert client.ask(OpCode.EXISTS, ExistsRequest("/", False))[0] == 0


def test_an_unknown_opcode_is_answered_and_ends_the_connection() -> None:
    world = World()
    client = connected(world)
    client.send(b"\0\0\0\x08" + b"\0\0\0\x05" + b"\0\0\3\xe7")
    world.settle()
    assert client.take() == (5, -1, Code.UNIMPLEMENTED, b"")
    assert client.is_closed


def test_an_unknown_opcode_waits_for_what_was_asked_before() -> None:
    """As ZooKeeper's, its answer is in order, and ends the connection only then; what comes behind it is not served.

    Found by the differential tester: a delete in flight lost its answer.
    """
    world = World()
    client = connected(world)
    client.request(OpCode.CREATE, create("/a"), xid=1)
    client.request(OpCode.NOTIFICATION, xid=2)
    client.request(OpCode.CREATE, create("/b"), xid=3)
    world.settle()

    assert client.take()[::2] == (1, Code.OK)
    assert client.take() == (2, -1, Code.UNIMPLEMENTED, b"")
    assert not client.frames
    assert client.is_closed
    assert connected(world).ask(OpCode.EXISTS, ExistsRequest("/b", False))[0] == Code.NO_NODE


@pytest.mark.parametrize("session", [-1, -(2**63), 2**63 - 1])
def test_a_session_id_that_nobody_was_given_is_refused(session: int) -> None:
    """Found by tests/fuzz: a negative one ended the server, for it has no password."""
    world = World()

    assert world.client().connect(session=session).timeout_ms == 0
    assert connected(world).ask(OpCode.EXISTS, ExistsRequest("/", False))[0] == Code.OK


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff", b"\0\x10\0\0", b"\0\0\0\4\0\0\0\0"])
def test_a_bad_frame_ends_the_connection(length: bytes) -> None:
    world = World()
    client = connected(world)
    client.send(length)
    world.settle()
    assert client.is_closed


def test_a_request_that_is_too_long_is_told_of() -> None:
    """Whoever runs the server finds the limit's name in its log."""
    world = World()
    connected(world).send(b"\0\x10\0\0")
    world.settle()
    assert FrameTooLong("10.1.2.3", 1 << 20, (1 << 20) - 1) in world.events


@SIZES
def test_a_session_is_taken_up_elsewhere_and_the_old_connection_is_closed(size: int) -> None:
    world = World(size)
    first = world.client(1)
    session = first.connect()
    first.ask(OpCode.CREATE, create("/e", flags=1))
    second = world.client(size)
    again = second.connect(session.session_id, session.password, last_zxid=3)
    assert again.session_id == session.session_id
    world.pass_time(0.05)
    assert first.is_closed
    found = second.call(OpCode.EXISTS, ExistsRequest("/e", False), ExistsResponse)
    assert found.stat.ephemeral_owner == session.session_id


def test_a_wrong_password_is_refused_and_disturbs_nobody() -> None:
    world = World()
    owner = world.client()
    session = owner.connect()
    thief = world.client()
    answer = thief.connect(session.session_id, b"x" * 16)
    assert (answer.timeout_ms, answer.session_id, answer.password) == (0, 0, bytes(16))
    assert thief.is_closed
    assert owner.ask(OpCode.EXISTS, ExistsRequest("/", False))[0] == 0


def test_who_has_seen_more_than_there_is_gets_no_session() -> None:
    """A client that saw what this cluster never had: from a restored backup, or of another cluster."""
    world = World()
    client = world.client()
    assert client.connect(last_zxid=10**9).session_id == 0
    assert client.is_closed


@SIZES
def test_the_end_of_a_session_takes_its_ephemerals(size: int) -> None:
    world = World(size)
    client = connected(world, size)
    client.ask(OpCode.CREATE, create("/e", flags=1))
    other = connected(world, 1)
    assert client.ask(OpCode.CLOSE_SESSION, b"", 9) == (0, b"")
    assert client.is_closed
    assert other.ask(OpCode.EXISTS, ExistsRequest("/e", False))[0] == Code.NO_NODE


@SIZES
def test_a_silent_session_ends_after_its_timeout_and_not_before(size: int) -> None:
    world = World(size)
    silent = connected(world, size)
    silent.ask(OpCode.CREATE, create("/e", flags=1))
    other = connected(world, 1)
    for _ in range(6):
        world.pass_time(0.9)
        assert other.ask(OpCode.EXISTS, ExistsRequest("/e", False))[0] == 0
    world.pass_time(1.3)  # 6.7 s in all: the timeout of 6 s, its grace of 0.5 s, and a tick
    assert other.ask(OpCode.EXISTS, ExistsRequest("/e", False))[0] == Code.NO_NODE
    assert silent.is_closed


@pytest.mark.parametrize("heartbeat", [0.05, 1.0])
def test_leases_end_on_time_whatever_the_heartbeat(heartbeat: float) -> None:
    """An idle leader looks at its clock once per heartbeat; that must not slow the lease clock."""
    world = World(heartbeat=heartbeat)
    silent = connected(world)
    world.pass_time(6.0, step=heartbeat)
    assert not silent.is_closed
    world.pass_time(2.0, step=heartbeat)
    assert silent.is_closed


def test_a_server_that_is_alone_serves_in_the_turns_of_its_start() -> None:
    """What a new leader has to say leaves at once: it does not wait for the next heartbeat."""
    world = World(heartbeat=1000.0)

    assert world.now == 100.01, "one step of the world's clock, in which all its turns were taken"


def test_a_leader_that_was_not_awake_ends_no_lease() -> None:
    """SIGSTOP, a machine that is moved: nobody could keep a lease alive meanwhile."""
    world = World()
    client = connected(world)
    world.pass_time(3600.0, step=3600.0)
    assert not client.is_closed
    client.request(OpCode.PING, b"", -2)
    world.pass_time(0.2)
    assert client.take()[0] == -2


@SIZES
def test_a_ping_is_answered_within_a_tick_and_keeps_the_session(size: int) -> None:
    world = World(size)
    client = connected(world, size)
    for _ in range(8):
        world.pass_time(1.5)
        client.request(OpCode.PING, b"", -2)
        world.pass_time(0.15)
        assert client.take()[0] == -2
    assert not client.is_closed


def test_a_member_cut_off_holds_its_replies_and_gives_them_when_it_is_back() -> None:
    world = World(3)
    member = next(number for number in (1, 2, 3) if not world.replicas[number].raft.is_leader)  # type: ignore[index]
    client = connected(world, member)
    world.cut_off.add(client.member)
    world.pass_time(1.0)
    assert client.ask(OpCode.EXISTS, ExistsRequest("/", False), 2)[0] == 0  # a third of 6 s is not over
    world.pass_time(2.0)
    client.request(OpCode.EXISTS, ExistsRequest("/", False), 3)
    client.request(OpCode.PING, b"", -2)
    world.pass_time(1.0)
    assert client.frames == [], "any reply would be taken as a sign that the session lives"
    world.cut_off.clear()
    world.pass_time(1.5)
    assert sorted(client.take()[0] for _ in range(2)) == [-2, 3]


def test_writes_survive_the_death_of_the_leader_they_were_sent_to() -> None:
    world = World(3)
    leader = world.leader.member
    other = next(member for member in world.replicas if member != leader)
    client = connected(world, other)
    world.cut_off.add(leader)
    client.request(OpCode.CREATE, create("/a"), 1)
    world.pass_time(3.0)
    assert client.take()[::2] == (1, 0)
    assert any(one.raft.is_leader for member, one in world.replicas.items() if member != leader)


def test_congestion_is_told_and_passes() -> None:
    world = World(1, max_outstanding_bytes=1000)
    client = connected(world)
    client.request(OpCode.CREATE, create("/a", b"x" * 2000), 1)
    replica = world.replicas[client.member]
    replica.handle(Received(client.id, world.take_inbox(client.member)))
    turn = replica.take_ready()
    assert replica.is_congested
    assert turn.persist is not None
    replica.handle(Persisted(turn.persist.token))
    replica.apply(replica.take_ready())
    assert not replica.is_congested


# Leases


def grant(client: Client, ttl_ms: int = 2000, name: str = "backup") -> LeaseGrantResponse:
    return client.call(OpCode.LEASE_GRANT, LeaseGrantRequest(ttl_ms, name, b"meta", 0), LeaseGrantResponse)


@SIZES
def test_a_lease_outlives_its_connection_and_takes_its_keys_with_it(size: int) -> None:
    world = World(size)
    client = connected(world, size)
    lease = grant(client)
    made = CreateWithLeaseRequest("/k", b"v", OPEN, 0, lease.lease_id, lease.secret)
    created = client.call(OpCode.CREATE_WITH_LEASE, made, Create2Response)
    assert created.stat.ephemeral_owner == lease.lease_id
    info = client.call(OpCode.LEASE_INFO, LeaseInfoRequest(lease.lease_id), LeaseInfo)
    assert (info.kind, info.name, info.ttl_ms, info.keys, info.meta) == ("lease", "backup", 2000, ["/k"], b"meta")
    assert 1900 <= info.remaining_ms <= 2000
    client.ask(OpCode.CLOSE_SESSION)
    other = connected(world, 1)
    keep = LeaseKeepAliveRequest([LeaseAndSecret(lease.lease_id, lease.secret), LeaseAndSecret(77, bytes(16))])
    for _ in range(3):
        world.pass_time(1.5)
        answer = other.call(OpCode.LEASE_KEEP_ALIVE, keep, LeaseKeepAliveResponse)
        assert answer.remaining_ms == [2000, -1]
    assert other.ask(OpCode.EXISTS, ExistsRequest("/k", False))[0] == 0
    world.pass_time(2.4)
    assert other.ask(OpCode.EXISTS, ExistsRequest("/k", False))[0] == Code.NO_NODE
    answer = other.call(OpCode.LEASE_KEEP_ALIVE, keep, LeaseKeepAliveResponse)
    assert answer.remaining_ms == [-1, -1]


def test_who_does_not_know_the_secret_cannot_touch_a_lease() -> None:
    world = World()
    client = connected(world)
    lease = grant(client)
    wrong = bytes(16)
    for opcode, request in (
        (OpCode.LEASE_REVOKE, LeaseRevokeRequest(lease.lease_id, wrong)),
        (OpCode.CREATE_WITH_LEASE, CreateWithLeaseRequest("/k", b"", OPEN, 0, lease.lease_id, wrong)),
    ):
        code, body = client.ask(opcode, request)
        assert code == Code.NO_LEASE
        assert "secret" in ExtensionFailure.decode(body).text
    keep = LeaseKeepAliveRequest([LeaseAndSecret(lease.lease_id, wrong)])
    assert client.call(OpCode.LEASE_KEEP_ALIVE, keep, LeaseKeepAliveResponse).remaining_ms == [-1]
    assert client.ask(OpCode.LEASE_REVOKE, LeaseRevokeRequest(lease.lease_id, lease.secret)) == (0, b"")
    assert client.ask(OpCode.LEASE_INFO, LeaseInfoRequest(lease.lease_id))[0] == Code.NO_LEASE


@pytest.mark.parametrize(("ttl_ms", "lease_id"), [(999, 0), (0, 0), (-5, 0), (1 << 60, 0), (2000, 7)])
def test_an_impossible_grant_is_refused_with_the_reason(ttl_ms: int, lease_id: int) -> None:
    client = connected(World())
    code, body = client.ask(OpCode.LEASE_GRANT, LeaseGrantRequest(ttl_ms, "", None, lease_id))
    assert code == Code.EXTENSION_ERROR
    text = ExtensionFailure.decode(body).text
    assert "expected 1000" in text if lease_id == 0 else "give 0" in text


def test_leases_and_sessions_are_listed_with_holder_and_keys() -> None:
    world = World()
    client = connected(world)
    assert client.ask(OpCode.NAME_SESSION, NameSessionRequest("worker-7")) == (0, b"")
    client.ask(OpCode.CREATE, create("/lock", flags=1))
    grant(client, name="nightly")
    listed = client.call(OpCode.LEASE_LIST, LeaseListRequest(""), LeaseListResponse).leases
    assert [(one.kind, one.name, one.keys) for one in listed] == [
        ("session", "worker-7", ["/lock"]),
        ("lease", "nightly", []),
    ]
    only = client.call(OpCode.LEASE_LIST, LeaseListRequest("lease"), LeaseListResponse).leases
    assert [one.name for one in only] == ["nightly"]


def test_extensions_are_discovered_in_the_handshake() -> None:
    world = World()
    assert world.client().connect(version=EXTENSIONS_VERSION).protocol_version == EXTENSIONS_VERSION
    assert world.client().connect(version=0).protocol_version == 0


def test_status_tells_of_the_cluster() -> None:
    import json

    world = World(3)
    client = connected(world, world.leader.member)
    client.ask(OpCode.CREATE, create("/a"))
    code, body = client.ask(OpCode.STATUS)
    assert code == 0
    status = json.loads(StatusResponse.decode(body).json)
    assert status["role"] == "leader"
    assert status["leader"] == world.leader.member
    assert 0 < status["applied_index"] == status["commit_index"] <= world.leader.machine.applied_index
    assert {member: one["client"] for member, one in status["members"].items()} == {
        str(member): f"host{member}:2181" for member in (1, 2, 3)
    }
    assert [one["match_index"] for one in status["members"].values()] == [status["last_index"]] * 3
    assert status["wall_ms"] == int(world.now * 1000)
    assert status["requests"] == {"received": 2, "sent": 2, "outstanding": 0}  # a reply to the handshake, too
    assert status["latency"]["samples"] > 0
    assert 0.0 <= status["latency"]["p50_ms"] <= status["latency"]["p99_ms"] <= status["latency"]["max_ms"]


def test_the_leader_tells_how_far_and_how_near_each_member_is() -> None:
    import json

    world = World(3)
    world.cut_off.add(MemberId(3))
    client = connected(world, world.leader.member)
    client.ask(OpCode.CREATE, create("/a"))
    world.pass_time(0.3)

    members = json.loads(StatusResponse.decode(client.ask(OpCode.STATUS)[1]).json)["members"]

    near, far = members["2"], members["3"]
    assert near["match_index"] > far["match_index"]
    assert near["round_trip_ms"] == 0.0, "the network of these tests takes no time"
    assert near["silent_ms"] < 100 <= far["silent_ms"]
    follower = connected(world, 2)
    of_follower = json.loads(StatusResponse.decode(follower.ask(OpCode.STATUS)[1]).json)["members"]
    assert {one["match_index"] for one in of_follower.values()} == {None}


def test_a_silent_stranger_is_shown_the_door() -> None:
    world = World()
    stranger = world.client()
    world.pass_time(9.9)
    assert not stranger.is_closed
    world.pass_time(0.2)
    assert stranger.is_closed


def test_a_delete_by_version() -> None:
    client = connected(World())
    client.ask(OpCode.CREATE, create("/a"))
    assert client.ask(OpCode.DELETE, DeleteRequest("/a", 3))[0] == Code.BAD_VERSION
    assert client.ask(OpCode.DELETE, DeleteRequest("/a", 0)) == (0, b"")
