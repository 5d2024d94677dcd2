"""The data of /zookeeper/config: the members, and where clients find them (ZOOKEEPER-PROTOCOL §5.9).

Curator replaces its connection string by the client addresses it reads here, so these are the ones that
members advertise: names that a client can reach, never 0.0.0.0.
"""

from collections.abc import Mapping
from typing import NamedTuple

from coord.raft.configuration import Membership
from coord.raft.types import MemberId

NO_ELECTION_PORT = "1"
NO_PEER_PORT = "2"
"""Nobody listens there. Not 0, which means "any" to some parsers."""


class Addresses(NamedTuple):
    """Where a member is reached: `host:port` for clients, and for other members ("" if it did not say)."""

    client: str
    peer: str = ""
    directory: int = 0
    """The id of its data directory, by which the others know it again; 0 if it did not say."""


NOTHING_ANNOUNCED = Addresses("")


def configuration_text(membership: Membership, announced: Mapping[MemberId, Addresses], zxid: int) -> bytes:
    r"""Lines as ZooKeeper writes them; the last has the version and no newline.

    `announced`: what is known of members by themselves. As long as there is no configuration in the log they are all
    there is, and `zxid`, that of the newest of them, is the version.

    Ours have one port for all that passes between members, where ZooKeeper has one for data and one for elections.
    Its parser, which Curator runs over this, insists that they differ from each other and from the clients' port.

    >>> from coord.raft import UNTOLD
    >>> configuration_text(UNTOLD, {MemberId(1): Addresses("a.example:2181", "a.example:7001")}, 26)
    b'server.1=a.example:7001:1:participant;a.example:2181\nversion=1a'
    """
    present = membership.configuration
    lines = []
    for member in present.members or sorted(announced):
        client, peer, _ = announced.get(member, NOTHING_ANNOUNCED)
        seat = present.seat_of(member)
        if seat is not None:
            client, peer = client or seat.client, seat.address or peer
        host, _, port = peer.rpartition(":")
        if not peer:
            host, port = client.rpartition(":")[0], NO_PEER_PORT
        part = "observer" if member in present.learners else "participant"
        election = seat.election if seat is not None and seat.election else NO_ELECTION_PORT
        lines.append(f"server.{member}={host}:{port}:{election}:{part};{client}")
    lines.append(f"version={membership.index or zxid:x}")
    return "\n".join(lines).encode()
