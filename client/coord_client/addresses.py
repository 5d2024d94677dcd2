"""Where the servers are: reading the address list, and the order and pace in which they are tried."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from coord_protocol.errors import LocalProtocolError
from coord_protocol.paths import is_valid_path

DEFAULT_PORT = 2181

FIRST_PAUSE = 0.05  # after every server was tried once; each further round doubles it …
LONGEST_PAUSE = 2.0  # … up to here: a cluster that is back should not wait long for its clients
SETTLED_AFTER = 1.0  # a connection that lived this long was a success, so that the next loss starts without pause


class Address(NamedTuple):
    """Host (a name, or an address without brackets) and port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_hosts(hosts: str) -> tuple[list[Address], str]:
    """The servers of a list like kazoo's, and its chroot ("" if none).

    >>> parse_hosts("zk1,zk2:2182,[::1]:2183/app")
    ([Address(host='zk1', port=2181), Address(host='zk2', port=2182), Address(host='::1', port=2183)], '/app')
    """
    servers, slash, chroot = hosts.partition("/")
    chroot = f"/{chroot}".rstrip("/") if slash else ""
    if chroot and not is_valid_path(chroot):
        raise LocalProtocolError(f"{hosts!r}: {chroot!r} is not a path")
    addresses = [_parse_address(server.strip(), hosts) for server in servers.split(",") if server.strip()]
    if not addresses:
        raise LocalProtocolError(f"{hosts!r}: expected host:port, or several with commas between")
    return addresses, chroot


def _parse_address(server: str, hosts: str) -> Address:
    if server.startswith("["):
        host, bracket, rest = server[1:].partition("]")
        port = rest.removeprefix(":") if rest.startswith(":") else rest
        if not bracket or (rest and not rest.startswith(":")):
            raise LocalProtocolError(f"{hosts!r}: {server!r} should look like [::1]:2181")
    elif server.count(":") > 1:
        raise LocalProtocolError(f"{hosts!r}: an IPv6 address stands in brackets: [{server}]")
    else:
        host, _, port = server.partition(":")
    if not host or (port and not port.isdecimal()) or not 0 <= int(port or DEFAULT_PORT) < 1 << 16:
        raise LocalProtocolError(f"{hosts!r}: {server!r} should look like host:port")
    return Address(host, int(port or DEFAULT_PORT))


class Itinerary:
    """Which server to try next, and how long to wait before.

    Servers are tried round and round in one shuffled order. The first round goes without a pause: somebody
    else is probably up. Then pauses grow, with jitter, so that a thousand clients do not come back as one.
    """

    def __init__(
        self,
        addresses: list[Address],
        *,
        shuffle: Callable[[list[Address]], None] = random.shuffle,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.addresses = list(addresses)
        shuffle(self.addresses)
        self._jitter = jitter
        self._round = self._endless()
        self._tries = 0

    def _endless(self) -> Iterator[Address]:
        while True:
            yield from self.addresses

    def next_stop(self) -> tuple[float, Address]:
        """Seconds to wait, and the server to try then."""
        rounds = self._tries // len(self.addresses)
        self._tries += 1
        pause = 0.0
        if rounds:
            # Half of the pause is certain, half is chance. The exponent stays small: 2**16 pauses are past
            # the limit.
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(rounds - 1, 16)) * (0.5 + self._jitter() / 2)
        return pause, next(self._round)

    def arrived(self, lived: float) -> None:
        """A connection was up for `lived` seconds. One that broke at once counts as a failed try."""
        if lived >= SETTLED_AFTER:
            self._tries = 0
