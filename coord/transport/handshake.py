"""How two members make sure of each other before they trust a link: one hello each way, or a refusal.

    hello       b"CRDP" (4)  version (2)  cluster (8)  sender (4)  receiver (4)  incarnation (8)  directory (8)
    refusal     b"CRDN" (4)  length (2)   text

Big-endian. The dialler speaks first. The acceptor answers with a hello of its own, after which the stream belongs to
frames, or with a refusal and the end of the stream. The first six bytes mean the same in every version, so that
members of different versions can at least tell each other why they cannot talk.

`accepting` and `dialling` do no I/O: they are generators that yield how many bytes they need next and are sent
exactly those. So nothing of what follows a hello is ever taken from the stream by mistake. What they return is the
other side's hello; they raise `Refusal` if there must be no link.
"""

from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass
from struct import Struct
from typing import TypeAlias

from coord.raft.types import MemberId

VERSION = 1
MAGIC = b"CRDP"
REFUSAL_MAGIC = b"CRDN"
MAX_TEXT_BYTES = 1024  # of a refusal: three lines of a terminal; a longer text is cut

_HEAD = Struct(">4sH")
_BODY = Struct(">QIIQQ")

UNKNOWN_CLUSTER = 0
"""A member that has not yet learned from the log which cluster it is in."""

DirectoryOf: TypeAlias = Callable[[MemberId], int]
"""The id of the data directory that the log knows a member by; 0 if it does not know it yet."""

Steps: TypeAlias = Generator[int, bytes, "Hello"]


class Refusal(Exception):
    """These two must not be linked. The text names the reason and the remedy and reads the same on both sides."""


@dataclass(frozen=True, slots=True)
class Hello:
    cluster: int
    """Its id, or `UNKNOWN_CLUSTER`."""

    sender: MemberId
    receiver: MemberId
    """Whom the sender believes to talk to."""

    incarnation: int
    """How often the sender was started on its data directory; for the logs, where a restart is plain to see."""

    directory: int
    """The id of the sender's data directory."""

    def encode(self) -> bytes:
        body = _BODY.pack(self.cluster, self.sender, self.receiver, self.incarnation, self.directory)
        return _HEAD.pack(MAGIC, VERSION) + body


def encode_refusal(refusal: Refusal) -> bytes:
    text = str(refusal).encode()[:MAX_TEXT_BYTES]
    return _HEAD.pack(REFUSAL_MAGIC, len(text)) + text


def accepting(me: MemberId, members: Collection[MemberId], cluster: int, directory_of: DirectoryOf) -> Steps:
    """The acceptor's side: what the dialler says, checked."""
    head = yield _HEAD.size
    magic, version = _HEAD.unpack(head)
    if magic != MAGIC:
        raise Refusal(
            f"something that is not a coord member connected to the peer port of member {me}: it began with {head!r}; "
            "only members belong there, clients use the client port"
        )
    _check_version(version, me)
    hello = Hello(*_BODY.unpack((yield _BODY.size)))
    sender = hello.sender
    if hello.receiver != me:
        raise Refusal(
            f"this is member {me}, but member {sender} wanted member {hello.receiver}: correct the address of member "
            f"{hello.receiver} in [members] of member {sender}, or the id here"
        )
    if sender not in members:
        listed = ", ".join(str(member) for member in sorted(members))
        raise Refusal(
            f"member {sender} is not in [members] of member {me} ({listed}): [members] must be the same everywhere"
        )
    if sender >= me:
        raise Refusal(
            f"member {sender} dialled member {me}, but a link is dialled by the lower id of the two: is another "
            f"server running with id {sender}, or another program speaking for it?"
        )
    _check_cluster(hello, me, cluster)
    _check_directory(hello, directory_of)
    return hello


def dialling(me: MemberId, peer: MemberId, cluster: int, directory_of: DirectoryOf) -> Steps:
    """The dialler's side, once its own hello is sent: the answer, checked."""
    head = yield _HEAD.size
    magic, number = _HEAD.unpack(head)
    if magic == REFUSAL_MAGIC:
        raise Refusal(_printable((yield number)))
    if magic != MAGIC:
        raise Refusal(
            f"what listens at the address of member {peer} is not a coord member: it answered {head!r}; "
            f"[members] must give the peer address of member {peer}, not that of its clients"
        )
    _check_version(number, me)
    hello = Hello(*_BODY.unpack((yield _BODY.size)))
    if (hello.sender, hello.receiver) != (peer, me):
        raise Refusal(
            f"the address of member {peer} leads to member {hello.sender}, which answers member {hello.receiver}: "
            f"correct it in [members] of member {me}"
        )
    _check_cluster(hello, me, cluster)
    _check_directory(hello, directory_of)
    return hello


def _check_version(version: int, me: MemberId) -> None:
    if version != VERSION:
        raise Refusal(
            f"member {me} speaks version {VERSION} of the protocol between members and the other side version "
            f"{version}: run releases of coord that have one in common"
        )


def _check_cluster(hello: Hello, me: MemberId, cluster: int) -> None:
    if UNKNOWN_CLUSTER not in (hello.cluster, cluster) and hello.cluster != cluster:
        raise Refusal(
            f"member {hello.sender} is of cluster {hello.cluster:016x} and member {me} of cluster {cluster:016x}: "
            "one of them has the data directory or the [members] of another cluster"
        )


def _check_directory(hello: Hello, directory_of: DirectoryOf) -> None:
    known = directory_of(hello.sender)
    if known and hello.directory != known:
        raise Refusal(
            f"member {hello.sender} comes with another data directory than the one it had: what it acknowledged is in "
            f"that one (id {known:x}, not {hello.directory:x}), and the cluster could lose data by listening to one "
            "that forgot; start it on its own directory or on a copy of it (a member cannot be replaced yet)"
        )


def _printable(text: bytes) -> str:
    """A stranger's text, safe for a line of a log.

    >>> _printable(b"no\\n\\x1b[2Jway")
    'no??[2Jway'
    """
    return "".join(c if c.isprintable() else "?" for c in text[:MAX_TEXT_BYTES].decode(errors="replace"))
