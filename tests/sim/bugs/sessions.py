"""Bugs of sessions and leases, of their clock, and of the way of commands and replies."""

from struct import Struct
from typing import Any

import pytest

from coord.replica import answers
from coord.replica.clients import Clients
from coord.replica.connection import Connection, Slot
from coord.replica.office import Office
from coord.replica.replica import Replica
from coord.replica.requests import Requests
from coord.tree import commands
from coord.tree.leases import Lease, Leases
from coord.tree.machine import Machine
from coord_protocol.frames import PING_XID
from tests.sim.bugs.registry import bug, hiding_bug

_XID_AND_OPCODE = Struct(">ii")

# -- signs of life


@bug
def pong_before_the_keep_alive_is_committed(patch: pytest.MonkeyPatch) -> None:
    def ping(self: Requests, connection: Any, xid: int, frame: bytes) -> None:
        connection.covered_at = self._clients.now
        self._clients.say(connection, answers.ok(PING_XID, self._machine.applied_index))

    patch.setattr(Requests, "_ping", ping)


@bug
def lease_clock_jumps_with_a_new_leader(patch: pytest.MonkeyPatch) -> None:
    start = Office.__init__

    def jump(self: Office, machine: Machine, now: float, max_step: float) -> None:
        start(self, machine, now, max_step)
        self._clock += 0.5

    patch.setattr(Office, "__init__", jump)


@bug
def repeats_are_applied_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Machine, "_take_block", lambda self, member, incarnation, first_seq, count: 0)


@hiding_bug
def moved_session_is_served_on_both_connections(patch: pytest.MonkeyPatch) -> None:
    attach, attached = Machine._attach_session, Clients._attached

    def keep_epoch(self: Machine, data: bytes, offset: int, end: int, zxid: int) -> Any:
        known = {lease.id: lease.epoch for lease in self.leases.table.values()}
        session: Any = attach(self, data, offset, end, zxid)
        if not isinstance(session, int):
            session.epoch = known[session.id]
        return session

    def use_old_epoch(self: Clients, slot: Any, zxid: int, outcome: Any) -> None:
        attached(self, slot, zxid, outcome)
        slot.connection.epoch = getattr(outcome, "epoch", 0)

    patch.setattr(Machine, "_attach_session", keep_epoch)
    patch.setattr(Clients, "_attached", use_old_epoch)


@bug
def ephemerals_outlive_their_session(patch: pytest.MonkeyPatch) -> None:
    end = Machine._end

    def end_without_keys(self: Machine, lease: Any, how: Any, zxid: int) -> None:
        lease.keys.clear()
        end(self, lease, how, zxid)

    patch.setattr(Machine, "_end", end_without_keys)


@bug
def keep_alive_renews_nothing(patch: pytest.MonkeyPatch) -> None:
    """The promise is made, and not kept."""
    keep_alive = commands.keep_alive
    patch.setattr(commands, "keep_alive", lambda alive: keep_alive([]))


@bug
def signs_of_life_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Clients, "flush_touches", lambda self: self._touched.clear())


@bug
def replies_are_never_held_back(patch: pytest.MonkeyPatch) -> None:
    """A member that is cut off goes on to answer reads, and its clients go on to believe (CONCEPTS, trap 11)."""
    patch.setattr(Connection, "is_covered", lambda self, now: True)


# -- the lease clock


@bug
def lease_clock_jumps_after_a_pause(patch: pytest.MonkeyPatch) -> None:
    def advance_time(self: Office, now: float) -> None:
        self._clock += max(now - self._looked_at, 0.0)
        self._looked_at = now

    patch.setattr(Office, "advance_time", advance_time)


@bug
def lease_clock_starts_again_with_each_leader(patch: pytest.MonkeyPatch) -> None:
    start = Office.__init__

    def start_at_zero(self: Office, machine: Machine, now: float, max_step: float) -> None:
        start(self, machine, now, max_step)
        self._clock = 0.0

    patch.setattr(Office, "__init__", start_at_zero)


@bug
def leases_end_only_if_something_else_happens(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Office, "next_deadline", lambda self, now: float("inf"))


@bug
def leases_end_early(patch: pytest.MonkeyPatch) -> None:
    renew = Leases.renew

    def renew_for_less(self: Leases, lease: Lease, ttl_ms: int, clock_ms: int) -> None:
        renew(self, lease, ttl_ms, clock_ms)
        lease.span_ms = ttl_ms * 6 // 10

    patch.setattr(Leases, "renew", renew_for_less)


@bug
def leases_end_a_second_late(patch: pytest.MonkeyPatch) -> None:
    """RELIABILITY §2: no ephemeral of a dead session older than T + 1 s."""
    renew = Leases.renew

    def renew_for_more(self: Leases, lease: Lease, ttl_ms: int, clock_ms: int) -> None:
        renew(self, lease, ttl_ms, clock_ms)
        lease.span_ms += 1500

    patch.setattr(Leases, "renew", renew_for_more)


# -- commands and replies


@bug
def commands_are_never_sent_again(patch: pytest.MonkeyPatch) -> None:
    never = property(lambda self: False, lambda self, value: None)
    patch.setattr(Replica, "_must_resend", never, raising=False)


@bug
def gap_in_a_members_commands_is_passed_over(patch: pytest.MonkeyPatch) -> None:
    take_block = Machine._take_block

    def take_any(self: Machine, member: int, incarnation: int, first_seq: int, count: int) -> int:
        taken = self.origins.get(member)
        if taken is not None and taken.incarnation == incarnation:
            taken.last_seq = max(taken.last_seq, first_seq - 1)
        return take_block(self, member, incarnation, first_seq, count)

    def take_without_looking(self: Office, block: bytes) -> None:
        self._blocks.append((block, commands.block_head(block)[3]))

    patch.setattr(Machine, "_take_block", take_any)
    patch.setattr(Office, "take", take_without_looking)


@bug
def read_looks_before_its_own_write_is_applied(patch: pytest.MonkeyPatch) -> None:
    serve = Requests._serve

    def serve_early(self: Requests, connection: Connection, frame: bytes) -> None:
        xid, opcode = _XID_AND_OPCODE.unpack_from(frame)
        local = self._local.get(opcode)
        if local is None or not connection.pending:
            serve(self, connection, frame)
            return
        reply = local(connection, xid, frame)
        connection.pending.append(Slot(connection, xid, self._clients.now, local=lambda *_: reply))

    patch.setattr(Requests, "_serve", serve_early)


@bug
def read_overtakes_a_write(patch: pytest.MonkeyPatch) -> None:
    serve = Requests._serve

    def serve_first(self: Requests, connection: Connection, frame: bytes) -> None:
        pending, connection.pending = connection.pending, type(connection.pending)()
        serve(self, connection, frame)
        connection.pending.extendleft(reversed(pending))

    patch.setattr(Requests, "_serve", serve_first)


@bug
def ping_is_answered_twice(patch: pytest.MonkeyPatch) -> None:
    ping = Requests._ping

    def ping_twice(self: Requests, connection: Connection, xid: int, frame: bytes) -> None:
        ping(self, connection, xid, frame)
        ping(self, connection, xid, frame)

    patch.setattr(Requests, "_ping", ping_twice)
