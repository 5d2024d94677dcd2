"""A torn tail is cut off, and nothing else ever is."""

import itertools
import random
from zlib import crc32

import pytest

from coord.raft.types import HardState, MemberId, Run, Term
from coord.storage.errors import CorruptLog, ForeignDirectory, NewerFormat
from coord.storage.records import SECTOR_BYTES
from coord.storage.recovery import recover
from tests.storage.building import ME, append, found_in, open_wal, run, runs, truncate, vote, write_log
from tests.storage.simulated import Crashed, SimulatedFiles, everything, some

FIRST = "0000000001.wal"
SECOND = "0000000002.wal"


def small_log() -> tuple[SimulatedFiles, list[int], list[Run]]:
    """A log of six batches in one segment: its files, where each batch starts, and its runs."""
    persists = [
        append(run(1, b"a" * 100)),
        vote(2, 3),
        append(run(2, b"b" * 700, count=5)),
        append(run(7, b"c"), run(8, b"d" * 30)),
    ]
    files = SimulatedFiles()
    wal = open_wal(files, segment_bytes=8192)
    ends = [len(files.content(FIRST).rstrip(b"\0"))]
    for persist in persists:
        wal.write([persist])
        ends.append(len(files.content(FIRST).rstrip(b"\0")))
    wal.mark()
    starts = [0] + [-(-end // SECTOR_BYTES) * SECTOR_BYTES for end in ends]
    return files, starts, runs(*persists)


def damaged(files: SimulatedFiles, name: str, offset: int, data: bytes) -> SimulatedFiles:
    copy = files.copy()
    copy.content(name)[offset : offset + len(data)] = data
    return copy


@pytest.mark.parametrize("how", ["zeros", "shorter"])
def test_log_cut_at_every_byte_keeps_its_whole_batches(how: str) -> None:
    """A suffix that never reached the disk: what is before the batch it starts in is kept."""
    files, starts, written = small_log()
    runs_after = [0, 0, 1, 1, 2, 4, 4]  # so many batches
    for cut in range(starts[-1]):
        torn = files.copy()
        if how == "zeros":
            torn.content(FIRST)[cut:] = bytes(8192 - cut)
        else:
            del torn.content(FIRST)[cut:]

        found = found_in(torn)

        lost_data = files.content(FIRST)[cut:] if how == "zeros" else bytearray(b"!")  # even padding counts then
        batches = sum(1 for end in starts[1:] if end <= cut or not any(lost_data[: end - cut]))
        assert found.runs == written[: runs_after[batches]], f"cut at {cut}"
        assert found.torn is None or found.torn.offset == starts[batches]
        write_log(torn, append(run(found.history.next_index, b"instead")))
        assert found_in(torn).runs == [*found.runs, run(found.history.next_index, b"instead")]


def test_every_flipped_byte_of_an_acknowledged_batch_is_found() -> None:
    """C17. The batch is the acknowledged one because another is behind it."""
    files, starts, _ = small_log()
    for offset in range(starts[-1]):
        flipped = files.content(FIRST)[offset] ^ (1 << offset % 8)

        with pytest.raises(CorruptLog) as caught:
            found_in(damaged(files, FIRST, offset, bytes([flipped])))

        assert caught.value.name == FIRST
        batch = max(start for start in starts if start <= offset)
        assert batch <= caught.value.offset <= offset


def test_damage_is_named_by_file_offset_index_and_remedy() -> None:
    files, starts, _ = small_log()

    with pytest.raises(CorruptLog) as caught:
        found_in(damaged(files, FIRST, starts[4] + 40 + 48 + 1 + 48 + 7, b"!"))  # in the second of two runs

    assert caught.value.index == 8
    assert caught.value.offset == starts[4] + 40 + 48 + 1
    for part in ("/simulated/0000000001.wal", f"offset {caught.value.offset}", "index 8", "from a copy"):
        assert part in str(caught.value)


def test_lost_sectors_of_an_acknowledged_batch_are_found() -> None:
    files, starts, _ = small_log()
    for sector in range(0, starts[-1], SECTOR_BYTES):
        with pytest.raises(CorruptLog):
            found_in(damaged(files, FIRST, sector, bytes(SECTOR_BYTES)))


def test_any_part_of_the_last_batch_may_be_missing() -> None:
    """Every subset of the sectors of a batch of eight that no one was told about."""
    files = SimulatedFiles()
    wal = open_wal(files)
    wal.write([append(run(1, b"acknowledged"))])
    before = files.copy()
    offset = 2 * SECTOR_BYTES
    wal.write([append(run(2, random.Random(1).randbytes(2000)), run(3, b"m" * 1800))])
    sectors = range(offset, offset + 8 * SECTOR_BYTES, SECTOR_BYTES)
    for kept in itertools.product([False, True], repeat=len(sectors)):
        torn = before.copy()
        for sector in itertools.compress(sectors, kept):
            torn.content(FIRST)[sector : sector + SECTOR_BYTES] = files.content(FIRST)[sector : sector + SECTOR_BYTES]

        found = found_in(torn)

        if all(kept):
            assert [each.first for each in found.runs] == [1, 2, 3]
        else:
            assert found.runs == [run(1, b"acknowledged")]
            assert (found.torn is None) == (not any(kept))


def test_any_bytes_of_the_last_batch_may_be_missing() -> None:
    """Where sectors are not atomic: each byte has reached the disk or not."""
    files = SimulatedFiles()
    wal = open_wal(files)
    wal.write([append(run(1, b"acknowledged"))])
    before = files.copy()
    wal.write([append(run(2, b"m" * 700))])
    whole = files.content(FIRST)
    for seed in range(300):
        dice = random.Random(seed)
        torn = before.copy()
        content = torn.content(FIRST)
        share = dice.random()
        for offset in range(2 * SECTOR_BYTES, 4 * SECTOR_BYTES):
            if whole[offset] and dice.random() > share:
                content[offset] = whole[offset]

        found = found_in(torn)

        assert found.runs == [run(1, b"acknowledged")] or bytes(content) == bytes(whole)


def test_torn_batch_is_cut_off_for_good() -> None:
    """What was left of it must not prove anything about what is written there later."""
    files = SimulatedFiles()
    wal = open_wal(files)
    wal.write([append(run(1))])
    files.crash_at = files.operations + 1  # after the write, before the sync
    with pytest.raises(Crashed):
        wal.write([append(run(2, b"t" * 5000))])
    for seed in range(50):
        torn = files.after_crash(some(seed))

        for _ in range(2):  # the second time there is nothing left to be cut off
            found = found_in(torn)
            open_wal(torn)
        assert found.torn is None
        write_log(torn, append(run(found.history.next_index, b"instead")))

        assert found_in(torn).runs[0] == run(1)
        assert found_in(torn).runs[-1].data == b"instead"


def test_batch_torn_while_rolling_is_cut_off() -> None:
    files = SimulatedFiles()
    wal = open_wal(files, segment_bytes=4096)
    wal.write([append(run(1, b"a" * 3000))])
    files.crash_at = files.operations + 2  # the segment is made and written to, nothing of it is synced
    with pytest.raises(Crashed):
        wal.write([append(run(2, b"b" * 3000))])

    outcomes = set()
    for seed in range(200):
        torn = files.after_crash(some(seed))
        found = found_in(torn)
        outcomes.add((SECOND in torn.names(), len(found.runs)))
        write_log(torn, append(run(found.history.next_index, b"instead")), segment_bytes=4096)

        assert found_in(torn).runs[-1].data == b"instead"

    assert outcomes == {(False, 1), (True, 1), (True, 2)}


def two_segments() -> SimulatedFiles:
    files = SimulatedFiles()
    write_log(files, vote(1, 1), *(append(run(index, b"x" * 900)) for index in range(1, 6)), segment_bytes=4096)
    assert files.names() == [FIRST, SECOND]
    return files


def test_tail_of_an_earlier_segment_is_never_cut_off() -> None:
    """Its last batch was durable when the next segment was made."""
    files = two_segments()
    content = files.content(FIRST)
    for offset in range(len(content)):
        with pytest.raises(CorruptLog) as caught:
            found_in(damaged(files, FIRST, offset, bytes([content[offset] ^ 1])))
        assert caught.value.name == FIRST


def test_sectors_lost_from_an_earlier_segment_are_found() -> None:
    files = two_segments()
    used = len(files.content(FIRST).rstrip(b"\0"))
    for sector in range(0, used, SECTOR_BYTES):
        with pytest.raises(CorruptLog):
            found_in(damaged(files, FIRST, sector, bytes(4096 - sector)))


def test_missing_segment_is_named() -> None:
    files = SimulatedFiles()
    write_log(files, *(append(run(index, b"x" * 900)) for index in range(1, 20)), segment_bytes=4096)
    for name in files.names()[1:-1]:
        gone = files.copy()
        gone.remove(name)

        with pytest.raises(CorruptLog, match="missing") as caught:
            found_in(gone)

        assert caught.value.name == name


def test_segment_that_became_zeros_is_named() -> None:
    files = SimulatedFiles()
    write_log(files, *(append(run(index, b"x" * 900)) for index in range(1, 20)), segment_bytes=4096)

    with pytest.raises(CorruptLog, match="empty") as caught:
        found_in(damaged(files, SECOND, 0, bytes(4096)))

    assert caught.value.name == SECOND


def test_segment_that_continues_from_another_vote_is_refused() -> None:
    files = SimulatedFiles()
    wal = open_wal(files, segment_bytes=1024)
    wal.write([vote(1, 1)])
    wal._hard_state = HardState(Term(1), MemberId(2))  # what no correct server writes
    wal.write([append(run(1, b"x" * 900))])

    with pytest.raises(CorruptLog, match="continues from another state"):
        found_in(files)


def test_segments_of_another_log_do_not_continue_ours() -> None:
    ours, theirs = two_segments(), SimulatedFiles()
    write_log(theirs, *(append(run(index, b"y" * 900)) for index in range(1, 6)), segment_bytes=4096)

    with pytest.raises(CorruptLog, match="does not continue"):
        found_in(damaged(ours, SECOND, 0, bytes(theirs.content(SECOND))))


def test_batch_in_the_place_of_another_is_found() -> None:
    """A misdirected write: all checks are right, but it does not belong there."""
    files, starts, _ = small_log()
    content = files.content(FIRST)

    with pytest.raises(CorruptLog, match="batch 3 is where batch 6 should be"):
        found_in(damaged(files, FIRST, starts[5], bytes(content[starts[2] : starts[3]])))


def test_votes_in_the_wrong_order_are_found() -> None:
    """No run is between them, so that only the batches' numbers can tell."""
    files = SimulatedFiles()
    write_log(files, vote(1, 1), vote(2, 1))
    content = files.content(FIRST)
    first, second = bytes(content[512:1024]), bytes(content[1024:1536])

    with pytest.raises(CorruptLog, match="batch 3 is where batch 2 should be"):
        found_in(damaged(files, FIRST, 512, second + first))


def test_byte_changed_together_with_its_checksum_is_found() -> None:
    """C17: whoever changes a byte and mends the CRC has the hash against him."""
    files, starts, _ = small_log()
    content = files.content(FIRST)
    record = bytearray(content[starts[3] + 40 : starts[3] + 40 + 48 + 700])
    record[100] ^= 1
    record[:4] = crc32(record[4:]).to_bytes(4, "big")

    with pytest.raises(CorruptLog, match="hash chain is broken"):
        found_in(damaged(files, FIRST, starts[3] + 40, bytes(record)))


def test_remains_of_a_torn_batch_are_no_proof_against_the_next_one() -> None:
    """A large batch loses its first sectors; then a small one, in the same place, all but its first."""
    files = SimulatedFiles()
    wal = open_wal(files)
    files.crash_at = files.operations + 1
    with pytest.raises(Crashed):
        wal.write([append(run(1, b"t" * 8000))])
    torn = files.after_crash(everything)
    torn.content(FIRST)[512:2048] = bytes(1536)
    wal = open_wal(torn)
    before = torn.copy()
    wal.write([append(run(1, b"s" * 700))])
    before.content(FIRST)[1024:1536] = torn.content(FIRST)[1024:1536]

    assert found_in(before).runs == []


@pytest.mark.parametrize(("segment_bytes", "name", "head_bytes"), [(16384, FIRST, 88), (4096, SECOND, 180)])
def test_copy_of_a_log_in_a_torn_batch_proves_nothing(segment_bytes: int, name: str, head_bytes: int) -> None:
    """A client may store what it likes: here the copy of a segment, at the start of a sector.

    In our first segment its batches are told by their numbers, which are past; in later ones by their checks.
    """
    files = SimulatedFiles()
    wal = open_wal(files, segment_bytes)
    for index in range(1, 4):
        wal.write([append(run(index, b"x" * 900))])
    copy = bytes(files.content(FIRST)[:4096])
    if name == SECOND:
        other = SimulatedFiles()
        write_log(other, *(append(run(index, b"y")) for index in range(1, 50)), segment_bytes=16384)
        copy = bytes(other.content(SECOND)[:4096])
    is_clean = len(files.content(FIRST).rstrip(b"\0"))
    files.crash_at = files.operations + (1 if name == FIRST else 2)
    with pytest.raises(Crashed):
        wal.write([append(run(4, b"x" * (SECTOR_BYTES - head_bytes) + copy + b"x" * 900))])
    torn = files.after_crash(everything)
    start = -(-is_clean // SECTOR_BYTES) * SECTOR_BYTES if name == FIRST else 0
    assert torn.content(name)[start + SECTOR_BYTES : start + SECTOR_BYTES + 4] == b"CWL1"
    torn.content(name)[start : start + SECTOR_BYTES] = bytes(SECTOR_BYTES)

    found = found_in(torn)

    assert found.torn is not None
    assert found.torn.offset == start
    assert len(found.runs) == 3


def test_log_of_another_member_is_refused() -> None:
    files, _, _ = small_log()

    with pytest.raises(ForeignDirectory, match="belongs to member 1, not to member 2"):
        recover(files, MemberId(2))


def test_log_of_a_newer_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    files = SimulatedFiles()
    with monkeypatch.context() as newer:
        newer.setattr("coord.storage.wal.FORMAT", 2)
        write_log(files, append(run(1)))

    with pytest.raises(NewerFormat, match="format 2"):
        recover(files, ME)


def test_truncation_is_undone_with_its_torn_batch() -> None:
    files = SimulatedFiles()
    wal = open_wal(files)
    wal.write([append(run(1), run(2))])
    files.crash_at = files.operations + 1
    with pytest.raises(Crashed):
        wal.write([truncate(1, run(1, b"y" * 2000, term=2))])

    torn = files.after_crash(some(3))

    assert found_in(torn).runs == [run(1), run(2)]
