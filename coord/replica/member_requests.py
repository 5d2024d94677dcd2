"""Requests of operators about the members: to change them, and to hand leadership over.

A change is asked for by a command, which is judged when it is applied (`coord.tree.members`); our own request is
answered then, ZooKeeper's `reconfig` when the change is done or given up. Leadership is asked of the leader itself.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from coord.raft import MemberId, Raft
from coord.replica import answers
from coord.replica.config import ReplicaConfig
from coord.replica.connection import BODY, Connection, Phase, Slot
from coord.replica.operators import how_to_become_one, is_operator
from coord.replica.outbox import Outbox
from coord.replica.reconfig import change_of
from coord.replica.writes import Refused
from coord.tree import commands
from coord.tree.commands import Kind
from coord.tree.machine import Machine
from coord.tree.members import Change, Joining, encode_change
from coord.tree.outcomes import BAD_VERSION, NO_AUTH, NOT_OPERATOR, ChangeRefused, Outcome
from coord.tree.tree import CONFIG_PATH
from coord_protocol.errors import Code, MarshallingError
from coord_protocol.extensions import ChangeMembersRequest, TransferLeadershipRequest
from coord_protocol.records import STAT_STRUCT, Stat
from coord_protocol.requests import GetDataResponse, ReconfigRequest

if TYPE_CHECKING:
    from coord.replica.requests import Requests

_CHANGE_REFUSED = int(Code.CHANGE_REFUSED)
_NOT_LEADER = int(Code.NOT_LEADER)

Asked = Callable[[Slot, int, Outcome], None]
"""Called with what became of the command."""


class MemberRequests:
    def __init__(
        self, config: ReplicaConfig, raft: Raft, machine: Machine, outbox: Outbox, requests: "Requests"
    ) -> None:
        self._has_super = bool(config.super_digest)
        self._is_reconfig_on = config.reconfig
        self._raft = raft
        self._machine = machine
        self._outbox = outbox
        self._requests = requests
        self._waiting: list[Slot] = []
        """Those of `reconfig` whose change is under way."""

    # -- ours

    def change(self, connection: Connection, xid: int, frame: bytes) -> None:
        def asked(slot: Slot, zxid: int, outcome: Outcome) -> None:
            if isinstance(outcome, ChangeRefused):
                self._fail(slot, _CHANGE_REFUSED, outcome.text)
            elif isinstance(outcome, int):
                self._fail(slot, outcome)
            else:
                self._settle(slot)

        try:
            request = ChangeMembersRequest.decode(frame, BODY)
            self._check_operator(connection)
        except MarshallingError as error:
            self._requests.refuse(connection, xid, int(error.code))
            return
        except Refused as refused:
            self._requests.refuse(connection, xid, refused.code, refused.text)
            return
        joining = [Joining(MemberId(one.member), one.address or "", one.is_learner) for one in request.joining]
        leaving = [MemberId(member) for member in request.leaving]
        self._ask(connection, xid, Change(tuple(joining), tuple(leaving), request.version), asked)

    def transfer(self, connection: Connection, xid: int, frame: bytes) -> None:
        """Answered at once: whether it succeeds shows in who leads."""
        try:
            target = TransferLeadershipRequest.decode(frame, BODY).member
            self._check_operator(connection)
            self._check_transfer(target)
        except MarshallingError as error:
            self._requests.refuse(connection, xid, int(error.code))
        except Refused as refused:
            self._requests.refuse(connection, xid, refused.code, refused.text)
        else:
            self._raft.transfer_leadership(self._raft.now, MemberId(target) if target else None)
            self._requests.settle_at_once(connection, xid)

    def _check_operator(self, connection: Connection) -> None:
        if not is_operator(connection, self._has_super):
            raise Refused(NOT_OPERATOR, how_to_become_one(self._has_super))

    def _check_transfer(self, target: int) -> None:
        raft = self._raft
        if not raft.is_leader:
            leader = raft.leader
            text = "nobody is known to lead" if leader is None else f"member {leader} leads: ask that server"
            raise Refused(_NOT_LEADER, text)
        others = [voter for voter in raft.configuration.voters if voter != raft.member]
        if target == raft.member:
            raise Refused(_CHANGE_REFUSED, f"member {target} leads already")
        if (target and target not in others) or not others:
            listed = ", ".join(map(str, others)) or "nobody"
            raise Refused(_CHANGE_REFUSED, f"member {target} has no vote and cannot lead; who could: {listed}")

    # -- ZooKeeper's

    def reconfig(self, connection: Connection, xid: int, frame: bytes) -> None:
        def asked(slot: Slot, zxid: int, outcome: Outcome) -> None:
            if outcome is None:
                self._waiting.append(slot)
                self.look()
            else:
                assert isinstance(outcome, int | ChangeRefused)
                self._fail(slot, outcome if isinstance(outcome, int) else outcome.code)

        try:
            if not self._is_reconfig_on:
                raise Refused(int(Code.RECONFIG_DISABLED))
            change = change_of(ReconfigRequest.decode(frame, BODY))
            if not is_operator(connection, self._has_super):
                # ZooKeeper looks at the version first, and a test of kazoo's at what it finds.
                is_old = change.version not in (-1, self._machine.members.membership.index)
                raise Refused(BAD_VERSION if is_old else NO_AUTH)
        except MarshallingError as error:
            self._requests.refuse(connection, xid, int(error.code))
        except Refused as refused:
            self._requests.refuse(connection, xid, refused.code)
        else:
            self._ask(connection, xid, change, asked)

    def look(self) -> None:
        """Answer those whose change is over."""
        if self._waiting and self._machine.members.desired is None:
            waiting, self._waiting = self._waiting, []
            for slot in waiting:
                if self._machine.members.failure:
                    self._fail(slot, int(Code.NEW_CONFIG_NO_QUORUM))
                else:
                    znode = self._machine.znodes[CONFIG_PATH]
                    stat = Stat._make(STAT_STRUCT.unpack(znode.stat_bytes()))
                    self._settle(slot, GetDataResponse(znode.data, stat).encode())

    # -- both

    def _ask(
        self, connection: Connection, xid: int, change: Change, asked: Callable[[Slot, int, Outcome], None]
    ) -> None:
        slot = Slot(connection, xid, self._raft.now, finish=asked)
        connection.pending.append(slot)
        refusal = self._machine.refusal(Kind.CHANGE_MEMBERS)
        if refusal is not None:  # a leader of an earlier release would take it into the log, where it must not be
            asked(slot, self._machine.applied_index, refusal)
            return
        command = commands.change_members(connection.session, connection.epoch, encode_change(change))
        self._outbox.add(command, slot)

    def _settle(self, slot: Slot, body: bytes = b"") -> None:
        if slot.connection is not None and slot.connection.phase is Phase.OPEN:
            self._requests.settle(slot, lambda _, xid, __: answers.ok(xid, self._machine.applied_index, body))

    def _fail(self, slot: Slot, code: int, text: str = "") -> None:
        if slot.connection is not None and slot.connection.phase is Phase.OPEN:
            self._requests.settle(slot, lambda _, xid, __: answers.error(xid, self._machine.applied_index, code, text))
