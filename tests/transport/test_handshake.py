"""Who may be linked to whom, and what the others are told."""

import struct
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord.raft.configuration import UNTOLD, Configuration, Membership, Seat
from coord.raft.types import Index, MemberId
from coord.transport.handshake import (
    MAX_TEXT_BYTES,
    SPOKEN,
    WHOEVER,
    Hello,
    Refusal,
    Standpoint,
    Steps,
    Versions,
    accepting,
    dialling,
    encode_refusal,
    sender_of,
)

ONE, TWO, THREE, FOUR, NINE = (MemberId(number) for number in (1, 2, 3, 4, 9))
FOUNDERS = Configuration((ONE, TWO, THREE))
HEAD_BYTES = 6


def membership(index: int, configuration: Configuration = FOUNDERS) -> Membership:
    return Membership(Index(index), configuration)


FOUNDED = membership(0)


def seated(*directories: tuple[MemberId, int]) -> Configuration:
    """The founders, with the directories of some of them."""
    return Configuration(FOUNDERS.voters, seats=tuple(Seat(member, "", number) for member, number in directories))


def standpoint(
    member: MemberId,
    cluster: int = 0,
    known: Membership = FOUNDED,
    announced: Mapping[MemberId, int] | None = None,
    versions: Versions = SPOKEN,
) -> Standpoint:
    return Standpoint(member, 3, 8, cluster, known, lambda other: (announced or {}).get(other, 0), versions)


def hello(
    sender: MemberId,
    receiver: MemberId,
    cluster: int = 0,
    configuration: int = 0,
    directory: int = 5,
    versions: Versions = SPOKEN,
) -> Hello:
    return Hello(versions, cluster, sender, receiver, 1, directory, Index(configuration))


def longer(said: Hello, more: bytes) -> bytes:
    """As a newer version would say it, which has more to say."""
    encoded = said.encode()
    magic, length = struct.unpack(">4sH", encoded[:HEAD_BYTES])
    return struct.pack(">4sH", magic, length + len(more)) + encoded[HEAD_BYTES:] + more


def follow(steps: Steps, stream: bytes) -> tuple[Hello, bytes]:
    """Run a side of the handshake on what the other sends: its hello, and what is left of the stream."""
    needed = next(steps)
    while len(stream) >= needed:
        data, stream = stream[:needed], stream[needed:]
        try:
            needed = steps.send(data)
        except StopIteration as stop:
            return stop.value, stream
    raise EOFError


def assert_linked(one: Standpoint, other: Standpoint) -> None:
    """Both sides take the other, whoever dials."""
    for dialler, acceptor in ((one, other), (other, one)):
        asked, answered = dialler.hello_to(acceptor.member), acceptor.hello_to(dialler.member)
        assert follow(accepting(acceptor), asked.encode())[0] == asked
        assert follow(dialling(dialler, acceptor.member), answered.encode())[0] == answered


def assert_refused(one: Standpoint, other: Standpoint, text: str) -> None:
    """`one` refuses the other, whoever dials, with this text."""
    with pytest.raises(Refusal, match=text):
        follow(accepting(one), other.hello_to(one.member).encode())
    with pytest.raises(Refusal, match=text):
        follow(dialling(one, other.member), other.hello_to(one.member).encode())


def test_members_of_one_cluster_are_linked() -> None:
    assert_linked(standpoint(ONE, cluster=7), standpoint(TWO, cluster=7))


def test_handshake_takes_nothing_of_what_follows() -> None:
    """The first frame may come in the same packet."""
    stream = hello(ONE, TWO).encode() + b"a frame"

    assert follow(accepting(standpoint(TWO)), stream)[1] == b"a frame"


@pytest.mark.parametrize(("theirs", "ours"), [(0, 0), (0, 7), (7, 0)])
def test_member_that_does_not_know_its_cluster_yet_is_linked(theirs: int, ours: int) -> None:
    """A new cluster learns its id from its own log, and a new member from the log of the others."""
    assert_linked(standpoint(ONE, theirs), standpoint(TWO, ours))


# Versions.


def test_members_of_neighbouring_versions_are_linked_and_agree_on_one() -> None:
    """A rolling upgrade: the new one speaks what the old one does, and each knows what the other speaks."""
    old, new = standpoint(ONE, versions=Versions(1, 2)), standpoint(TWO, versions=Versions(2, 3))

    assert_linked(old, new)

    heard, _ = follow(accepting(old), new.hello_to(ONE).encode())
    assert old.versions.common(heard.versions) == new.versions.common(old.versions) == 2


def test_more_in_the_hello_of_a_newer_version_is_skipped() -> None:
    said = hello(ONE, TWO, versions=Versions(1, 9))
    stream = longer(said, b"a field of later") + b"a frame"

    assert follow(accepting(standpoint(TWO)), stream) == (said, b"a frame")


@pytest.mark.parametrize(("ours", "theirs"), [(Versions(2, 3), Versions(4, 5)), (Versions(4, 5), Versions(2, 3))])
def test_members_without_a_version_in_common_refuse_each_other_and_name_both(ours: Versions, theirs: Versions) -> None:
    assert_refused(
        standpoint(TWO, versions=ours),
        standpoint(ONE, versions=theirs),
        f"member 2 speaks versions {ours.lowest} to {ours.highest} .* the other side versions {theirs.lowest} to "
        f"{theirs.highest}: .*upgrade the older one first",
    )


def test_versions_are_understood_in_a_hello_of_which_nothing_else_is() -> None:
    """Whatever a later version makes of the rest, the answer is about versions."""
    stream = struct.pack(">4sHHH", b"CRDP", 6, 7, 8) + b"??"

    with pytest.raises(Refusal, match=r"speaks version 1 .* the other side versions 7 to 8"):
        follow(accepting(standpoint(TWO)), stream)


# Who is a member.


def test_a_member_that_lags_takes_one_that_it_does_not_know_yet() -> None:
    """Thesis 4.2.2: its vote may be the one that the new member needs."""
    lagging = standpoint(ONE, known=membership(4))
    new = standpoint(FOUR, known=membership(9, Configuration((ONE, TWO, THREE, FOUR))))

    assert_linked(lagging, new)


def test_a_member_takes_one_that_was_started_anew_in_the_place_of_one_that_it_knows() -> None:
    """Removed, and added again with an empty directory, while we were away."""
    lagging = standpoint(ONE, known=membership(4, seated((TWO, 6))))
    renewed = standpoint(TWO, known=membership(9, seated((TWO, 8))))

    assert_linked(lagging, renewed)


def test_a_member_that_joins_takes_everybody() -> None:
    """It knows nobody; one of them will tell it who they are."""
    assert_linked(standpoint(FOUR, known=UNTOLD), standpoint(NINE, known=membership(9, Configuration((FOUR, NINE)))))


def test_a_member_that_joins_asks_whoever_is_there() -> None:
    new = standpoint(FOUR, known=UNTOLD)
    old = standpoint(TWO, cluster=7, known=membership(9, Configuration((ONE, TWO), learners=(FOUR,))))

    asked, _ = follow(accepting(old), new.hello_to(WHOEVER).encode())
    answered, _ = follow(dialling(new, WHOEVER), old.hello_to(FOUR).encode())

    assert (asked.sender, answered.sender) == (FOUR, TWO)


@pytest.mark.parametrize(
    ("ours", "theirs", "text"),
    [
        (9, UNTOLD, "member 4 is not in the cluster's configuration: run `coord member add 4 HOST:PORT`"),
        (9, membership(9), r"member 4 was removed from the cluster \(configuration 9\).*directory is of no more use"),
        (9, membership(7, Configuration((FOUR,))), "was removed .*`coord member add 4 HOST:PORT` .* an empty one"),
        (0, membership(0, Configuration((FOUR,))), r"member 4 is not in \[members\], which are 1, 2, 3: .* the same"),
    ],
)
def test_one_that_is_no_member_is_refused(ours: int, theirs: Membership, text: str) -> None:
    """By all whose configuration is not older than its own."""
    assert_refused(standpoint(TWO, known=membership(ours)), standpoint(FOUR, known=theirs), text)


# Directories.


@pytest.mark.parametrize(
    ("known", "announced"),
    [(membership(4, seated((ONE, 8))), {ONE: 6}), (membership(4), {ONE: 8}), (membership(4), {})],
)
def test_member_with_its_own_directory_is_linked(known: Membership, announced: Mapping[MemberId, int]) -> None:
    """The configuration counts more than what members once said, which may be older."""
    assert_linked(standpoint(TWO, known=known, announced=announced), standpoint(ONE, known=known))


@pytest.mark.parametrize(
    ("known", "announced"), [(membership(4, seated((ONE, 6))), {ONE: 8}), (membership(4), {ONE: 6})]
)
@pytest.mark.parametrize("theirs", [UNTOLD, membership(4)])
def test_member_that_lost_its_directory_is_refused_by_both_sides(
    known: Membership, announced: Mapping[MemberId, int], theirs: Membership
) -> None:
    """It would vote, and acknowledge, as one that had promised nothing yet."""
    ours = standpoint(TWO, known=known, announced=announced)
    forgetful = standpoint(ONE, known=theirs)

    assert_refused(ours, forgetful, r"member 1 comes with another data directory .*\(id 6, not 8\)")
    assert_refused(ours, forgetful, "`coord member remove 1`, then `coord member add 1 HOST:PORT` with an empty")


# All that may come instead.


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"GET / HTTP/1.1\r\n", "something that is not a coord member connected to the peer port of member 2.*GET /"),
        (b"CRDP\xff\xff", "something that is not a coord member .*began with b'CRDP"),
        (b"CRDP\0\x03abc", "a hello to member 2 of 3 bytes, where 44 belong: no coord member"),
        (b"CRDP\0\x08\0\x01\0\x01abcd", "a hello to member 2 of 8 bytes"),
        (hello(ONE, THREE).encode(), "this is member 2, but member 1 wanted member 3: correct the address of member 3"),
        (hello(TWO, TWO).encode(), "member 2 was dialled by a member 2: another server runs with this id"),
        (hello(WHOEVER, TWO, configuration=9).encode(), "ids are positive"),
        (
            hello(ONE, TWO, 7).encode(),
            "member 1 is of cluster 0000000000000007 and member 2 of cluster 0000000000000008",
        ),
    ],
)
def test_acceptor_refuses(stream: bytes, text: str) -> None:
    """Each with what is wrong and what to do about it."""
    with pytest.raises(Refusal, match=text):
        follow(accepting(standpoint(TWO, 8)), stream)


@pytest.mark.parametrize(
    ("peer", "stream", "text"),
    [
        (TWO, b"HTTP/1.1 400 Bad Request", "what listens at the address of member 2 is not a coord member.*HTTP/1"),
        (WHOEVER, b"HTTP/1.1 400 Bad Request", "what listens at the address of a member is not a coord member"),
        (TWO, hello(THREE, ONE).encode(), "the address of member 2 leads to member 3.*`coord member move 2 HOST:PORT`"),
        (TWO, hello(TWO, THREE).encode(), "which answers member 3"),
        (WHOEVER, hello(ONE, ONE).encode(), "leads to member 1, .* give --join the peer address of a member"),
        (TWO, hello(TWO, ONE, 7).encode(), "member 2 is of cluster 0000000000000007 and member 1 of cluster 000000000"),
        (TWO, encode_refusal(Refusal("only on Sundays")), "^only on Sundays$"),
        (TWO, encode_refusal(Refusal("")), "^$"),
    ],
)
def test_dialler_refuses(peer: MemberId, stream: bytes, text: str) -> None:
    """It checks the answer as it was checked itself, and takes a refusal's text over as it is."""
    with pytest.raises(Refusal, match=text):
        follow(dialling(standpoint(ONE, 8), peer), stream)


@given(st.text(), st.binary(max_size=20))
def test_refusals_are_short_and_safe_to_log(text: str, after: bytes) -> None:
    """A stranger cannot fill the log, nor forge lines in it."""
    with pytest.raises(Refusal) as caught:
        follow(dialling(standpoint(ONE), TWO), encode_refusal(Refusal(text * 99)) + after)

    assert len(str(caught.value)) <= MAX_TEXT_BYTES
    assert str(caught.value).isprintable()


@given(st.binary(max_size=80))
def test_noise_is_refused_or_never_enough(noise: bytes) -> None:
    """Whatever comes, no other exception."""
    for steps in (accepting(standpoint(TWO)), dialling(standpoint(ONE), TWO)):
        with pytest.raises((Refusal, EOFError)):
            follow(steps, noise)


@given(st.binary(min_size=40, max_size=40))
def test_any_body_of_a_hello_is_read_as_numbers(body: bytes) -> None:
    """After good versions nothing is malformed: it is somebody, wanted or not."""
    stream = struct.pack(">4sHHH", b"CRDP", 44, 1, 1) + body
    try:
        heard, rest = follow(accepting(standpoint(TWO)), stream)
    except Refusal:
        return
    assert heard.encode() + rest == stream


@given(st.integers(1, 1 << 31), st.integers(0, 99))
def test_those_in_between_can_tell_who_speaks(sender: int, cut: int) -> None:
    encoded = replace(hello(ONE, TWO), sender=MemberId(sender)).encode()

    assert sender_of(encoded + b"a frame") == sender
    assert sender_of(encoded[:cut]) in (None, sender)
