"""A backup as it comes from a server: a whole snapshot, or what was applied since the last backup.

Any member will do. It goes on serving: a snapshot is written between its turns, and is read from its disk a piece at a
time; what is new comes from the log in its memory. When the connection breaks, the session goes on with whichever
server it finds, from where it was if that one has the same file, and else anew.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import trio

from coord.backup.archive import Archive, LogDraft
from coord.backup.errors import Interrupted
from coord.backup.manifest import Manifest
from coord.backup.progress import Report
from coord.raft.types import Index, Place, Run, Term
from coord_client import Client
from coord_client.connection import ANSWER_OFFSET, Request
from coord_protocol.extensions import (
    LoggedRun,
    ReadLogRequest,
    ReadLogResponse,
    ReadSnapshotRequest,
    ReadSnapshotResponse,
    check_of_run,
)
from coord_protocol.requests import OpCode

CHUNK_BYTES = 256 * 1024  # of a snapshot; servers send no more at a time
LOG_BYTES = 1024 * 1024  # of the log at a time
ATTEMPTS = 10  # to get one snapshot to its end, while servers replace it or die
OUTGROWN_BYTES = 64 * 1024 * 1024
"""A log that is larger than this, and than the state that it goes on from, makes a restore slower than a new state."""

READING = "reading"

T = TypeVar("T")


class Why(Enum):
    """Why the backup was taken as a whole."""

    FIRST = "there was none"
    ASKED = "as asked"
    CUT = "the server's log does not reach back to the last one"
    OUTGROWN = "what was added since the last whole one had become larger than that"


@dataclass(frozen=True, slots=True)
class Done:
    manifest: Manifest
    size: int
    """Of what was saved now in bytes; 0: there was nothing new."""
    whole: Why | None
    """None: only what was new was saved."""


async def back_up(client: Client, archive: Archive, report: Report, *, is_whole: bool) -> Done:
    """Save all that was acknowledged before; only what is new, if it can be and not `is_whole`.

    Raises `BackupError`, `StorageError`, `CoordError`, OSError; then the backup is what it was before.
    """
    await client.sync()
    manifest = archive.manifest
    if manifest is None:
        return await _save_whole(client, archive, report, Why.FIRST)
    if is_whole:
        return await _save_whole(client, archive, report, Why.ASKED)
    if sum(part.size for part in manifest.log) > max(OUTGROWN_BYTES, manifest.state.size):
        return await _save_whole(client, archive, report, Why.OUTGROWN)
    return await _save_new(client, archive, manifest, report)


# -- a whole one


async def _save_whole(client: Client, archive: Archive, report: Report, why: Why) -> Done:
    for _ in range(ATTEMPTS):
        taken = await client.snapshot()
        draft = archive.begin_state()
        file_id = size = 0
        while size == 0 or draft.size < size:
            chunk = await _read_snapshot(client, ReadSnapshotRequest(taken.zxid, file_id, draft.size, CHUNK_BYTES))
            if not chunk.file_bytes:
                break  # it was replaced, or this is another server: there is a newer one
            if chunk.file_id != file_id:
                file_id, size = chunk.file_id, chunk.file_bytes
                draft = archive.begin_state()
            if chunk.offset == draft.size:
                await _blocking(draft.write, chunk.data or b"")
            report(READING, draft.size, size)
        else:
            manifest = await _blocking(archive.take_state, draft, _wall_ms(), report)
            return Done(manifest, draft.size, why)
    raise Interrupted(f"no snapshot could be read to its end in {ATTEMPTS} attempts: servers came and went meanwhile")


async def _read_snapshot(client: Client, request: ReadSnapshotRequest) -> ReadSnapshotResponse:
    answer = await client.session.call_extension(Request(OpCode.READ_SNAPSHOT, request.encode(), is_repeatable=True))
    return ReadSnapshotResponse.decode(answer.frame, ANSWER_OFFSET)


# -- what is new


async def _save_new(client: Client, archive: Archive, manifest: Manifest, report: Report) -> Done:
    answer = await _read_log(client, manifest.end)
    archive.expect(answer.cluster, answer.last_zxid)
    draft = archive.begin_log()
    first, goal = manifest.end.index, answer.last_zxid  # what comes after that will be in the next backup
    while answer.is_held and draft.place.index < goal:
        await _blocking(_write, draft, answer.runs)
        report(READING, min(draft.place.index, goal) - first, goal - first)
        if draft.place.index < goal:
            answer = await _read_log(client, draft.place)
    if not answer.is_held:
        return await _save_whole(client, archive, report, Why.CUT)
    if draft.place == manifest.end:
        return Done(manifest, 0, None)
    changed = await _blocking(archive.take_log, draft, _wall_ms(), report)
    return Done(changed, changed.log[-1].size, None)


async def _read_log(client: Client, place: Place) -> ReadLogResponse:
    answer = await _ask_log(client, place)
    if answer.last_zxid < place.index:  # another server than before, which is behind
        await client.sync()
        answer = await _ask_log(client, place)
    return answer


async def _ask_log(client: Client, place: Place) -> ReadLogResponse:
    body = ReadLogRequest(place.index, place.term, LOG_BYTES).encode()
    answer = await client.session.call_extension(Request(OpCode.READ_LOG, body, is_repeatable=True))
    return ReadLogResponse.decode(answer.frame, ANSWER_OFFSET)


def _write(draft: LogDraft, runs: list[LoggedRun]) -> None:
    for run in runs:
        data = run.data or b""
        if run.check != check_of_run(run.first, run.count, run.term, run.is_configuration, data):
            raise Interrupted(f"what the server sent of index {run.first} was damaged on the way; try again")
        if run.first != draft.place.index + 1:
            raise Interrupted(f"the server sent index {run.first} where {draft.place.index + 1} was to follow")
        draft.write(Run(Index(run.first), run.count, Term(run.term), data, run.is_configuration))


async def _blocking(function: Callable[..., T], *args: object) -> T:
    """In a thread: the session is kept alive while the disk works."""
    return await trio.to_thread.run_sync(function, *args)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
