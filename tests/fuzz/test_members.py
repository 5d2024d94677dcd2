"""Whatever arrives at the port for members: only a hello makes a link, and a link that brings noise is lost."""

import socket
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from coord.raft.types import Index, MemberId
from coord.replica.inputs import FromPeer, Input
from coord.server.sockets import PeerSocket
from coord.transport.codec import encode_frame
from coord.transport.handshake import SPOKEN, Hello, Refusal, Steps, Versions, accepting, dialling, encode_refusal
from tests.fuzz.damage import NOISE, PATIENT, cut_up, damaged
from tests.transport.test_codec import TALK
from tests.transport.test_handshake import ONE, TWO, standpoint

MAX_PIECE_BYTES = 65_535  # what two bytes of length can ask for

NUMBERS = st.integers(0, 2**64 - 1)
VERSIONS = st.just(SPOKEN) | st.builds(Versions, st.integers(0, 9), st.integers(0, 9))
HELLOS = st.builds(
    Hello,
    VERSIONS,
    st.just(0) | NUMBERS,
    st.integers(0, 9).map(MemberId),
    st.integers(0, 9).map(MemberId),
    NUMBERS,
    NUMBERS,
    NUMBERS.map(Index),
).map(lambda said: said.encode())
REFUSALS = st.text(max_size=40).map(lambda text: encode_refusal(Refusal(text)))


def outcome(steps: Steps, stream: bytes) -> Hello | Refusal | None:
    """What a side makes of the stream; None if it waits for more of it."""
    needed = next(steps)
    while True:
        assert 0 <= needed <= MAX_PIECE_BYTES, "a stranger says how much memory we keep for it"
        if len(stream) < needed:
            return None
        piece, stream = stream[:needed], stream[needed:]
        try:
            needed = steps.send(piece)
        except StopIteration as stop:
            hello: Hello = stop.value
            return hello
        except Refusal as refusal:
            return refusal


@given(NOISE | damaged(HELLOS | REFUSALS))
@settings(PATIENT, max_examples=400)
def test_any_bytes_are_a_hello_refused_or_waited_for(stream: bytes) -> None:
    """On both sides; and who is taken in is a member, and said whom it wants."""
    for result in (outcome(accepting(standpoint(ONE)), stream), outcome(dialling(standpoint(ONE), TWO), stream)):
        if isinstance(result, Hello):
            assert result.sender != ONE
            assert result.receiver in (ONE, 0)
        elif isinstance(result, Refusal):
            assert str(result).isprintable(), "it goes into a log"


@dataclass
class Hub:
    """What a link needs of one."""

    lost: list[MemberId] = field(default_factory=list)

    def want_peer_write(self, peer: PeerSocket, on: bool) -> None:
        """Nothing is written here."""

    def lose_peer(self, peer: PeerSocket) -> None:
        self.lost.append(peer.member)


@given(st.lists(NOISE | damaged(TALK.map(encode_frame)), max_size=4), st.lists(st.integers(0, 300), max_size=4))
@settings(PATIENT, max_examples=300)
def test_a_link_takes_in_frames_of_messages_or_is_lost(pieces: list[bytes], cuts: list[int]) -> None:
    hub = Hub()
    batch: list[Input] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        link = PeerSocket(ours, TWO, hub)
        for piece in cut_up(b"".join(pieces), cuts):
            theirs.sendall(piece)
            link.on_readable(batch)
            if hub.lost:
                break

    assert hub.lost in ([], [TWO])
    assert all(isinstance(item, FromPeer) and item.sender == TWO and item.messages for item in batch)
