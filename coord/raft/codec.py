"""Messages as bytes: one byte of kind, then fixed fields, big-endian. Framing is the transport's business.

    0  Append           term prev_index prev_term commit_index round count, and for each run:
                        count term length data; a count of 0 stands for one entry that is a configuration
    1  AppendReply      term round match_index
    2  AppendRejected   term round prev_index hint_index hint_term
    3  RequestPreVote   term last_index last_term
    4  PreVoteReply     term granted
    5  RequestVote      term last_index last_term transfer
    6  VoteReply        term granted
    7  TimeoutNow       term
    8  ReadIndex        term batch
    9  ReadIndexReply   term batch index
   10  NewerTerm        term
   11  OfferSnapshot    term round index snapshot_term
   12  AppendReply      term round match_index lent_ms; 1 stands for a lent_ms of 0

Terms, indexes, rounds and batches take 8 bytes, lengths, counts and milliseconds 4, flags 1. A run's first index is not
sent: it follows from what comes before it. The data of runs is copied once, into the message.

What is decoded obeys everything that `Raft` takes for granted about a single message; anything else is
refused here.
"""

import struct
from struct import Struct
from typing import assert_never

from .configuration import decode_configuration
from .messages import (
    Append,
    AppendRejected,
    AppendReply,
    Message,
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
from .types import MAX_NUMBER, MAX_RUN_BYTES, MAX_RUNS, Run

_APPEND = Struct(">BQQQQQI")
_RUN = Struct(">IQI")
_APPEND_REPLY = Struct(">BQQQ")
_LENDING_APPEND_REPLY = Struct(">BQQQI")
_APPEND_REJECTED = Struct(">BQQQQQ")
_REQUEST_PRE_VOTE = Struct(">BQQQ")
_PRE_VOTE_REPLY = Struct(">BQB")
_REQUEST_VOTE = Struct(">BQQQB")
_VOTE_REPLY = Struct(">BQB")
_TIMEOUT_NOW = Struct(">BQ")
_READ_INDEX = Struct(">BQQ")
_READ_INDEX_REPLY = Struct(">BQQQ")
_NEWER_TERM = Struct(">BQ")
_OFFER_SNAPSHOT = Struct(">BQQQQ")


class MalformedMessage(Exception):
    """A peer sent bytes that no member of this version would send: close the connection."""


def encode_message(message: Message) -> bytes:
    """The bytes of one message."""
    match message:  # the most frequent first
        case Append():
            return _encode_append(message)
        case AppendReply(term, round_, match_index, lent_ms):
            if lent_ms:
                return _LENDING_APPEND_REPLY.pack(12, term, round_, match_index, lent_ms)
            return _APPEND_REPLY.pack(1, term, round_, match_index)
        case AppendRejected(term, round_, prev_index, hint_index, hint_term):
            return _APPEND_REJECTED.pack(2, term, round_, prev_index, hint_index, hint_term)
        case RequestPreVote(term, last_index, last_term):
            return _REQUEST_PRE_VOTE.pack(3, term, last_index, last_term)
        case PreVoteReply(term, granted):
            return _PRE_VOTE_REPLY.pack(4, term, granted)
        case RequestVote(term, last_index, last_term, transfer):
            return _REQUEST_VOTE.pack(5, term, last_index, last_term, transfer)
        case VoteReply(term, granted):
            return _VOTE_REPLY.pack(6, term, granted)
        case TimeoutNow(term):
            return _TIMEOUT_NOW.pack(7, term)
        case ReadIndex(term, batch):
            return _READ_INDEX.pack(8, term, batch)
        case ReadIndexReply(term, batch, index):
            return _READ_INDEX_REPLY.pack(9, term, batch, index)
        case NewerTerm(term):
            return _NEWER_TERM.pack(10, term)
        case OfferSnapshot(term, round_, index, snapshot_term):
            return _OFFER_SNAPSHOT.pack(11, term, round_, index, snapshot_term)
        case _:
            assert_never(message)


def _encode_append(message: Append) -> bytes:
    runs = message.runs
    head = _APPEND.pack(
        0,
        message.term,
        message.prev_index,
        message.prev_term,
        message.commit_index,
        message.round,
        len(runs),
    )
    if not runs:
        return head
    pieces = [head]
    for run in runs:
        count = 0 if run.is_configuration else run.count
        pieces += (_RUN.pack(count, run.term, len(run.data)), run.data)
    return b"".join(pieces)


def decode_message(body: bytes) -> Message:
    """The message that these bytes are, all of them. Raises `MalformedMessage`."""
    kind = body[0] if body else -1
    try:
        if kind == 0:
            return _decode_append(body)
        if kind == 1:
            _, term, round_, match_index = _APPEND_REPLY.unpack(body)
            _check_numbers(term, round_, match_index)
            return AppendReply(term, round_, match_index)
        return _decode_rare(kind, body)
    except struct.error:
        raise MalformedMessage(f"a message of kind {kind} does not have {len(body)} bytes") from None


def _decode_append(body: bytes) -> Append:
    _, term, prev_index, prev_term, commit_index, round_, count = _APPEND.unpack_from(body)
    _check_numbers(term, commit_index, round_)
    _check_place(prev_index, prev_term, term)
    if count > MAX_RUNS:
        raise MalformedMessage(f"{count} runs in one Append; at most {MAX_RUNS} are sent")
    runs: list[Run] = []
    offset = _APPEND.size
    last_index, last_term = prev_index, prev_term or 1
    for _ in range(count):
        entries, run_term, length = _RUN.unpack_from(body, offset)
        start = offset + _RUN.size
        offset = start + length
        if length > MAX_RUN_BYTES or offset > len(body):
            raise MalformedMessage(f"a run of {entries} entries and {length} bytes after index {last_index}")
        if not last_term <= run_term <= term:
            raise MalformedMessage(f"a run of term {run_term} between terms {last_term} and {term}")
        data = body[start:offset]
        if entries:
            runs.append(Run(last_index + 1, entries, run_term, data))
        else:
            entries = 1
            runs.append(Run(last_index + 1, 1, run_term, data, _is_configuration(data)))
        last_index, last_term = last_index + entries, run_term
    if offset != len(body):
        raise MalformedMessage(f"{len(body) - offset} bytes after the last run")
    if last_index > MAX_NUMBER:
        raise MalformedMessage(f"index {last_index} is out of range")
    return Append(term, prev_index, prev_term, commit_index, round_, tuple(runs))


def _decode_rare(kind: int, body: bytes) -> Message:
    match kind:
        case 2:
            _, term, round_, prev_index, hint_index, hint_term = _APPEND_REJECTED.unpack(body)
            _check_numbers(term, round_, prev_index)
            _check_place(hint_index, hint_term, term)
            if hint_index > prev_index:
                raise MalformedMessage(f"hint {hint_index} is after the rejected index {prev_index}")
            return AppendRejected(term, round_, prev_index, hint_index, hint_term)
        case 3:
            _, term, last_index, last_term = _REQUEST_PRE_VOTE.unpack(body)
            _check_numbers(term)
            _check_place(last_index, last_term, term - 1)
            return RequestPreVote(term, last_index, last_term)
        case 4:
            _, term, granted = _PRE_VOTE_REPLY.unpack(body)
            _check_numbers(term + 1)
            return PreVoteReply(term, _flag(granted))
        case 5:
            _, term, last_index, last_term, transfer = _REQUEST_VOTE.unpack(body)
            _check_numbers(term)
            _check_place(last_index, last_term, term - 1)
            return RequestVote(term, last_index, last_term, _flag(transfer))
        case 6:
            _, term, granted = _VOTE_REPLY.unpack(body)
            _check_numbers(term + 1)
            return VoteReply(term, _flag(granted))
        case 7:
            _, term = _TIMEOUT_NOW.unpack(body)
            _check_numbers(term)
            return TimeoutNow(term)
        case 8:
            _, term, batch = _READ_INDEX.unpack(body)
            _check_numbers(term, batch)
            return ReadIndex(term, batch)
        case 9:
            _, term, batch, index = _READ_INDEX_REPLY.unpack(body)
            _check_numbers(term, batch, index)
            return ReadIndexReply(term, batch, index)
        case 10:
            _, term = _NEWER_TERM.unpack(body)
            _check_numbers(term)
            return NewerTerm(term)
        case 11:
            _, term, round_, index, snapshot_term = _OFFER_SNAPSHOT.unpack(body)
            _check_numbers(term, round_)
            _check_place(index, snapshot_term, term)
            if index == 0:
                raise MalformedMessage("an offer of a snapshot of nothing")
            return OfferSnapshot(term, round_, index, snapshot_term)
        case 12:
            _, term, round_, match_index, lent_ms = _LENDING_APPEND_REPLY.unpack(body)
            _check_numbers(term, round_, match_index)
            if lent_ms == 0:
                raise MalformedMessage("a promise of no duration")
            return AppendReply(term, round_, match_index, lent_ms)
        case -1:
            raise MalformedMessage("an empty message")
        case _:
            raise MalformedMessage(f"no message is of kind {kind}")


def _check_numbers(term: int, *others: int) -> None:
    if not 0 < term <= MAX_NUMBER:  # only who refuses a vote may still be in term 0: its callers add 1
        raise MalformedMessage(f"term {term} is out of range")
    if others and max(others) > MAX_NUMBER:
        raise MalformedMessage(f"{max(others)} is out of range")


def _check_place(index: int, term: int, max_term: int) -> None:
    """An entry, or the place before the first, in a log of somebody who is in `max_term`."""
    if index > MAX_NUMBER or term > max_term or (index == 0) != (term == 0):
        raise MalformedMessage(f"no entry {index} of term {term} can be where {max_term} is the highest term")


def _is_configuration(data: bytes) -> bool:
    try:
        decode_configuration(data)
    except ValueError as error:
        raise MalformedMessage(str(error)) from None
    return True


def _flag(value: int) -> bool:
    if value > 1:
        raise MalformedMessage(f"a flag is 0 or 1, not {value}")
    return value == 1
