"""One TCP connection to every other member: made, checked, handed over, and made again when it is lost.

The member with the lower id dials, the other accepts; so two members never make two links at once and need no rule
which of them to keep. What is agreed is a plain non-blocking socket that goes to the hub (`adopt`). Links sees no
frame, and the hub no handshake.
"""

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

import trio

from coord.raft.types import MemberId
from coord.transport.handshake import DirectoryOf, Hello, Refusal, Steps, accepting, dialling, encode_refusal

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

NO_DESCRIPTORS_PAUSE = 0.1

# A peer that vanished without a word (power, cable) must be noticed although nothing is sent to it; and bytes that it
# does not acknowledge must not wait for TCP's own patience, which after a minute's partition is the better part of
# another. Kernels answer these probes, not processes: whoever is merely busy or stopped for a while loses no link.
_OPTIONS = (
    ("TCP_NODELAY", 1),
    ("TCP_KEEPIDLE", 2),
    ("TCP_KEEPINTVL", 1),
    ("TCP_KEEPCNT", 3),
    ("TCP_USER_TIMEOUT", 5000),  # milliseconds
)

# Refusals of the accepting side that were logged and are not logged again before a link stands.
MAX_REMEMBERED = 64

Adopt = Callable[[MemberId, socket.socket], trio.Event]
"""Takes a link over: from whom, and a non-blocking socket. The event is set when it is lost."""


class Links:
    """All links of one member, for as long as `run` is not cancelled."""

    def __init__(
        self,
        me: MemberId,
        incarnation: int,
        directory: int,
        addresses: Mapping[MemberId, tuple[str, int]],
        cluster_id: Callable[[], int],
        directory_of: DirectoryOf,
        adopt: Adopt,
    ) -> None:
        """`addresses`: of all members, this one among them or not. `cluster_id`: 0 as long as it is not known."""
        self._me = me
        self._incarnation = incarnation
        self._directory = directory
        self._directory_of = directory_of
        self._addresses = {member: address for member, address in addresses.items() if member != me}
        self._cluster_id = cluster_id
        self._adopt = adopt
        self._pending: dict[trio.CancelScope, None] = {}
        """Handshakes of accepted connections, the oldest first."""
        self._logged: dict[str, None] = {}
        """Warnings of the accepting side since the last link, the oldest first."""

    async def run(self, listener: trio.SocketListener) -> None:
        """Keep a link to every other member, until cancelled. `listener` is at this one's address in [members]."""
        async with trio.open_nursery() as nursery:
            for peer in sorted(self._addresses):
                if peer > self._me:
                    nursery.start_soon(self._keep_dialling, peer)
            await self._keep_accepting(listener, nursery)

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
        host = _host(stream)
        hello = None
        with stream.socket:
            try:
                with scope:
                    hello = await self._answer(stream, host)
            except (OSError, trio.BrokenResourceError) as error:
                log.debug("%s connected to the peer port and left: %s", host, _reason(error))
            finally:
                self._pending.pop(scope, None)
            if hello is not None:
                self._logged.clear()
                await self._hand_over(stream, hello)
            elif scope.cancelled_caught:
                self._warn(
                    f"gave up on {host}: something connected to the peer port of member {self._me} and did not finish "
                    "its hello; only members belong there, clients use the client port"
                )

    async def _answer(self, stream: trio.SocketStream, host: str) -> Hello | None:
        """What the dialler said, answered with our hello; None if it was answered with a refusal."""
        cluster = self._cluster_id()
        try:
            hello = await _follow(accepting(self._me, self._addresses.keys(), cluster, self._directory_of), stream)
        except Refusal as refusal:
            self._warn(f"refused {host}: {refusal}")
            with trio.move_on_after(REFUSAL_SECONDS):
                await stream.send_all(encode_refusal(refusal))
                # To close while bytes are unread would reset the connection, and the refusal might never be seen.
                await stream.send_eof()
                while await stream.receive_some():
                    pass
            return None
        await stream.send_all(self._hello_to(hello.sender, cluster))
        return hello

    # -- dialling

    async def _keep_dialling(self, peer: MemberId) -> NoReturn:
        host, port = self._addresses[peer]
        pause = FIRST_PAUSE
        known = ""
        while True:
            level, limit = logging.INFO, MAX_PAUSE
            try:
                stood = await self._dial_once(peer)
            except Refusal as refusal:
                level, trouble = logging.WARNING, str(refusal)
            except trio.TooSlowError:
                trouble = "no answer in time; check that it runs and that this is its peer address"
            except (OSError, trio.BrokenResourceError) as error:
                trouble = _reason(error)
                if all(isinstance(cause, ConnectionRefusedError) for cause in _causes(error)):
                    limit = MAX_PAUSE_REFUSED
            else:
                trouble = ""
                if stood >= LASTING_SECONDS:
                    pause = FIRST_PAUSE
            if trouble and trouble != known:
                log.log(level, "no link to member %d at %s:%d: %s", peer, host, port, trouble)
            known = trouble
            pause = min(pause, limit)
            await trio.sleep(pause)
            pause *= 2

    async def _dial_once(self, peer: MemberId) -> float:
        """Make a link to `peer`, and return when it is lost: how many seconds it stood."""
        host, port = self._addresses[peer]
        with trio.fail_after(CONNECT_SECONDS):
            stream = await trio.open_tcp_stream(host, port)  # looks the name up each time: it may have moved
        with stream.socket:
            cluster = self._cluster_id()
            with trio.fail_after(HANDSHAKE_SECONDS):
                await stream.send_all(self._hello_to(peer, cluster))
                hello = await _follow(dialling(self._me, peer, cluster, self._directory_of), stream)
            since = trio.current_time()
            await self._hand_over(stream, hello)
            return trio.current_time() - since

    # -- both

    def _hello_to(self, member: MemberId, cluster: int) -> bytes:
        return Hello(cluster, self._me, member, self._incarnation, self._directory).encode()

    async def _hand_over(self, stream: trio.SocketStream, hello: Hello) -> None:
        """Returns when the link is lost."""
        gone = self._adopt(hello.sender, _detach(stream))
        log.info("linked to member %d (its incarnation %d)", hello.sender, hello.incarnation)
        await gone.wait()
        log.info("lost the link to member %d (its incarnation %d)", hello.sender, hello.incarnation)

    def _warn(self, text: str) -> None:
        """Log what a retry would repeat, once."""
        if text not in self._logged:
            if len(self._logged) == MAX_REMEMBERED:
                del self._logged[next(iter(self._logged))]
            self._logged[text] = None
            log.warning("%s", text)


async def _follow(steps: Steps, stream: trio.SocketStream) -> Hello:
    """Feed a side of the handshake from the stream. Raises what it raises, and `ConnectionError` at the end."""
    needed = next(steps)
    while True:
        data = bytearray()
        while len(data) < needed:
            piece = await stream.receive_some(needed - len(data))
            if not piece:
                raise ConnectionError("it closed the connection in the middle of the handshake")
            data += piece
        try:
            needed = steps.send(bytes(data))
        except StopIteration as stop:
            hello: Hello = stop.value
            return hello


def _detach(stream: trio.SocketStream) -> socket.socket:
    """The same connection as a plain socket; non-blocking, as trio made it."""
    sock = socket.socket(fileno=stream.socket.detach())
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS:
        option = getattr(socket, name, None)  # not every system has all of them
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    return sock


def _host(stream: trio.SocketStream) -> str:
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return "somebody who left at once"


def _reason(error: Exception) -> str:
    return "; ".join(dict.fromkeys(str(cause) for cause in _causes(error)))


def _causes(error: Exception) -> Sequence[BaseException]:
    """What the system said: trio puts an error of its own before it, and those of several addresses in a group."""
    cause = error.__cause__ or error
    return cause.exceptions if isinstance(cause, BaseExceptionGroup) else (cause,)
