"""Runs, blocks and the cluster's own commands: what the machine does around the commands of clients."""

import pytest
from msgspec.structs import replace

from coord.raft.types import Index, MemberId, Run, Term
from coord.tree import commands
from coord.tree.commands import UnreadableLog
from coord.tree.configuration import Addresses
from coord.tree.machine import Cluster, Machine, Origin, Outcome, Taken
from coord.tree.watches import Watches
from coord.tree.znode import Znode
from coord_protocol.records import EventType
from tests.tree.world import ANYONE, EPHEMERAL, HERE, World, run_of

ONE, TWO = Origin(MemberId(1), 1), Origin(MemberId(2), 1)


class Log:
    """A machine that is fed blocks of several members."""

    def __init__(self, origin: Origin = ONE) -> None:
        self.machine = Machine(Watches(lambda *event: None))
        self.origin = origin
        self.heard: list[tuple[int, Outcome]] = []
        self.feed((9, 1, 1, ["session"]))
        self.heard = []

    def feed(self, *blocks: tuple[int, int, int, list[str]]) -> None:
        """Blocks of (member, incarnation, first_seq, names of znodes to create), as one run."""
        encoded = [
            commands.block(member, incarnation, first_seq, [self.command(name) for name in names])
            for member, incarnation, first_seq, names in blocks
        ]
        count = sum(len(names) for *_, names in blocks)
        self.machine.apply(
            run_of(self.machine.applied_index + 1, count, 1_000, 0, encoded),
            self.origin,
            lambda zxid, outcome: self.heard.append((zxid, outcome)),
        )

    def command(self, name: str) -> bytes:
        if name == "session":
            return commands.create_session(60_000, "10.0.0.1")
        return commands.create(1, 1, f"/{name}", b"", ANYONE, 0)

    @property
    def names(self) -> list[str]:
        """What was created, oldest first."""
        znodes = self.machine.znodes
        return sorted(
            (path[1:] for path in znodes if not path.startswith("/zookeeper") and path != "/"),
            key=lambda name: znodes[f"/{name}"].czxid,
        )


def test_each_command_takes_one_index_which_is_its_zxid() -> None:
    """DESIGN: zxid = index."""
    log = Log()

    log.feed((1, 1, 1, ["a", "b"]), (2, 1, 1, ["c"]))

    assert [log.machine.znodes[path].czxid for path in ("/a", "/b", "/c")] == [2, 3, 4]
    assert log.machine.applied_index == 4


def test_outcomes_are_told_for_the_own_commands_only() -> None:
    """Each member answers its own clients; another life of this member's is not its own."""
    log = Log(origin=Origin(MemberId(1), 2))

    log.feed((1, 1, 1, ["old life"]), (2, 1, 1, ["b"]), (1, 2, 1, ["c", "d"]))

    assert [zxid for zxid, _ in log.heard] == [4, 5]


def test_block_that_comes_again_is_skipped_and_still_takes_its_indexes() -> None:
    """RELIABILITY 22: a resend after a leader change is not applied twice; nobody is told of it again."""
    log = Log()
    log.feed((1, 1, 1, ["a", "b"]))

    log.feed((1, 1, 1, ["a", "b"]), (2, 1, 1, ["c"]))

    assert log.names == ["a", "b", "c"]
    assert log.machine.znodes["/c"].czxid == 6
    assert [zxid for zxid, _ in log.heard] == [2, 3]
    assert log.machine.applied_index == 6


def test_of_an_overlapping_block_only_the_new_rest_is_applied() -> None:
    """DESIGN: commands with seq ≤ last_seq are skipped."""
    log = Log()
    log.feed((1, 1, 1, ["a", "b"]))

    log.feed((1, 1, 2, ["b", "c", "d"]))

    assert log.names == ["a", "b", "c", "d"]
    assert log.machine.znodes["/c"].czxid == 5
    assert [zxid for zxid, _ in log.heard] == [2, 3, 5, 6]


def test_block_that_leaves_a_gap_is_skipped_whole() -> None:
    """DESIGN: the commands of a member are applied in the order it took them in."""
    log = Log()
    log.feed((1, 1, 1, ["a"]))

    log.feed((1, 1, 3, ["c"]), (1, 1, 2, ["b", "c"]))

    assert log.names == ["a", "b", "c"]
    assert [zxid for zxid, _ in log.heard] == [2, 4, 5]


def test_first_block_of_a_member_must_begin_at_one() -> None:
    """Nothing is known of it: what came before is missing."""
    log = Log()

    log.feed((1, 1, 2, ["b"]), (1, 1, 1, ["a"]))

    assert log.names == ["a"]


def test_newer_incarnation_starts_again_at_one_and_ends_the_older() -> None:
    """DESIGN: numbers are per boot; what an earlier life left on the way has no client any more."""
    log = Log(origin=Origin(MemberId(1), 2))
    log.feed((1, 1, 1, ["a"]))

    log.feed((1, 2, 1, ["b"]), (1, 1, 2, ["late"]), (1, 2, 2, ["c"]))

    assert log.names == ["a", "b", "c"]
    assert [zxid for zxid, _ in log.heard] == [3, 5]


def test_newer_incarnation_with_a_gap_still_ends_the_older() -> None:
    """Its process is the only one that lives; its first block will come again."""
    log = Log()

    log.feed((1, 5, 2, ["b"]), (1, 4, 1, ["zombie"]), (1, 5, 1, ["a", "b"]))

    assert log.names == ["a", "b"]


def test_origins_tell_how_far_each_member_is_applied() -> None:
    """A new leader goes on from there."""
    log = Log()

    log.feed((1, 3, 1, ["a", "b"]), (2, 1, 2, ["gap"]))

    taken = {member: (one.incarnation, one.last_seq) for member, one in log.machine.origins.items()}
    assert taken == {9: (1, 1), 1: (3, 2), 2: (1, 0)}


def test_no_op_and_tick_change_nothing_but_index_and_clock() -> None:
    """Raft's no-op has no data; a run without blocks only moves the clock."""
    machine = Machine(Watches(lambda *event: None))
    machine.apply(Run(Index(1), 1, Term(1), b""), ONE, lambda zxid, outcome: None)
    assert (machine.applied_index, machine.clock_ms) == (1, 0)

    machine.apply(run_of(2, 1, 700, 5, []), ONE, lambda zxid, outcome: None)
    assert (machine.applied_index, machine.clock_ms) == (2, 700)


def test_run_out_of_order_is_refused() -> None:
    """CONCEPTS C2: apply strictly in order."""
    log = Log()
    run = run_of(5, 1, 1_000, 0, [commands.block(1, 1, 1, [log.command("a")])])

    with pytest.raises(AssertionError, match="order of the log"):
        log.machine.apply(run, ONE, lambda zxid, outcome: None)


def test_run_whose_count_is_wrong_is_refused() -> None:
    """Indexes would drift apart between what Raft counts and what is applied."""
    log = Log()
    run = run_of(2, 2, 1_000, 0, [commands.block(1, 1, 1, [log.command("a")])])

    with pytest.raises(AssertionError, match="index for each command"):
        log.machine.apply(run, ONE, lambda zxid, outcome: None)


def test_log_of_another_version_stops_the_server() -> None:
    """STYLE 5: bad disk is a stop, with the remedy."""
    machine = Machine(Watches(lambda *event: None))

    with pytest.raises(UnreadableLog, match=r"entry 1 .* version 2; this is version 1"):
        machine.apply(Run(Index(1), 1, Term(1), b"\2" + bytes(16)), ONE, lambda zxid, outcome: None)


def test_first_cluster_identity_counts() -> None:
    """Two leaders in a row may both have proposed one; passwords must not change after the first."""
    world = World()
    assert world.machine.cluster is None

    world.apply(commands.init_cluster(2**64 - 1, b"s" * 32), commands.init_cluster(7, b"t" * 32))

    cluster = world.machine.cluster
    assert cluster is not None
    assert (cluster.id, cluster.secret) == (2**64 - 1, b"s" * 32)


def test_announcements_make_the_configuration_that_clients_read() -> None:
    """§5.9: lines by member, then the version in hex, no newline; PROTOCOL-NOTES: version, aversion -1."""
    world = World()
    world.apply()  # so that the version is not the first index

    world.do(commands.announce(2, "b.example:2182", "b.example:7002"))
    world.do(commands.announce(1, "[fd00::1]:2181"))

    assert world.znode("/zookeeper/config").data == (
        b"server.1=[fd00::1]:2:1:participant;[fd00::1]:2181\n"
        b"server.2=b.example:7002:1:participant;b.example:2182\n"
        b"version=3"
    )
    stat = world.stat("/zookeeper/config")
    assert (stat.version, stat.aversion, stat.czxid, stat.mzxid) == (-1, -1, 0, 3)
    assert stat.mtime == world.wall_ms
    assert world.machine.members.announced == {
        1: Addresses("[fd00::1]:2181"),
        2: Addresses("b.example:2182", "b.example:7002"),
    }


def test_watchers_of_the_configuration_hear_of_changes_only() -> None:
    """§5.9: the data watch fires on change; servers announce themselves at every start."""
    world = World()
    world.do(commands.announce(1, "a:1"))
    world.watches.add_persistent(7, "/zookeeper/config")
    before = world.stat("/zookeeper/config")

    world.do(commands.announce(1, "a:1"))
    assert world.take_events() == []
    assert world.stat("/zookeeper/config") == before

    world.do(commands.announce(1, "a:2"))
    assert world.take_events() == [(7, EventType.DATA_CHANGED, "/zookeeper/config")]


def test_cached_reply_of_the_configuration_follows_it() -> None:
    """It is replaced like any znode."""
    world = World()
    world.znode("/zookeeper/config").get_data_body()

    world.do(commands.announce(1, "a:1"))

    assert b"a:1" in world.znode("/zookeeper/config").get_data_body()


def test_watches_are_no_part_of_the_digest() -> None:
    """They are local: each member has other clients."""
    worlds = [World(), World()]
    worlds[0].watches.add_recursive(7, "/")
    for world in worlds:
        client = world.session()
        client.create("/a")
        client.set_data("/a")
    worlds[1].znode("/a").get_data_body()

    assert worlds[0].machine.digest() == worlds[1].machine.digest()
    assert len(worlds[0].machine.digest()) == 16


DERIVED = {"children", "body"}


@pytest.mark.parametrize("name", [name for name in Znode.__struct_fields__ if name not in DERIVED])
def test_digest_covers_every_field_of_a_znode(name: str) -> None:
    """PAINS 9: silent divergence is seen. The parent's own count of children stands for `children`."""
    world = World()
    world.session().create("/a", b"data")
    before = world.machine.digest()
    znode = world.znode("/a")
    other = {"data": None, "acl": ()}.get(name, 77)

    world.machine.znodes["/a"] = replace(znode, **{name: other})

    assert world.machine.digest() != before
    world.machine.znodes["/a"] = znode
    assert world.machine.digest() == before


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("ttl_ms", 77),
        ("deadline_ms", 77),
        ("name", "x"),
        ("meta", b"x"),
        ("epoch", 77),
        ("identities", ()),
        ("keys", {"/b": 0, "/a": 1}),
    ],
)
def test_digest_covers_every_field_of_a_lease(name: str, other: object) -> None:
    """PAINS 9; the order of keys is the order in which they will end."""
    world = World()
    client = world.session()
    client.create("/a", mode=EPHEMERAL)
    client.create("/b", mode=EPHEMERAL)
    before = world.machine.digest()

    setattr(world.machine.leases.table[client.session], name, other)

    assert world.machine.digest() != before


def test_digest_covers_the_rest_of_the_state() -> None:
    """PAINS 9: whatever `apply` may change."""
    machine = World().machine
    digests = [machine.digest()]
    machine.applied_index = 7
    digests.append(machine.digest())
    machine.clock_ms = 7
    digests.append(machine.digest())
    machine.cluster = Cluster(7, b"")
    digests.append(machine.digest())
    machine.members.announced[MemberId(7)] = Addresses("a:1")
    digests.append(machine.digest())
    machine.origins[7] = Taken(1, 1)
    digests.append(machine.digest())
    machine.znodes["/a"] = machine.znodes["/"]
    digests.append(machine.digest())

    assert len(set(digests)) == len(digests)


def test_own_origin_is_compared_whole() -> None:
    """HERE is what the helpers of these tests use; a member with another number hears nothing."""
    heard: list[int] = []
    machine = Machine(Watches(lambda *event: None))
    run = run_of(1, 1, 1_000, 0, [commands.block(*HERE, 1, [commands.create_session(1_000, "10.0.0.1")])])

    machine.apply(run, TWO, lambda zxid, outcome: heard.append(zxid))

    assert heard == []
