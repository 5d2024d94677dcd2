"""How two members make sure of each other before they trust a link: one hello each way, or a refusal.

    hello       b"CRDP" (4)  length (2)   of what follows:
                lowest (2)  highest (2)  cluster (8)  sender (4)  receiver (4)  incarnation (8)  directory (8)
                configuration (8)   whatever newer versions add
    refusal     b"CRDN" (4)  length (2)   text

Big-endian. The dialler speaks first. The acceptor answers with a hello of its own, after which the stream belongs to
frames, or with a refusal and the end of the stream.

`lowest` and `highest` are the versions of the protocol between members that a side speaks; a link uses the highest that
both have. Magic, length and these two mean the same in every version, and so does a refusal: members that have no
version in common can still tell each other so. A version may add fields at the end of the hello, which older ones
skip; it takes none away.

Who is a member changes, and two members seldom learn of it at the same moment. So each names the index of the newest
configuration in its log, and whoever has the older one does not judge by it who is a member (thesis §4.2.2: a voter
that lags behind must be able to vote for a member that it has never heard of).

`accepting` and `dialling` do no I/O: they are generators that yield how many bytes they need next and are sent
exactly those. So nothing of what follows a hello is ever taken from the stream by mistake. What they return is the
other side's hello; they raise `Refusal` if there must be no link.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple, TypeAlias

from coord.raft.configuration import NOBODY, Membership
from coord.raft.types import BEFORE_FIRST, Index, MemberId

MAGIC = b"CRDP"
REFUSAL_MAGIC = b"CRDN"
MAX_HELLO_BYTES = 1024  # twenty times ours: room for what later versions add, and little to wait for
MAX_TEXT_BYTES = 1024  # of a refusal: three lines of a terminal; a longer text is cut

_HEAD = Struct(">4sH")
_VERSIONS = Struct(">HH")
_BODY = Struct(">HHQIIQQQ")
_SENDER = Struct(">I")
_SENDER_AT = _HEAD.size + _VERSIONS.size + 8

UNKNOWN_CLUSTER = 0
"""A member that has not yet learned from the log which cluster it is in."""

WHOEVER = MemberId(0)
"""As receiver: a member that joins knows an address, and not whose it is."""

DirectoryOf: TypeAlias = Callable[[MemberId], int]
"""The id of the data directory that a member said it has; 0 if it has not said it yet."""

Steps: TypeAlias = Generator[int, bytes, "Hello"]


class Refusal(Exception):
    """These two must not be linked. The text names the reason and the remedy and reads the same on both sides."""


class Versions(NamedTuple):
    """All from the lowest to the highest."""

    lowest: int
    highest: int

    def common(self, others: "Versions") -> int | None:
        """The highest that both speak.

        >>> Versions(1, 3).common(Versions(2, 9)), Versions(1, 1).common(Versions(2, 2))
        (3, None)
        """
        highest = min(self.highest, others.highest)
        return highest if highest >= max(self.lowest, others.lowest) else None

    def __str__(self) -> str:
        return f"version {self.lowest}" if self.lowest == self.highest else f"versions {self.lowest} to {self.highest}"


SPOKEN = Versions(1, 1)
"""By this release. One that changes a frame adds a version, and speaks the one before as well: then members of both
run side by side while a cluster is upgraded."""


@dataclass(frozen=True, slots=True)
class Hello:
    versions: Versions

    cluster: int
    """Its id, or `UNKNOWN_CLUSTER`."""

    sender: MemberId
    receiver: MemberId
    """Whom the sender believes to talk to, or `WHOEVER`."""

    incarnation: int
    """Another one for each start of the sender."""

    directory: int
    """The id of the sender's data directory."""

    configuration: Index
    """Where the newest configuration of the sender's log is; 0: it has none."""

    def encode(self) -> bytes:
        numbers = (self.cluster, self.sender, self.receiver, self.incarnation, self.directory, self.configuration)
        return _HEAD.pack(MAGIC, _BODY.size) + _BODY.pack(*self.versions, *numbers)


@dataclass(frozen=True, slots=True)
class Standpoint:
    """What a member says of itself, and goes by when it judges another: as it is at one moment."""

    member: MemberId
    incarnation: int
    directory: int
    cluster: int
    membership: Membership
    """The newest in its log."""

    directory_of: DirectoryOf
    """By what members said; what the membership tells counts more."""

    versions: Versions = SPOKEN

    def hello_to(self, receiver: MemberId) -> Hello:
        return Hello(
            self.versions,
            self.cluster,
            self.member,
            receiver,
            self.incarnation,
            self.directory,
            self.membership.index,
        )

    def is_stranger(self, member: MemberId, configuration: Index) -> bool:
        """Whether it is no member, as far as we can tell of one that has this newest configuration."""
        index, ours = self.membership.index, self.membership.configuration
        return ours != NOBODY and member not in ours.members and configuration <= index


def encode_refusal(refusal: Refusal) -> bytes:
    text = str(refusal).encode()[:MAX_TEXT_BYTES]
    return _HEAD.pack(REFUSAL_MAGIC, len(text)) + text


def sender_of(beginning: bytes) -> MemberId | None:
    """Whose hello begins with these bytes, whatever else is wrong with it; None if they are too few. For those who
    stand between members and pass on what they say."""
    if len(beginning) < _SENDER_AT + _SENDER.size:
        return None
    (sender,) = _SENDER.unpack_from(beginning, _SENDER_AT)
    return MemberId(sender)


def accepting(me: Standpoint) -> Steps:
    """The acceptor's side: what the dialler says, checked."""
    head = yield _HEAD.size
    magic, length = _HEAD.unpack(head)
    if magic != MAGIC or length > MAX_HELLO_BYTES:
        raise Refusal(
            f"something that is not a coord member connected to the peer port of member {me.member}: it began with "
            f"{head!r}; only members belong there, clients use the client port"
        )
    hello = _read((yield length), me)
    sender = hello.sender
    if hello.receiver not in (me.member, WHOEVER):
        raise Refusal(
            f"this is member {me.member}, but member {sender} wanted member {hello.receiver}: "
            + _correct(hello.receiver)
        )
    if sender == me.member:
        raise Refusal(
            f"member {me.member} was dialled by a member {sender}: another server runs with this id, or with this "
            "one's address as that of another member"
        )
    _check(hello, me)
    return hello


def dialling(me: Standpoint, peer: MemberId) -> Steps:
    """The dialler's side, once its own hello to `peer` is sent: the answer, checked."""
    head = yield _HEAD.size
    magic, number = _HEAD.unpack(head)
    if magic == REFUSAL_MAGIC:
        raise Refusal(_printable((yield number)))
    whom = "a member" if peer == WHOEVER else f"member {peer}"
    if magic != MAGIC or number > MAX_HELLO_BYTES:
        raise Refusal(
            f"what listens at the address of {whom} is not a coord member: it answered {head!r}; "
            f"give the peer address of {whom}, not that of its clients"
        )
    hello = _read((yield number), me)
    if hello.receiver != me.member or hello.sender == me.member or peer not in (hello.sender, WHOEVER):
        raise Refusal(
            f"the address of {whom} leads to member {hello.sender}, which answers member {hello.receiver}: "
            + _correct(peer)
        )
    _check(hello, me)
    return hello


def _read(body: bytes, me: Standpoint) -> Hello:
    """Raises `Refusal` if there is no version in common, or the hello is too short for those that there are."""
    if len(body) >= _VERSIONS.size:
        theirs = Versions(*_VERSIONS.unpack_from(body))
        if me.versions.common(theirs) is None:
            raise Refusal(
                f"member {me.member} speaks {me.versions} of the protocol between members and the other side {theirs}: "
                "no link without one in common; upgrade the older one first to a release that speaks both"
            )
    if len(body) < _BODY.size:
        raise Refusal(f"a hello to member {me.member} of {len(body)} bytes, where {_BODY.size} belong: no coord member")
    lowest, highest, cluster, sender, receiver, incarnation, directory, index = _BODY.unpack_from(body)
    versions = Versions(lowest, highest)
    return Hello(versions, cluster, MemberId(sender), MemberId(receiver), incarnation, directory, Index(index))


def _check(hello: Hello, me: Standpoint) -> None:
    """Whether the sender is of our cluster, a member, and the one that it was."""
    sender = hello.sender
    if UNKNOWN_CLUSTER not in (hello.cluster, me.cluster) and hello.cluster != me.cluster:
        raise Refusal(
            f"member {sender} is of cluster {hello.cluster:016x} and member {me.member} of cluster "
            f"{me.cluster:016x}: one of them has the data directory or the addresses of another cluster"
        )
    if sender <= 0:
        raise Refusal(f"member {sender} dialled member {me.member}: ids are positive")
    if me.is_stranger(sender, hello.configuration):
        raise Refusal(_no_member(hello, me.membership))
    if hello.configuration > me.membership.index:
        return  # it may be a new member in the place of one that we still believe in: we are the ones to learn
    known = _directory_of(sender, me)
    if known and hello.directory != known:
        raise Refusal(
            f"member {sender} comes with another data directory than the one it had: what it acknowledged is in that "
            f"one (id {known:x}, not {hello.directory:x}), and the cluster could lose data by listening to one that "
            f"forgot; start it on its own directory, or, if that is lost, run `coord member remove {sender}`, then "
            f"`coord member add {sender} HOST:PORT` with an empty directory, or `coord member replace`"
        )


def _directory_of(member: MemberId, me: Standpoint) -> int:
    seat = me.membership.configuration.seat_of(member)
    return seat.directory if seat is not None and seat.directory else me.directory_of(member)


def _no_member(hello: Hello, ours: Membership) -> str:
    sender = hello.sender
    if hello.configuration > BEFORE_FIRST:
        return (
            f"member {sender} was removed from the cluster (configuration {ours.index}): stop its server, its data "
            f"directory is of no more use; to have it back, run `coord member add {sender} HOST:PORT` and start it "
            "with an empty one"
        )
    if ours.index > BEFORE_FIRST:
        return (
            f"member {sender} is not in the cluster's configuration: run `coord member add {sender} HOST:PORT` with "
            "its peer address"
        )
    listed = ", ".join(str(member) for member in ours.configuration.members)
    return (
        f"member {sender} is not in [members], which are {listed}: they must be the same on all that found a cluster; "
        f"to one that runs, add it with `coord member add {sender} HOST:PORT`"
    )


def _correct(member: MemberId) -> str:
    if member == WHOEVER:
        return "give --join the peer address of a member of the cluster"
    return f"correct the address of member {member}, in [members] or with `coord member move {member} HOST:PORT`"


def _printable(text: bytes) -> str:
    """A stranger's text, safe for a line of a log.

    >>> _printable(b"no\\n\\x1b[2Jway")
    'no??[2Jway'
    """
    return "".join(c if c.isprintable() else "?" for c in text[:MAX_TEXT_BYTES].decode(errors="replace"))
