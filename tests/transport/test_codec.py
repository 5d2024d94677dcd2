"""Frames survive the way between members, and nothing else passes for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord.raft import MalformedMessage
from coord.raft.messages import NewerTerm
from coord.raft.types import MAX_NUMBER, Index, Place, Term
from coord.replica.inputs import FetchSnapshot, Forward, PeerMessage, SnapshotChunk
from coord.transport.codec import MAX_CHUNK_BYTES, decode_frame, encode_frame
from coord_protocol.frames import FrameSplitter
from tests.raft.test_codec import MESSAGES

NUMBERS = st.integers(1, MAX_NUMBER)
PLACES = st.builds(Place, NUMBERS, NUMBERS)
FETCHES = st.builds(
    FetchSnapshot, PLACES, st.integers(0, MAX_NUMBER), st.integers(0, MAX_NUMBER), st.integers(1, MAX_CHUNK_BYTES)
)
CHUNKS = st.builds(
    lambda place, id_, offset, data, rest: SnapshotChunk(place, id_, offset + len(data) + rest, offset, data),
    PLACES,
    st.integers(0, MAX_NUMBER),
    st.integers(0, 1 << 50),
    st.binary(max_size=40),
    st.integers(0, 1 << 50),
)
TALK: st.SearchStrategy[list[PeerMessage]] = st.lists(
    MESSAGES | st.builds(Forward, st.binary(max_size=40)) | FETCHES | CHUNKS, min_size=1, max_size=5
)
LENGTH_BYTES = 4


@given(TALK)
def test_every_frame_survives_the_wire(messages: list[PeerMessage]) -> None:
    """What arrives is what was sent, in order and of the same kinds, cut from the stream as any other frame."""
    (frame,) = FrameSplitter().feed(encode_frame(messages))

    arrived = decode_frame(frame)

    assert arrived == messages
    assert [type(message) for message in arrived] == [type(message) for message in messages]


@given(st.binary(max_size=80))
def test_noise_is_refused_or_is_a_frame(noise: bytes) -> None:
    """No other exception ever; and what is taken for a frame is exactly the bytes of one."""
    try:
        messages = decode_frame(noise)
    except MalformedMessage:
        return
    assert encode_frame(messages)[LENGTH_BYTES:] == noise


@given(TALK, st.data())
def test_damaged_frames_are_refused_or_are_frames(messages: list[PeerMessage], data: st.DataObject) -> None:
    """A flipped byte, a missing end, bytes after the end: never another exception or a loose reading."""
    frame = bytearray(encode_frame(messages)[LENGTH_BYTES:])
    damage = data.draw(st.sampled_from(("flip", "cut", "extend")))
    position = data.draw(st.integers(0, len(frame) - 1))
    if damage == "flip":
        frame[position] ^= data.draw(st.integers(1, 255))
    elif damage == "cut":
        del frame[position:]
    else:
        frame += data.draw(st.binary(min_size=1, max_size=30))

    try:
        decoded = decode_frame(bytes(frame))
    except MalformedMessage:
        return
    assert encode_frame(decoded)[LENGTH_BYTES:] == frame


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (b"", "a frame of 0 bytes"),
        (b"\0\0\0", "a frame of 3 bytes"),
        (b"\0\0\0\0", "an empty message"),
        (b"\xff\xff\xff\xff\x40", "4294967295 bytes where the frame has 1 left"),
        (b"\0\0\0\x01\x40\0\0", "2 bytes after the last message"),
        (b"\0\0\0\x01\x3f", "kind 63"),
        (b"\0\0\0\x01\x43", "kind 67"),
        (b"\0\0\0\x01\x41", "kind 65 does not have 1 bytes"),
    ],
)
def test_frames_that_no_member_sends_are_refused(frame: bytes, complaint: str) -> None:
    """The link is closed over them, and the log should say why."""
    with pytest.raises(MalformedMessage, match=complaint):
        decode_frame(frame)


def test_a_chunk_that_was_changed_on_the_way_is_refused() -> None:
    """TCP's own checksum lets one damaged segment in some thousands through; a snapshot is large."""
    chunk = SnapshotChunk(Place(Index(7), Term(1)), 5, 100, 0, b"state")
    frame = encode_frame([chunk])[LENGTH_BYTES:]
    assert decode_frame(frame) == [chunk]
    with pytest.raises(MalformedMessage, match="no part of a snapshot"):
        decode_frame(frame[:-1] + b"!")


def test_nobody_is_made_to_read_a_whole_snapshot_at_once() -> None:
    fetch = FetchSnapshot(Place(Index(7), Term(1)), 5, 0, MAX_CHUNK_BYTES + 1)
    with pytest.raises(MalformedMessage, match="1048577 bytes of a snapshot"):
        decode_frame(encode_frame([fetch])[LENGTH_BYTES:])


def test_one_message_to_several_members_is_encoded_once() -> None:
    """Two followers that are equally far get the same object, and then the same bytes."""
    message = NewerTerm(Term(3))

    first, second = encode_frame([message]), encode_frame([message])

    assert first is second


def test_messages_that_follow_each_other_are_not_taken_for_one() -> None:
    """What was encoded last is known by its identity, alone or among others."""
    three, four = NewerTerm(Term(3)), NewerTerm(Term(4))

    frames = [encode_frame(talk) for talk in ([three], [four], [three, four], [four], [three])]

    assert [decode_frame(frame[LENGTH_BYTES:]) for frame in frames] == [
        [three],
        [four],
        [three, four],
        [four],
        [three],
    ]
