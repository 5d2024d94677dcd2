"""Requests that change plain leases (`coord_protocol.extensions`): like the rows of `writes.WRITES`, with secrets.

The secret of a lease follows from the cluster's own, so it is made for the reply and checked before a command is
made: commands in the log are already permitted. A wrong secret is answered like a lease that is not there, for
whoever does not know it should not learn more.

Operators (`coord.replica.operators`) end leases and sessions without a secret. Who has proved `super` is judged when
the command is applied, as ACLs are; for those who are operators by where they connect from the server vouches in the
command, since only it knows the connection.
"""

from collections.abc import Mapping

from coord.replica import answers
from coord.replica.config import ReplicaConfig
from coord.replica.connection import BODY, Connection
from coord.replica.operators import how_to_become_one, is_own_machine
from coord.replica.passwords import is_password_of, password_of
from coord.replica.writes import Refused, Write
from coord.tree import commands
from coord.tree.leases import Lease
from coord.tree.machine import Machine
from coord.tree.outcomes import NOT_OPERATOR, Outcome
from coord_protocol.errors import Code
from coord_protocol.extensions import (
    CreateWithLeaseRequest,
    EndLeaseRequest,
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseRevokeRequest,
)
from coord_protocol.requests import OpCode

# A keep-alive waits for up to a tick and a round trip: a shorter lease would end between two of them.
MIN_TTL_MS = 1000
MAX_TTL_MS = 366 * 24 * 3600 * 1000

_NO_LEASE_ID = 0  # no lease has it: stands for one whose secret was wrong


class LeaseWrites:
    def __init__(self, config: ReplicaConfig, machine: Machine) -> None:
        self._has_super = bool(config.super_digest)
        self._machine = machine
        self.table: Mapping[int, Write] = {
            OpCode.LEASE_GRANT: (self._grant, self._granted),
            OpCode.LEASE_KEEP_ALIVE: (self._keep_alive, self._kept_alive),
            OpCode.LEASE_REVOKE: (self._revoke, answers.done),
            OpCode.CREATE_WITH_LEASE: (self._create, answers.created2),
            OpCode.END_LEASE: (self._end, self._ended),
        }

    def _grant(self, connection: Connection, frame: bytes) -> bytes:
        request = LeaseGrantRequest.decode(frame, BODY)
        if not MIN_TTL_MS <= request.ttl_ms <= MAX_TTL_MS:
            raise Refused(
                int(Code.EXTENSION_ERROR),
                f"ttl_ms {request.ttl_ms}: expected {MIN_TTL_MS} to {MAX_TTL_MS} milliseconds",
            )
        if request.lease_id:
            raise Refused(
                int(Code.EXTENSION_ERROR),
                f"lease_id {request.lease_id}: the cluster chooses ids, so that none is ever used twice; give 0",
            )
        return commands.lease_grant(connection.session, connection.epoch, request.ttl_ms, request.name, request.meta)

    def _granted(self, xid: int, zxid: int, outcome: Outcome) -> bytes:
        assert isinstance(outcome, Lease)
        cluster = self._machine.cluster
        assert cluster is not None, "there was a session to ask for it"
        secret = password_of(cluster.secret, outcome.id)
        return answers.ok(xid, zxid, LeaseGrantResponse(outcome.id, outcome.ttl_ms, secret).encode())

    def _keep_alive(self, connection: Connection, frame: bytes) -> bytes:
        ids = [
            one.lease_id if self._is_secret_of(one.secret, one.lease_id) else _NO_LEASE_ID
            for one in LeaseKeepAliveRequest.decode(frame, BODY).leases
        ]
        return commands.lease_keep_alive(connection.session, connection.epoch, ids)

    def _kept_alive(self, xid: int, zxid: int, outcome: Outcome) -> bytes:
        assert isinstance(outcome, list)
        return answers.ok(xid, zxid, LeaseKeepAliveResponse(outcome).encode())

    def _revoke(self, connection: Connection, frame: bytes) -> bytes:
        request = LeaseRevokeRequest.decode(frame, BODY)
        self._check(request.secret, request.lease_id)
        return commands.lease_revoke(connection.session, connection.epoch, request.lease_id)

    def _create(self, connection: Connection, frame: bytes) -> bytes:
        request = CreateWithLeaseRequest.decode(frame, BODY)
        self._check(request.secret, request.lease_id)
        return commands.create(
            connection.session,
            connection.epoch,
            request.path,
            request.data,
            request.acl,
            request.flags,
            request.lease_id,
        )

    def _end(self, connection: Connection, frame: bytes) -> bytes:
        lease = EndLeaseRequest.decode(frame, BODY).lease_id
        is_vouched_for = not self._has_super and is_own_machine(connection.address)
        return commands.end_lease(connection.session, connection.epoch, lease, is_vouched_for=is_vouched_for)

    def _ended(self, xid: int, zxid: int, outcome: Outcome) -> bytes:
        if outcome == NOT_OPERATOR:
            return answers.error(xid, zxid, NOT_OPERATOR, how_to_become_one(self._has_super))
        return answers.done(xid, zxid, outcome)

    def _check(self, secret: bytes | None, lease: int) -> None:
        if not self._is_secret_of(secret, lease):
            raise Refused(int(Code.NO_LEASE))

    def _is_secret_of(self, secret: bytes | None, lease: int) -> bool:
        cluster = self._machine.cluster
        return cluster is not None and 0 < lease < 1 << 63 and is_password_of(secret, cluster.secret, lease)
