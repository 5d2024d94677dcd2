"""Cutting a stream of bytes into frames."""

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord_protocol.errors import FrameTooLarge
from coord_protocol.frames import MAX_FRAME_BYTES, FrameSplitter, frame


@given(st.lists(st.binary(max_size=30), max_size=8), st.lists(st.integers(0, 250), max_size=12))
def test_frames_do_not_depend_on_how_the_stream_was_cut(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(frame(body) for body in bodies)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    splitter = FrameSplitter()

    received = [body for start, end in pairwise(edges) for body in splitter.feed(stream[start:end])]

    assert received == bodies
    assert splitter.rest == b""


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_are_frames_or_refused(first: bytes, second: bytes) -> None:
    splitter = FrameSplitter(max_bytes=64)
    frames: list[bytes] = []
    with suppress(FrameTooLarge):
        for piece in (first, second):
            frames += splitter.feed(piece)
        assert b"".join(frame(body) for body in frames) + splitter.rest == first + second


def test_the_limit_itself_is_fine() -> None:
    """1,048,575 bytes pass, one more does not (measured on ZooKeeper)."""
    largest = bytes(MAX_FRAME_BYTES)

    assert FrameSplitter().feed(frame(largest)) == [largest]
    with pytest.raises(FrameTooLarge, match="1048576"):
        FrameSplitter().feed(frame(largest + b"x")[:4])


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff", b"ruok"])
def test_frames_before_a_bad_length_are_handed_over(length: bytes) -> None:
    """A server still serves them before it closes the connection."""
    with pytest.raises(FrameTooLarge) as refused:
        FrameSplitter().feed(frame(b"one") + frame(b"two") + length)

    assert refused.value.frames == [b"one", b"two"]
    assert refused.value.length == int.from_bytes(length, "big", signed=True)


def test_an_empty_frame_is_a_frame() -> None:
    assert FrameSplitter().feed(frame(b"")) == [b""]
