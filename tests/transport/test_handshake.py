"""Who may be linked to whom, and what the others are told."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord.raft.types import MemberId
from coord.transport.handshake import (
    MAX_TEXT_BYTES,
    Hello,
    Refusal,
    Steps,
    accepting,
    dialling,
    encode_refusal,
)

ONE, TWO, THREE, NINE = MemberId(1), MemberId(2), MemberId(3), MemberId(9)
ALL = (ONE, TWO, THREE)


def nobody(member: MemberId) -> int:
    """The log knows no directory yet."""
    return 0


def hello(sender: MemberId, receiver: MemberId, cluster: int = 0, incarnation: int = 1, directory: int = 5) -> Hello:
    return Hello(cluster, sender, receiver, incarnation, directory)


def follow(steps: Steps, stream: bytes) -> tuple[Hello, bytes]:
    """Run a side of the handshake on what the other sends: its hello, and what is left of the stream."""
    needed = next(steps)
    while len(stream) >= needed:
        data, stream = stream[:needed], stream[needed:]
        try:
            needed = steps.send(data)
        except StopIteration as stop:
            return stop.value, stream
    raise EOFError


def test_members_of_one_cluster_are_linked() -> None:
    asked, answered = hello(ONE, TWO, cluster=7), hello(TWO, ONE, cluster=7, incarnation=4)

    assert follow(accepting(TWO, ALL, 7, nobody), asked.encode()) == (asked, b"")
    assert follow(dialling(ONE, TWO, 7, nobody), answered.encode()) == (answered, b"")


def test_handshake_takes_nothing_of_what_follows() -> None:
    """The first frame may come in the same packet."""
    stream = hello(ONE, TWO).encode() + b"a frame"

    assert follow(accepting(TWO, ALL, 0, nobody), stream)[1] == b"a frame"


def test_member_with_its_own_directory_is_linked() -> None:
    follow(accepting(TWO, ALL, 7, {ONE: 5}.__getitem__), hello(ONE, TWO).encode())
    follow(dialling(ONE, TWO, 7, {TWO: 5}.__getitem__), hello(TWO, ONE).encode())


def test_member_that_lost_its_directory_is_refused_by_both_sides() -> None:
    """It would vote, and acknowledge, as one that had promised nothing yet."""
    with pytest.raises(Refusal, match="member 1 comes with another data directory than the one it had"):
        follow(accepting(TWO, ALL, 7, {ONE: 6}.__getitem__), hello(ONE, TWO, cluster=0).encode())
    with pytest.raises(Refusal, match="start it on its own directory or on a copy of it"):
        follow(dialling(ONE, TWO, 7, {TWO: 6}.__getitem__), hello(TWO, ONE, cluster=0).encode())


@pytest.mark.parametrize(("theirs", "ours"), [(0, 0), (0, 7), (7, 0)])
def test_member_that_does_not_know_its_cluster_yet_is_linked(theirs: int, ours: int) -> None:
    """A new cluster learns its id from its own log, and a new member from the log of the others."""
    follow(accepting(TWO, ALL, ours, nobody), hello(ONE, TWO, theirs).encode())
    follow(dialling(ONE, TWO, ours, nobody), hello(TWO, ONE, theirs).encode())


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"GET / HTTP/1.1\r\n", "something that is not a coord member connected to the peer port of member 2.*GET /"),
        (struct.pack(">4sH", b"CRDP", 2) + bytes(99), "member 2 speaks version 1 .* the other side version 2: run rel"),
        (hello(ONE, THREE).encode(), "this is member 2, but member 1 wanted member 3: correct the address of member 3"),
        (hello(NINE, TWO).encode(), r"member 9 is not in \[members\] of member 2 \(1, 2, 3\)"),
        (hello(THREE, TWO).encode(), "member 3 dialled member 2, but a link is dialled by the lower id"),
        (hello(TWO, TWO).encode(), "member 2 dialled member 2.*another server running with id 2"),
        (
            hello(ONE, TWO, 7).encode(),
            "member 1 is of cluster 0000000000000007 and member 2 of cluster 0000000000000008",
        ),
    ],
)
def test_acceptor_refuses(stream: bytes, text: str) -> None:
    """Each with what is wrong and what to do about it."""
    with pytest.raises(Refusal, match=text):
        follow(accepting(TWO, ALL, 8, nobody), stream)


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"HTTP/1.1 400 Bad Request", "what listens at the address of member 2 is not a coord member.*HTTP/1"),
        (struct.pack(">4sH", b"CRDP", 2) + bytes(99), "member 1 speaks version 1 .* the other side version 2: run rel"),
        (
            hello(THREE, ONE).encode(),
            r"the address of member 2 leads to member 3.*correct it in \[members\] of member 1",
        ),
        (hello(TWO, THREE).encode(), "which answers member 3"),
        (
            hello(TWO, ONE, 7).encode(),
            "member 2 is of cluster 0000000000000007 and member 1 of cluster 0000000000000008",
        ),
        (encode_refusal(Refusal("only on Sundays")), "^only on Sundays$"),
        (encode_refusal(Refusal("")), "^$"),
    ],
)
def test_dialler_refuses(stream: bytes, text: str) -> None:
    """It checks the answer as it was checked itself, and takes a refusal's text over as it is."""
    with pytest.raises(Refusal, match=text):
        follow(dialling(ONE, TWO, 8, nobody), stream)


@given(st.text(), st.binary(max_size=20))
def test_refusals_are_short_and_safe_to_log(text: str, after: bytes) -> None:
    """A stranger cannot fill the log, nor forge lines in it."""
    with pytest.raises(Refusal) as caught:
        follow(dialling(ONE, TWO, 0, nobody), encode_refusal(Refusal(text * 99)) + after)

    assert len(str(caught.value)) <= MAX_TEXT_BYTES
    assert str(caught.value).isprintable()


@given(st.binary(max_size=80))
def test_noise_is_refused_or_never_enough(noise: bytes) -> None:
    """Whatever comes, no other exception."""
    for steps in (accepting(TWO, ALL, 0, nobody), dialling(ONE, TWO, 0, nobody)):
        with pytest.raises((Refusal, EOFError)):
            follow(steps, noise)


@given(st.binary(min_size=32, max_size=32))
def test_any_body_of_a_hello_is_read_as_numbers(body: bytes) -> None:
    """After a good head nothing is malformed: it is somebody, wanted or not."""
    with pytest.raises(Refusal):
        follow(accepting(MemberId(0), ALL, 0, nobody), struct.pack(">4sH", b"CRDP", 1) + body)
