"""One TCP connection to every other member: made, checked, handed over, and made again when it is lost.

Who the members are, and where, is asked anew for each attempt; `members_changed` tells when it is another answer.
Links to those that are members no more are closed, but not at once: what tells them so may still be on its way.

Of two members the one with the lower id dials. If that has brought no link about for a while, the other dials as well:
it may be the one that knows the better address, or the only one that knows the other at all. So now and then two links
are made at once; of those the one that the lower id dialled stays, on both sides, whichever came first.

What is agreed is a plain non-blocking socket that goes to the hub. Links sees no frame, and the hub no handshake.
"""

import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol

import trio

from coord.raft.types import MemberId
from coord.transport.handshake import WHOEVER, Hello, Refusal, Standpoint, accepting, dialling, encode_refusal
from coord.transport.streams import causes, detach, follow, host_of, reason, split_address

log = logging.getLogger("coord.transport")

HANDSHAKE_SECONDS = 5.0  # for both hellos; far above a round trip, and whoever says nothing is gone soon
CONNECT_SECONDS = 2.0  # time for one SYN to be lost: it is sent again after one second
REFUSAL_SECONDS = 1.0  # for the other side to read why; a member is gone after a round trip

# Accepted connections that have not said hello. A member needs a round trip for it, so whoever is oldest among this
# many is least likely to be one, and has to go.
MAX_PENDING = 64

FIRST_PAUSE = 0.02
MAX_PAUSE = 0.5
MAX_PAUSE_REFUSED = 0.1  # nobody listens there yet: costs nothing to find out, and a starting cluster elects sooner
LASTING_SECONDS = 1.0  # a link that held this long was a good one: the next is dialled after the first pause again

# How long the higher id of two leaves the dialling to the lower one, before each try of its own: far above the pauses
# of the lower one, so that they seldom meet.
TURN_SECONDS = 1.0

# How long a link to a former member stays: many heartbeats, for the Append that tells it.
FAREWELL_SECONDS = 1.0

NO_DESCRIPTORS_PAUSE = 0.1

# Refusals of the accepting side that were logged and are not logged again before a link stands.
MAX_REMEMBERED = 64


class LinkHub(Protocol):
    """Where links go once they are made."""

    def adopt_peer(self, member: MemberId, sock: socket.socket) -> trio.Event:
        """Take over a link to `member`, in the place of an older one. The event is set when it is lost."""
        ...

    def drop_peer(self, member: MemberId) -> None:
        """Close the link to `member`, if there is one."""
        ...


@dataclass(frozen=True, slots=True)
class _Link:
    """A link that stands."""

    hello: Hello
    """The other side's."""
    is_dialled: bool
    """By us."""
    gone: trio.Event


class _AlreadyLinked(Refusal):
    """The dialler will find so itself, or has yet to find that its end broke; no reason for a warning."""


@dataclass(slots=True)
class _Attempts:
    """How it goes with dialling one address."""

    whom: str
    pause: float = FIRST_PAUSE
    """Before the next attempt."""
    trouble: str = ""
    """What was logged, and is not logged again as long as it stays the same."""


class Links:
    """All links of one member, for as long as `run` is not cancelled."""

    def __init__(self, standpoint: Callable[[], Standpoint], hub: LinkHub, join: str = "") -> None:
        """`standpoint`: as it is when it is asked for. `join`: HOST:PORT of a member of the cluster that this one is to
        join; dialled until the log tells that it has."""
        self._standpoint = standpoint
        self._me = standpoint().member
        self._hub = hub
        self._join = join
        self._links: dict[MemberId, _Link] = {}
        self._dialled: set[MemberId] = set()
        """Those that have a task which dials them."""
        self._changed = trio.Event()
        self._pending: dict[trio.CancelScope, None] = {}
        """Handshakes of accepted connections, the oldest first."""
        self._logged: dict[str, None] = {}
        """Warnings of the accepting side since the last link, the oldest first."""

    async def run(self, listener: trio.SocketListener) -> None:
        """Keep a link to every other member, until cancelled. `listener` is where the others find this one."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_accepting, listener, nursery)
            if self._join:
                nursery.start_soon(self._keep_joining)
            await self._keep_up(nursery)

    def members_changed(self) -> None:
        """The newest configuration of the log is another one."""
        self._changed.set()

    # -- members come and go

    async def _keep_up(self, nursery: trio.Nursery) -> NoReturn:
        while True:
            self._changed = trio.Event()
            for peer in sorted(self._addresses().keys() - self._dialled):
                self._dialled.add(peer)
                nursery.start_soon(self._keep_dialling, peer)
            if self._strangers():
                nursery.start_soon(self._take_leave)
            await self._changed.wait()

    def _addresses(self) -> dict[MemberId, str]:
        """Where those are that we dial. Nobody, if we are no member: then it is for the others to know us."""
        configuration = self._standpoint().membership.configuration
        if self._me not in configuration.members:
            return {}
        seats = {seat.member: seat.address for seat in configuration.seats}
        return {member: seats.get(member, "") for member in configuration.members if member != self._me}

    def _strangers(self) -> list[MemberId]:
        """Those that are linked and no members."""
        me = self._standpoint()
        return [member for member, link in self._links.items() if me.is_stranger(member, link.hello.configuration)]

    async def _take_leave(self) -> None:
        await trio.sleep(FAREWELL_SECONDS)
        for member in self._strangers():
            log.info("closes the link to member %d, which is a member no more", member)
            self._hub.drop_peer(member)

    # -- accepting

    async def _keep_accepting(self, listener: trio.SocketListener, nursery: trio.Nursery) -> NoReturn:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                self._warn(f"cannot accept a member: {error}; raise the limit of open files (ulimit -n)")
                await trio.sleep(NO_DESCRIPTORS_PAUSE)
                continue
            if len(self._pending) == MAX_PENDING:
                oldest = next(iter(self._pending))
                del self._pending[oldest]
                oldest.cancel()
            scope = trio.CancelScope(deadline=trio.current_time() + HANDSHAKE_SECONDS)
            self._pending[scope] = None
            nursery.start_soon(self._welcome, stream, scope)

    async def _welcome(self, stream: trio.SocketStream, scope: trio.CancelScope) -> None:
        """One accepted connection, until it is closed or, as a link, lost."""
        host = host_of(stream)
        hello = None
        with stream.socket:
            try:
                with scope:
                    hello = await self._answer(stream, host)
            except (OSError, trio.BrokenResourceError) as error:
                log.debug("%s connected to the peer port and left: %s", host, reason(error))
            finally:
                self._pending.pop(scope, None)
            if hello is not None:
                self._logged.clear()
                if not self._keeps_its_own(hello):  # it may have come about while ours was on its way
                    await self._hand_over(stream, hello, is_dialled=False)
            elif scope.cancelled_caught:
                self._warn(
                    f"gave up on {host}: something connected to the peer port of member {self._me} and did not finish "
                    "its hello; only members belong there, clients use the client port"
                )

    async def _answer(self, stream: trio.SocketStream, host: str) -> Hello | None:
        """What the dialler said, answered with our hello; None if it was answered with a refusal."""
        me = self._standpoint()
        try:
            hello = await follow(accepting(me), stream)
            if self._keeps_its_own(hello):
                raise _AlreadyLinked(f"member {self._me} has a link to member {hello.sender}, which it dialled itself")
        except Refusal as refusal:
            if isinstance(refusal, _AlreadyLinked):
                log.debug("refused %s: %s", host, refusal)
            else:
                self._warn(f"refused {host}: {refusal}")
            with trio.move_on_after(REFUSAL_SECONDS):
                await stream.send_all(encode_refusal(refusal))
                # To close while bytes are unread would reset the connection, and the refusal might never be seen.
                await stream.send_eof()
                while await stream.receive_some():
                    pass
            return None
        await stream.send_all(me.hello_to(hello.sender).encode())
        return hello

    def _keeps_its_own(self, hello: Hello) -> bool:
        """A higher id dials us, which we have dialled. It did not know so yet; or it does not know any more, and then
        ours breaks as soon as something is sent on it, or the kernel probes it. Only one that was started anew cannot
        have kept it."""
        link = self._links.get(hello.sender)
        if link is None or not link.is_dialled or hello.sender < self._me:
            return False
        return hello.incarnation == link.hello.incarnation

    # -- dialling

    async def _keep_dialling(self, peer: MemberId) -> None:
        """As long as it is a member."""
        attempts = _Attempts(f"member {peer}")
        while (address := self._addresses().get(peer)) is not None:
            if peer in self._links:
                await self._links[peer].gone.wait()
                continue
            if peer < self._me:
                await trio.sleep(TURN_SECONDS)
            if peer not in self._links:
                await self._attempt(peer, address, attempts)
        self._dialled.discard(peer)

    async def _keep_joining(self) -> None:
        """Until our own log tells that we are a member, and who the others are."""
        attempts = _Attempts("the cluster that is to be joined")
        while self._me not in self._standpoint().membership.configuration.members:
            if self._links:
                await trio.sleep(MAX_PAUSE)
            else:
                await self._attempt(WHOEVER, self._join, attempts)

    async def _attempt(self, peer: MemberId, address: str, attempts: _Attempts) -> None:
        """Make one link and wait until it is lost, or log why there is none; and pause."""
        level, limit, trouble = logging.INFO, MAX_PAUSE, ""
        try:
            if await self._dial_once(peer, address) >= LASTING_SECONDS:
                attempts.pause = FIRST_PAUSE
        except Refusal as refusal:
            level, trouble = logging.WARNING, str(refusal)
        except ValueError as error:
            level, trouble = logging.WARNING, f"{error}; correct it with `coord member move {peer} HOST:PORT`"
        except trio.TooSlowError:
            trouble = "no answer in time; check that it runs and that this is its peer address"
        except (OSError, trio.BrokenResourceError) as error:
            trouble = reason(error)
            if all(isinstance(cause, ConnectionRefusedError) for cause in causes(error)):
                limit = MAX_PAUSE_REFUSED
        is_linked = bool(self._links) if peer == WHOEVER else peer in self._links
        if trouble and trouble != attempts.trouble and not is_linked:
            log.log(level, "no link to %s at %s: %s", attempts.whom, address, trouble)
        attempts.trouble = trouble
        attempts.pause = min(attempts.pause, limit)
        await trio.sleep(attempts.pause)
        attempts.pause *= 2

    async def _dial_once(self, peer: MemberId, address: str) -> float:
        """Make a link to `peer`, and return when it is lost: how many seconds it stood."""
        host, port = split_address(address)
        with trio.fail_after(CONNECT_SECONDS):
            stream = await trio.open_tcp_stream(host, port)  # looks the name up each time: it may have moved
        with stream.socket:
            me = self._standpoint()
            with trio.fail_after(HANDSHAKE_SECONDS):
                await stream.send_all(me.hello_to(peer).encode())
                hello = await follow(dialling(me, peer), stream)
            if hello.sender < self._me and hello.sender in self._links:
                return 0.0  # it has dialled us meanwhile, and that link stays
            since = trio.current_time()
            await self._hand_over(stream, hello, is_dialled=True)
            return trio.current_time() - since

    # -- both

    async def _hand_over(self, stream: trio.SocketStream, hello: Hello, is_dialled: bool) -> None:
        """Returns when the link is lost."""
        member, version = hello.sender, self._standpoint().versions.common(hello.versions)
        gone = self._hub.adopt_peer(member, detach(stream))
        link = self._links[member] = _Link(hello, is_dialled, gone)
        log.info("linked to member %d (its incarnation %d, protocol %d)", member, hello.incarnation, version)
        if self._strangers():
            self.members_changed()  # they changed between its hello and now
        await gone.wait()
        if self._links.get(member) is link:
            del self._links[member]
        log.info("lost the link to member %d (its incarnation %d)", member, hello.incarnation)

    def _warn(self, text: str) -> None:
        """Log what a retry would repeat, once."""
        if text not in self._logged:
            if len(self._logged) == MAX_REMEMBERED:
                del self._logged[next(iter(self._logged))]
            self._logged[text] = None
            log.warning("%s", text)
