"""Levels: what is new waits until all members know it, on each of them alike, and an earlier release stops in time."""

import struct

import msgspec
import pytest

from coord.raft.configuration import Configuration, encode_configuration
from coord.raft.types import Index, MemberId, Run, Term
from coord.tree import commands
from coord.tree.commands import Kind, UnreadableLog
from coord.tree.levels import FIRST, LEVEL, LEVELS, Levels, NewerLevel
from coord.tree.machine import Machine
from coord.tree.members import Change, Joining, encode_change
from coord.tree.outcomes import INVALID_ACL, UNIMPLEMENTED, ChangeRefused, Created
from coord.tree.snapshots import Loader, freeze
from coord.tree.watches import Watches
from coord.tree.znode import Znode
from coord.version import __version__
from coord_protocol.records import ACL
from tests.tree.world import HERE, Client, World

ONE, TWO, THREE = MemberId(1), MemberId(2), MemberId(3)


def world(known: int = LEVEL) -> World:
    """Of members 1 and 2, which have not said anything yet."""
    made = World()
    made.machine = Machine(made.watches, known)
    configure(made, ONE, TWO)
    return made


def configure(world: World, *members: MemberId) -> None:
    configuration = encode_configuration(Configuration(members))
    run = Run(Index(world.zxid + 1), 1, Term(1), configuration, is_configuration=True)
    world.machine.apply(run, HERE, lambda zxid, outcome: None)


def adding_member_3(client: Client) -> bytes:
    return commands.change_members(client.session, client.epoch, encode_change(Change((Joining(THREE, "c:1"),))))


def pieces_of(machine: Machine) -> list[bytes]:
    frozen = freeze(machine)
    pieces = []
    while (piece := frozen.next_piece(100, 1 << 20)) is not None:
        pieces.append(piece)
    return pieces


def test_every_level_has_its_line() -> None:
    assert list(LEVELS) == list(range(FIRST, LEVEL + 1))
    assert not LEVELS[FIRST].kinds


def test_new_command_waits_for_its_level() -> None:
    here = world()
    client = here.session()
    here.do(commands.announce(1, "a:1", level=2))
    here.do(commands.announce(2, "b:1"))

    refused = here.do(adding_member_3(client))

    assert refused == ChangeRefused(
        UNIMPLEMENTED, "member 2 runs a release that does not know it (level 2): upgrade it first"
    )
    assert here.machine.members.desired is None
    here.do(commands.raise_level(2, [1, 2]))
    assert here.do(adding_member_3(client)) is None
    assert here.machine.members.desired is not None


def test_new_scheme_of_acls_waits_for_its_level() -> None:
    """Servers of the release before let it into the log unread, and then refuse it."""
    here = world()
    client = here.session()
    bobs = (ACL(31, "sasl", "bob"),)
    client.create("/open")

    assert client.create("/bobs", acl=bobs) == INVALID_ACL
    assert client.set_acl("/open", bobs) == INVALID_ACL

    here.do(commands.raise_level(3, [1, 2]))
    assert isinstance(client.create("/bobs", acl=bobs), Created)
    assert isinstance(client.set_acl("/open", bobs), Znode)


def test_level_rises_within_a_block() -> None:
    """What follows it there is judged by it."""
    here = world()
    client = here.session()

    outcomes = here.apply(adding_member_3(client), commands.raise_level(2, [1, 2]), adding_member_3(client))

    assert [type(outcome) for outcome in outcomes] == [ChangeRefused, type(None), type(None)]


def test_level_does_not_rise_past_a_member_that_the_leader_did_not_ask() -> None:
    """Somebody came between the leader's look and the entry."""
    here = world()
    configure(here, ONE, TWO, THREE)

    here.do(commands.raise_level(2, [1, 2]))
    assert here.machine.levels.in_force == 1

    here.do(commands.raise_level(2, [1, 2, 3]))
    assert here.machine.levels.in_force == 2


def test_level_never_falls() -> None:
    here = world()
    here.do(commands.raise_level(2, [1, 2]))

    here.do(commands.raise_level(1, [1, 2]))

    assert here.machine.levels.in_force == 2


def test_what_members_announce_decides_how_high_it_can_go() -> None:
    levels = Levels(known=5)
    levels.announced |= {ONE: 4, TWO: 3}

    assert levels.highest_for([ONE, TWO]) == 3
    assert levels.highest_for([ONE, TWO, THREE]) == FIRST
    assert levels.behind([ONE, TWO, THREE]) == [ONE, TWO, THREE]
    assert levels.behind([]) == []


def test_announcement_of_the_first_release_has_no_level() -> None:
    """Bytes as it wrote them: then it knows the first, also where the member knew more before."""
    here = world()
    here.do(commands.announce(2, "b:1", "b:2", 7, level=2))
    whole = commands.announce(2, "b:1", "b:2", 7)
    kind, length = struct.unpack_from("<BI", whole)
    early = struct.pack("<BI", kind, length - 4) + whole[5:-4]

    here.do(early)

    assert here.machine.levels.announced == {TWO: FIRST}


def test_what_a_later_release_adds_to_a_command_is_passed_over() -> None:
    here = world()
    whole = commands.announce(2, "b:1", "b:2", 7, level=2)
    kind, length = struct.unpack_from("<BI", whole)

    here.do(struct.pack("<BI", kind, length + 3) + whole[5:] + b"new")

    assert here.machine.levels.announced == {TWO: 2}
    assert here.machine.members.announced[TWO] == ("b:1", "b:2", 7)


def test_who_has_gone_counts_no_more() -> None:
    here = world()
    here.do(commands.announce(2, "b:1", level=2))

    configure(here, ONE)

    assert here.machine.levels.announced == {}


def test_level_in_force_is_part_of_the_state_and_what_is_announced_is_not() -> None:
    """An earlier release does not keep who announced what, and its snapshots are given to members of this one."""
    worlds = world(), world()
    worlds[0].do(commands.announce(1, "a:1", level=2))
    worlds[1].do(commands.announce(1, "a:1", level=1))
    assert worlds[0].machine.digest() == worlds[1].machine.digest()

    worlds[0].do(commands.raise_level(2, [1, 2]))
    worlds[1].do(commands.raise_level(2, []))
    assert worlds[0].machine.digest() != worlds[1].machine.digest()


@pytest.mark.parametrize("level", [1, 2])
def test_snapshot_has_the_level_in_force_for_its_version(level: int) -> None:
    """A member of the release before can read it until the level has risen."""
    here = world()
    here.do(commands.raise_level(level, [1, 2]))
    pieces = pieces_of(here.machine)
    assert msgspec.msgpack.decode(pieces[0])[1] == level

    loader = Loader(known=level)
    for piece in pieces:
        loader.add(piece)
    machine = Machine(Watches(lambda *event: None), level)
    machine.adopt(loader.finish())

    assert machine.levels.in_force == level
    assert machine.digest() == here.machine.digest()


def test_adopted_level_switches_commands_on() -> None:
    here = world()
    client = here.session()
    here.do(commands.raise_level(2, [1, 2]))
    loader = Loader()
    for piece in pieces_of(here.machine):
        loader.add(piece)

    here.machine.adopt(loader.finish())

    assert here.do(adding_member_3(client)) is None


# -- an earlier release


def test_earlier_release_stops_where_the_level_rises_past_it() -> None:
    early = world(known=1)

    with pytest.raises(NewerLevel, match=rf"entry 2 is of level 2.*coord {__version__}.*up to 1: start the release"):
        early.do(commands.raise_level(2, [1, 2]))


def test_earlier_release_stops_at_a_command_that_it_does_not_know() -> None:
    """It must never be in the log, but if it is, to pass over it would be to differ."""
    early = world(known=1)
    client = early.session()

    with pytest.raises(UnreadableLog, match=rf"after entry 2 has a command of kind {Kind.CHANGE_MEMBERS:d}, which"):
        early.do(adding_member_3(client))
    with pytest.raises(UnreadableLog, match="command of kind 200"):
        world().do(bytes([200]) + commands.give_up_change(1, "")[1:])


def test_earlier_release_refuses_the_snapshots_of_a_later_level() -> None:
    here = world()
    here.do(commands.raise_level(2, [1, 2]))

    with pytest.raises(NewerLevel, match=r"a snapshot is of level 2, and this release, .*, knows levels up to 1"):
        Loader(known=1).add(pieces_of(here.machine)[0])
