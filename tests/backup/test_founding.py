"""From what was saved to the members of a new cluster, and what they go on from."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from coord.backup.errors import CannotFound
from coord.backup.founding import NewMember, found, load
from coord.backup.progress import unwatched
from coord.backup.survivors import Survivor
from coord.raft.stored import Stored
from coord.raft.types import MemberId, Place
from coord.storage import RealFiles, Store
from coord.storage.errors import DirectoryNotEmpty
from coord.storage.files import StoppedFiles
from coord.tree.machine import Machine
from coord.tree.rebirth import INDEX_JUMP, SCARCE, Reborn
from coord.tree.snapshots import Loader
from coord.tree.watches import Watches
from tests.backup.building import CLUSTER, FOUNDED_MS, MEMBERS, SECRET, History, new_member, opened
from tests.tree.invariants import check_invariants
from tests.tree.world import EPHEMERAL


@pytest.fixture(scope="module")
def history() -> History:
    history = History()
    history.fill(30)
    history.client.create("/held", mode=EPHEMERAL)
    history.client.create("/leased", lease=history.client.grant(name="kept"))
    history.world.session(name="another")
    return history


@pytest.fixture(scope="module")
def backup(history: History, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("saved") / "backup"
    history.save(directory, 20, history.last)
    return directory


def restored(backup: Path, directory: Path, new: NewMember | None = None) -> Reborn:
    saved = opened(backup)
    machine = load(saved, unwatched)
    return found(machine, saved, new or new_member(), RealFiles(str(directory)), unwatched)


def started(directory: Path, member: int = 1) -> tuple[Stored, Machine, int]:
    """What a server that is started there begins with: what is stored, its state, the cluster's id."""
    store = Store.open(RealFiles(str(directory)), MemberId(member))
    loader = Loader()
    for piece in store.read_state():
        loader.add(piece)
    machine = Machine(Watches(lambda *_: None))
    machine.adopt(loader.finish())
    store.close()
    return store.stored, machine, store.cluster_id


def test_the_state_is_the_saved_one_but_for_what_belongs_to_the_old_cluster(
    history: History, backup: Path, tmp_path: Path
) -> None:
    reborn = restored(backup, tmp_path / "new")

    stored, machine, cluster = started(tmp_path / "new")
    check_invariants(machine)
    old = history.world.machine
    assert set(old.znodes) - set(machine.znodes) == {"/held", "/leased"}
    for path in machine.znodes.keys() - {"/", "/zookeeper/config"}:
        before, after = old.znodes[path], machine.znodes[path]
        assert (after.data, after.acl, after.czxid, after.mzxid) == (
            before.data,
            before.acl,
            before.czxid,
            before.mzxid,
        )
        assert after.creates > before.creates
    assert not machine.leases.table
    assert reborn.ended == 3
    assert machine.members.membership.configuration == new_member().configuration
    assert (machine.members.announced, machine.origins, machine.members.desired) == ({}, {}, None)
    assert machine.cluster == reborn.cluster
    assert CLUSTER != cluster == reborn.cluster.id
    assert reborn.cluster.secret != SECRET
    assert len(reborn.cluster.secret) == len(SECRET)
    assert stored.snapshot == stored.start == reborn.place
    assert stored.runs == []
    assert stored.hard_state.term == reborn.place.term > history.runs[-1].term


def test_all_members_begin_with_the_same(backup: Path, tmp_path: Path) -> None:
    made = [restored(backup, tmp_path / str(member), new_member(member)) for member in MEMBERS]

    states = [started(tmp_path / str(member), member)[1].digest() for member in MEMBERS]
    assert made[0] == made[1] == made[2]
    assert states[0] == states[1] == states[2]


def test_who_is_made_of_something_else_is_of_another_cluster(history: History, backup: Path, tmp_path: Path) -> None:
    """Another time, other members, or another backup, were it only older by one entry."""
    history.save(tmp_path / "older", 20, history.last - 1)

    made = [
        restored(backup, tmp_path / "1"),
        restored(backup, tmp_path / "2", new_member(2, founded_ms=FOUNDED_MS + 1)),
        restored(backup, tmp_path / "3", new_member(2, size=2)),
        restored(tmp_path / "older", tmp_path / "4", new_member(2)),
    ]

    assert len({one.cluster.id for one in made}) == 4
    assert len({one.cluster.secret for one in made}) == 4
    assert len({one.chain for one in made}) == 4


def test_numbers_go_on_above_those_of_any_cluster_founded_before(
    history: History, backup: Path, tmp_path: Path
) -> None:
    """The same backup is restored twice; the first new cluster lived for an hour, and wrote as fast as it could."""
    first = restored(backup, tmp_path / "1")
    second = restored(backup, tmp_path / "2", new_member(founded_ms=FOUNDED_MS + 3_600_000))
    behind = restored(backup, tmp_path / "3", new_member(founded_ms=0))

    assert second.place.index > first.place.index + 3600 * 1_000_000
    assert behind.place.index > history.last + INDEX_JUMP, "the clock may be wrong"


def test_a_new_cluster_can_be_lost_and_recovered_in_its_turn(backup: Path, tmp_path: Path) -> None:
    first = restored(backup, tmp_path / "1")

    survivor = Survivor(StoppedFiles(str(tmp_path / "1")))
    machine = load(survivor, unwatched)
    survivor.close()
    assert (survivor.cluster, survivor.end, survivor.chain) == (first.cluster.id, first.place, first.chain)
    assert machine.digest() == started(tmp_path / "1")[1].digest()

    later = new_member(2, founded_ms=FOUNDED_MS + 1000)
    second = found(machine, survivor, later, RealFiles(str(tmp_path / "2")), unwatched)
    assert second.cluster.id != first.cluster.id
    assert second.place.index > first.place.index
    assert second.place.term > first.place.term


def test_sequence_numbers_double_and_are_told_to_be_scarce_before_they_run_out(backup: Path, tmp_path: Path) -> None:
    for creates, expected in ((2, 1_000_002), (10_000_000, 20_000_000), (SCARCE, SCARCE + SCARCE // 2)):
        saved = opened(backup)
        machine = load(saved, unwatched)
        machine.znodes["/q"] = replace(machine.znodes["/q"], creates=creates)
        reborn = found(machine, saved, new_member(), RealFiles(str(tmp_path / str(creates))), unwatched)
        assert abs(machine.znodes["/q"].creates - expected) <= 1
        assert reborn.scarce == (["/q"] if creates == SCARCE else [])


def test_nothing_is_written_where_something_is(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("mine")

    with pytest.raises(DirectoryNotEmpty):
        restored(backup, tmp_path)

    assert {file.name for file in tmp_path.iterdir()} <= {"letters.txt", "lock"}


def test_a_cluster_that_never_wrote_anything_is_no_beginning(tmp_path: Path) -> None:
    class Nothing:
        cluster, end, chain, size, is_final = 0, Place(0, 0), bytes(16), 0, False  # type: ignore[arg-type]

        def pieces(self) -> list[bytes]:
            return []

        runs = pieces

    nothing = Nothing()
    with pytest.raises(CannotFound, match="start new members"):
        found(load(nothing, unwatched), nothing, new_member(), RealFiles(str(tmp_path)), unwatched)  # type: ignore[arg-type]
