"""Messages survive the wire, and nothing else does."""

from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord.raft import MalformedMessage, Message, Run, Term, decode_message, encode_message
from coord.raft.messages import (
    Append,
    AppendRejected,
    AppendReply,
    NewerTerm,
    OfferSnapshot,
    PreVoteReply,
    ReadIndex,
    ReadIndexReply,
    RequestPreVote,
    RequestVote,
    TimeoutNow,
    VoteReply,
)
from coord.raft.types import MAX_NUMBER, MAX_RUN_COUNT, MAX_RUNS, Index, Round

from .texts import append

Kind = TypeVar("Kind", bound=msgspec.Struct)

NUMBERS = st.integers(0, 9) | st.integers(0, MAX_NUMBER)
TERMS = st.integers(1, 9) | st.integers(1, MAX_NUMBER)
LATER_TERMS = st.integers(2, 9) | st.integers(2, MAX_NUMBER)


@st.composite
def places(draw: st.DrawFn, max_term: int) -> tuple[int, int]:
    """(index, term) of an entry, or of the place before the first."""
    if draw(st.booleans()):
        return 0, 0
    return draw(st.integers(1, MAX_NUMBER >> 8)), draw(st.integers(1, max_term))


@st.composite
def appends(draw: st.DrawFn) -> Append:
    term = draw(TERMS)
    prev_index, prev_term = draw(places(term))
    last, last_term = prev_index, prev_term or 1
    carried: list[Run] = []
    for data in draw(st.lists(st.binary(max_size=20), max_size=5)):
        last_term = draw(st.integers(last_term, term))
        count = draw(st.integers(1, 9) | st.integers(1, MAX_RUN_COUNT))
        carried.append(Run(Index(last + 1), count, Term(last_term), data))
        last += count
    return Append(
        Term(term),
        Index(prev_index),
        Term(prev_term),
        Index(draw(NUMBERS)),
        Round(draw(NUMBERS)),
        tuple(carried),
    )


@st.composite
def with_place(draw: st.DrawFn, kind: type[Kind], *more: st.SearchStrategy[Any]) -> Kind:
    """A message of (term, last_index, last_term, …), of a sender whose log is of earlier terms."""
    term = draw(LATER_TERMS)
    return kind(term, *draw(places(term - 1)), *[draw(one) for one in more])


@st.composite
def rejections(draw: st.DrawFn) -> AppendRejected:
    term = draw(TERMS)
    hint_index, hint_term = draw(places(term))
    prev_index = draw(st.integers(hint_index, MAX_NUMBER))
    return AppendRejected(Term(term), Round(draw(NUMBERS)), Index(prev_index), Index(hint_index), Term(hint_term))


@st.composite
def offers(draw: st.DrawFn) -> OfferSnapshot:
    term = draw(TERMS)
    index, snapshot_term = draw(places(term).filter(any))
    return OfferSnapshot(Term(term), Round(draw(NUMBERS)), Index(index), Term(snapshot_term))


MESSAGES: st.SearchStrategy[Message] = st.one_of(
    appends(),
    st.builds(AppendReply, TERMS, NUMBERS, NUMBERS, st.integers(0, 9) | st.integers(0, (1 << 32) - 1)),
    rejections(),
    with_place(RequestPreVote),
    st.builds(PreVoteReply, NUMBERS.filter(lambda number: number < MAX_NUMBER), st.booleans()),
    with_place(RequestVote, st.booleans()),
    st.builds(VoteReply, NUMBERS.filter(lambda number: number < MAX_NUMBER), st.booleans()),
    st.builds(TimeoutNow, TERMS),
    st.builds(ReadIndex, TERMS, NUMBERS),
    st.builds(ReadIndexReply, TERMS, NUMBERS, NUMBERS),
    st.builds(NewerTerm, TERMS),
    offers(),
)


@given(MESSAGES)
def test_every_message_survives_the_wire(message: Message) -> None:
    """What arrives is what was sent, of the same kind."""
    assert decode_message(encode_message(message)) == message
    assert type(decode_message(encode_message(message))) is type(message)


@given(st.binary(max_size=80))
def test_noise_is_refused_or_is_a_message(noise: bytes) -> None:
    """No other exception ever; and what is taken for a message is exactly the bytes of one."""
    try:
        message = decode_message(noise)
    except MalformedMessage:
        return
    assert encode_message(message) == noise


@given(MESSAGES, st.data())
def test_damaged_messages_are_refused_or_are_messages(message: Message, data: st.DataObject) -> None:
    """A flipped byte, a missing end, bytes after the end: never another exception or a loose reading."""
    body = bytearray(encode_message(message))
    damage = data.draw(st.sampled_from(("flip", "cut", "extend")))
    position = data.draw(st.integers(0, len(body) - 1))
    if damage == "flip":
        body[position] ^= data.draw(st.integers(1, 255))
    elif damage == "cut":
        del body[position:]
    else:
        body += data.draw(st.binary(min_size=1, max_size=30))

    try:
        decoded = decode_message(bytes(body))
    except MalformedMessage:
        return
    assert encode_message(decoded) == body


def test_length_of_a_run_is_not_believed_before_it_is_there() -> None:
    """A length of 4 GiB must not make anybody allocate it."""
    body = bytearray(encode_message(append("1/1", "1/2")))
    body[-7:-3] = b"\xff\xff\xff\xff"

    with pytest.raises(MalformedMessage, match="4294967295 bytes"):
        decode_message(bytes(body))


def test_number_of_runs_is_bounded() -> None:
    """A count is refused before anything is done for it."""
    head = encode_message(append("1/1"))

    with pytest.raises(MalformedMessage, match="runs in one Append"):
        decode_message(head[:-4] + (MAX_RUNS + 1).to_bytes(4, "big"))


@pytest.mark.parametrize(
    "message",
    [
        TimeoutNow(Term(0)),
        TimeoutNow(Term(MAX_NUMBER + 1)),
        RequestVote(Term(3), Index(5), Term(3), transfer=False),  # nobody stands in the term of its own log
        RequestVote(Term(3), Index(0), Term(1), transfer=False),
        RequestPreVote(Term(3), Index(5), Term(0)),
        AppendRejected(Term(3), Round(1), Index(4), Index(5), Term(1)),
        append("1/1", "3/2", term=2),
        append("2/1", "1/2", term=2),
        append("3/1", term=2),
        OfferSnapshot(Term(2), Round(1), Index(5), Term(3)),
        OfferSnapshot(Term(2), Round(1), Index(5), Term(0)),
        OfferSnapshot(Term(2), Round(1), Index(0), Term(0)),
        OfferSnapshot(Term(2), Round(MAX_NUMBER + 1), Index(5), Term(2)),
    ],
)
def test_what_no_member_would_say_is_refused(message: Message) -> None:
    """Raft takes these things for granted, so the codec sees to them."""
    with pytest.raises(MalformedMessage):
        decode_message(encode_message(message))


def test_indexes_do_not_run_over() -> None:
    """The last index of an append must fit as well, not only the first."""
    at_the_end = Append(
        Term(1),
        Index(MAX_NUMBER),
        Term(1),
        Index(0),
        Round(1),
        (Run(Index(0), 1, Term(1), b""),),
    )

    with pytest.raises(MalformedMessage, match="out of range"):
        decode_message(encode_message(at_the_end))
