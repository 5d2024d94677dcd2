"""Requests of operators who save a cluster: the bytes of a snapshot's file, and what was applied since.

Both have everything, whatever its ACL, and the cluster's secret. The log is read from memory, so it reaches back to the
newest snapshot and somewhat further (`retained_log_bytes`).
"""

from typing import TYPE_CHECKING

from coord.raft import Raft
from coord.raft.types import Index, Place, Term
from coord.replica import answers
from coord.replica.config import ReplicaConfig
from coord.replica.connection import BODY, Connection, Phase, Slot
from coord.replica.operators import how_to_become_one, is_operator
from coord.replica.snapshot_work import PIECE_BYTES, SnapshotRead
from coord.replica.snapshots import Snapshots
from coord.tree.machine import Machine
from coord.tree.outcomes import NOT_OPERATOR
from coord_protocol.errors import MarshallingError
from coord_protocol.extensions import (
    LoggedRun,
    ReadLogRequest,
    ReadLogResponse,
    ReadSnapshotRequest,
    ReadSnapshotResponse,
    check_of_run,
)

if TYPE_CHECKING:
    from coord.replica.requests import Requests

MAX_READ_BYTES = 1 << 20
"""Of the log in one answer, if it is more than one run: a few milliseconds of work."""


class BackupRequests:
    def __init__(
        self, config: ReplicaConfig, raft: Raft, machine: Machine, snapshots: Snapshots, requests: "Requests"
    ) -> None:
        self._has_super = bool(config.super_digest)
        self._raft = raft
        self._machine = machine
        self._snapshots = snapshots
        self._requests = requests

    def read_snapshot(self, connection: Connection, xid: int, frame: bytes) -> None:
        """Answered when the disk has read it."""
        try:
            request = ReadSnapshotRequest.decode(frame, BODY)
        except MarshallingError as error:
            self._requests.refuse(connection, xid, int(error.code))
            return
        if not self._is_operator(connection, xid):
            return
        now = self._raft.now
        slot = Slot(connection, xid, now)
        connection.pending.append(slot)

        def answered(read: SnapshotRead) -> None:
            if connection.phase is Phase.OPEN:
                body = ReadSnapshotResponse(read.id, read.size, read.offset, read.data).encode()
                self._requests.settle(slot, lambda _, xid, frame: answers.ok(xid, self._machine.applied_index, body))

        offset, length = max(0, request.offset), max(1, min(request.length, PIECE_BYTES))
        self._snapshots.read(request.zxid, request.file_id, offset, length, answered, now)

    def read_log(self, connection: Connection, xid: int, frame: bytes) -> None:
        """Answered at once."""
        try:
            request = ReadLogRequest.decode(frame, BODY)
        except MarshallingError as error:
            self._requests.refuse(connection, xid, int(error.code))
            return
        if not self._is_operator(connection, xid):
            return
        place = Place(Index(request.zxid), Term(request.term))
        self._requests.settle_at_once(connection, xid, self._following(place, request.max_bytes).encode())

    def _following(self, place: Place, max_bytes: int) -> ReadLogResponse:
        applied, cluster, log = self._machine.applied_index, self._machine.cluster, self._raft.log
        # What is in the log and not applied yet may be taken back.
        is_held = place.index <= applied and log.ends_run_at(place)
        runs = []
        if is_held and place.index < applied:
            for run in log.following(place.index, max(1, min(max_bytes, MAX_READ_BYTES))):
                if run.last <= applied:
                    check = check_of_run(run.first, run.count, run.term, run.is_configuration, run.data)
                    runs.append(LoggedRun(run.first, run.count, run.term, run.is_configuration, run.data, check))
        return ReadLogResponse(0 if cluster is None else cluster.id, is_held, applied, runs)

    def _is_operator(self, connection: Connection, xid: int) -> bool:
        """If it is not, this is its answer."""
        if is_operator(connection, self._has_super):
            return True
        self._requests.refuse(connection, xid, NOT_OPERATOR, how_to_become_one(self._has_super))
        return False
