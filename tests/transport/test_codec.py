"""Frames survive the way between members, and nothing else passes for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord.raft import MalformedMessage
from coord.raft.messages import NewerTerm
from coord.raft.types import Term
from coord.replica.inputs import Forward, PeerMessage
from coord.transport.codec import decode_frame, encode_frame
from coord_protocol.frames import FrameSplitter
from tests.raft.test_codec import MESSAGES

TALK: st.SearchStrategy[list[PeerMessage]] = st.lists(
    MESSAGES | st.builds(Forward, st.binary(max_size=40)), min_size=1, max_size=5
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
    ],
)
def test_frames_that_no_member_sends_are_refused(frame: bytes, complaint: str) -> None:
    """The link is closed over them, and the log should say why."""
    with pytest.raises(MalformedMessage, match=complaint):
        decode_frame(frame)


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
