"""A connection between two members before it is a link: its address, its handshake, and what went wrong with it."""

import socket
from collections.abc import Sequence

import trio

from coord.transport.handshake import Hello, Steps

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

_MAX_PORT = 65535


def split_address(address: str) -> tuple[str, int]:
    """Host and port. Raises `ValueError` if it is not HOST:PORT: whoever typed it is told when it is dialled.

    >>> split_address("db1.example:2281"), split_address("[::1]:2281")
    (('db1.example', 2281), ('::1', 2281))
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= _MAX_PORT:
        raise ValueError(f"{address!r} is not HOST:PORT" if address else "its address is not known")
    return host.strip("[]"), int(port)


async def follow(steps: Steps, stream: trio.SocketStream) -> Hello:
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


def detach(stream: trio.SocketStream) -> socket.socket:
    """The same connection as a plain socket; non-blocking, as trio made it."""
    sock = socket.socket(fileno=stream.socket.detach())
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS:
        option = getattr(socket, name, None)  # not every system has all of them
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    return sock


def host_of(stream: trio.SocketStream) -> str:
    """For logs: who dialled."""
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return "somebody who left at once"


def reason(error: Exception) -> str:
    """Why a connection was not made, or broke."""
    return "; ".join(dict.fromkeys(str(cause) for cause in causes(error)))


def causes(error: Exception) -> Sequence[BaseException]:
    """What the system said: trio puts an error of its own before it, and those of several addresses in a group."""
    cause = error.__cause__ or error
    return cause.exceptions if isinstance(cause, BaseExceptionGroup) else (cause,)
