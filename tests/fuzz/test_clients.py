"""Whatever a client sends, before its handshake or after, it harms nobody but itself."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.replica.requests import MAX_EARLY_FRAMES
from coord_protocol.errors import MarshallingError
from coord_protocol.extensions import EXTENSIONS_VERSION
from coord_protocol.frames import MAX_FRAME_BYTES, REPLY_HEADER, frame
from coord_protocol.multi import decode_multi_read_request, decode_multi_request
from coord_protocol.records import OPEN_ACL_UNSAFE
from coord_protocol.requests import CreateRequest, OpCode, SyncRequest
from tests.fuzz.damage import HANDSHAKES, NOISE, PATIENT, TALK, bodies, cut_up, damaged
from tests.replica.world import Client, World

CUTS = st.lists(st.integers(0, 400), max_size=4)
SIZES = pytest.mark.parametrize("size", [1, 3])


def stranger_in(world: World) -> Client:
    return world.client(address="10.6.6.6")


def send(world: World, client: Client, data: bytes, cuts: list[int]) -> None:
    """In pieces, each of which is a turn of its own. `World.settle` fails if the servers do not come to rest."""
    for piece in cut_up(data, cuts):
        client.send(piece)
        world.settle()


def assert_harmless(world: World, stranger: Client, sent: int) -> None:
    """Others are served; and of the stranger no more is kept than the beginning of one frame."""
    bystander = world.client()
    assert bystander.connect().session_id
    assert bystander.ask(OpCode.CREATE, CreateRequest("/here-", b"", OPEN_ACL_UNSAFE, 2))[0] in (0, -102)
    assert bystander.ask(OpCode.SYNC, SyncRequest("/"))[0] == 0
    connection = world.replicas[stranger.member].clients.table.get(stranger.id)
    assert (connection is None) == stranger.is_closed
    if connection is not None:
        assert len(connection.unread) <= sent
        assert not connection.pending, "nothing is owed for ever"


@given(NOISE, CUTS)
@settings(PATIENT, max_examples=150)
def test_noise_instead_of_a_handshake(noise: bytes, cuts: list[int]) -> None:
    world = World()
    stranger = stranger_in(world)

    send(world, stranger, noise, cuts)

    assert_harmless(world, stranger, len(noise))


@given(HANDSHAKES, TALK, CUTS)
@settings(PATIENT, max_examples=200)
def test_any_handshake_and_whatever_comes_behind_it(handshake: bytes, talk: list[bytes], cuts: list[int]) -> None:
    world = World()
    stranger = stranger_in(world)
    data = handshake + b"".join(talk)

    send(world, stranger, data, cuts)

    assert_harmless(world, stranger, len(data))


@SIZES
@given(talk=TALK, cuts=CUTS, version=st.sampled_from([0, EXTENSIONS_VERSION]))
@settings(PATIENT, max_examples=150)
def test_any_requests_of_an_open_session(size: int, talk: list[bytes], cuts: list[int], version: int) -> None:
    """Each answer is a frame with a header, and all servers apply what became of it alike."""
    world = World(size)
    stranger = stranger_in(world)
    assert stranger.connect(version=version).session_id
    data = b"".join(talk)

    send(world, stranger, data, cuts)

    assert_harmless(world, stranger, len(data))
    assert all(len(answer) >= REPLY_HEADER.size for answer in stranger.frames)
    world.pass_time(1.0)
    assert len({replica.machine.digest() for replica in world.replicas.values()}) == 1


def test_what_comes_ahead_of_the_answer_to_a_handshake_is_bounded() -> None:
    """Nobody is answered while there is no majority, so nobody's bytes are taken from memory either."""
    world = World(3)
    world.cut_off = {world.leader.member}
    stranger = world.client(world.leader.member)
    stranger.greet()
    world.settle()

    for _ in range(MAX_EARLY_FRAMES + 1):
        stranger.send(frame(bytes(MAX_FRAME_BYTES)))
        world.settle()

    assert stranger.is_closed
    assert stranger.id not in world.replicas[stranger.member].clients.table


@given(damaged(bodies(OpCode.MULTI)))
def test_any_multi_decodes_or_is_refused(body: bytes) -> None:
    for decode in (decode_multi_request, decode_multi_read_request):
        try:
            operations = decode(body, 0)
        except MarshallingError:
            continue
        assert len(operations) <= len(body), "no more than there are bytes for"
