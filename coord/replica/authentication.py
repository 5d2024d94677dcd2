"""Who a client is: `auth` (§8) and SASL add identities to its connection.

Identities are replicated, because every member judges by them what a command may do: each goes through the log, and the
client hears of its success when it is applied. They belong to the connection, and a client sends them again with the
next.
"""

import base64
import hashlib
from collections.abc import Callable
from typing import Protocol

from coord.replica import answers, digest_md5
from coord.replica.clients import Clients
from coord.replica.config import ReplicaConfig
from coord.replica.connection import BODY, Connection, Identity, Local, Slot
from coord.replica.outbox import Outbox
from coord.tree import commands
from coord.tree.acl import SUPER
from coord.tree.machine import Machine, Outcome
from coord_protocol.errors import Code, MarshallingError
from coord_protocol.requests import AuthPacket, GetSASLRequest, SetSASLResponse

_NONCE_BYTES = 24


class Turns(Protocol):
    """Answers in the order of the requests: see `Requests`."""

    def settle(self, slot: Slot, answer: Local) -> None: ...

    def settle_at_once(self, connection: Connection, xid: int, body: bytes = b"") -> None: ...

    def refuse(self, connection: Connection, xid: int, code: int, text: str = "") -> None: ...


class Authentication:
    def __init__(
        self,
        config: ReplicaConfig,
        machine: Machine,
        outbox: Outbox,
        clients: Clients,
        turns: Turns,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._super_digest = config.super_digest
        self._users = config.sasl_users
        self._machine = machine
        self._outbox = outbox
        self._clients = clients
        self._turns = turns
        self._entropy = entropy

    def auth(self, connection: Connection, xid: int, frame: bytes) -> None:
        """`digest` proves nothing but that the client knows a name and password of its own making (§8)."""
        try:
            request = AuthPacket.decode(frame, BODY)
        except MarshallingError:
            self._turns.refuse(connection, xid, int(Code.MARSHALLING_ERROR))
            return
        if request.scheme == "digest":
            credentials = request.auth or b""
            name = credentials.split(b":", 1)[0].decode(errors="replace")
            digest = base64.b64encode(hashlib.sha1(credentials).digest()).decode()
            identities = [("digest", f"{name}:{digest}")]
            if self._super_digest and identities[0][1] == self._super_digest:
                identities.insert(0, SUPER)
        elif request.scheme == "ip":
            identities = [("ip", connection.address)]
        else:
            self._fail(connection, answers.error(xid, 0, int(Code.AUTH_FAILED)))
            return
        self._add(connection, xid, identities)

    def sasl(self, connection: Connection, xid: int, frame: bytes) -> None:
        """One token of an exchange: any but an answer to our challenge begins anew."""
        try:
            token = GetSASLRequest.decode(frame, BODY).token or b""
        except MarshallingError:
            self._turns.refuse(connection, xid, int(Code.MARSHALLING_ERROR))
            return
        if not self._users:
            # As ZooKeeper answers without SASL: it lets clients go on without.
            self._turns.settle_at_once(connection, xid, SetSASLResponse(None).encode())
            return
        if not token:
            connection.nonce = base64.b64encode(self._entropy(_NONCE_BYTES)).decode()
            self._turns.settle_at_once(
                connection, xid, SetSASLResponse(digest_md5.challenge(connection.nonce)).encode()
            )
            return
        nonce, connection.nonce = connection.nonce, ""
        try:
            if not nonce:
                raise digest_md5.Refused
            user, proof = digest_md5.check(token, nonce, self._users)
        except digest_md5.Refused:
            self._fail(connection, answers.sasl_failed(xid))
            return
        self._add(connection, xid, [("sasl", user)], SetSASLResponse(proof).encode())

    def _add(self, connection: Connection, xid: int, identities: list[Identity], body: bytes = b"") -> None:
        """Answer with `body` when they are applied."""

        def added(slot: Slot, zxid: int, outcome: Outcome) -> None:
            if slot.connection is connection and connection.is_open:
                self._added(connection, slot, outcome, body)

        for identity in identities:
            slot = Slot(connection, xid, self._clients.now, finish=added)
            self._outbox.add(commands.add_auth(connection.session, connection.epoch, *identity), slot)
        connection.pending.append(slot)

    def _added(self, connection: Connection, slot: Slot, outcome: Outcome, body: bytes) -> None:
        if outcome is not None:
            self._clients.close(connection)
            return
        session = self._machine.leases.session(connection.session)
        assert session is not None, "the command has just found it alive"
        connection.identities = session.identities
        if slot in connection.pending:  # the first of two identities has no answer of its own
            self._turns.settle(slot, lambda connection, xid, frame: answers.ok(xid, 0, body))

    def _fail(self, connection: Connection, reply: bytes) -> None:
        self._clients.say(connection, reply)
        self._clients.close(connection)
