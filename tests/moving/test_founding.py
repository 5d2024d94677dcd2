"""What a tree of ZooKeeper's becomes as the state of a new cluster; how it looks to clients: `test_arrival`."""

from pathlib import Path

import pytest

from coord.backup.errors import CannotFound
from coord.backup.founding import found
from coord.backup.progress import unwatched
from coord.moving.arrival import arrive
from coord.moving.old_tree import CONTAINER, OldTree, OldZnode, owner_for
from coord.storage import RealFiles
from coord.tree.acl import OPEN
from coord.tree.machine import Machine
from coord.tree.rebirth import Reborn
from tests.backup.building import new_member
from tests.tree.invariants import check_invariants

FINGERPRINT = bytes(32)


def old(data: bytes = b"", owner: int = 0, cversion: int = 0, zxid: int = 1) -> OldZnode:
    return OldZnode(data, OPEN, zxid, zxid, 1000, 1000, 0, cversion, 0, owner, zxid)


def tree_with(znodes: dict[str, OldZnode], sessions: dict[int, int] | None = None) -> OldTree:
    tree = OldTree(sessions=dict(sessions or {}))
    for path, znode in ({path: old(zxid=0) for path in ("/", "/zookeeper", "/zookeeper/quota")} | znodes).items():
        assert tree.load(path, znode)
    return tree


def new_cluster(tree: OldTree, zxid: int, directory: Path, fingerprint: bytes = FINGERPRINT) -> tuple[Machine, Reborn]:
    machine, arrived = arrive(tree, zxid, fingerprint)
    return machine, found(machine, arrived, new_member(), RealFiles(str(directory)), unwatched)


@pytest.mark.parametrize("epoch", [0, 3000, 1 << 20, 1 << 28])
def test_zxids_go_on_above_the_highest_epoch(tmp_path: Path, epoch: int) -> None:
    zxid = epoch << 32 | 77
    machine, reborn = new_cluster(tree_with({"/a": old(zxid=zxid)}), zxid, tmp_path / "new")

    assert reborn.place.index > zxid + (1 << 39)
    assert machine.znodes["/a"].czxid == zxid
    check_invariants(machine)


def test_an_epoch_that_nobody_comes_to_is_refused() -> None:
    with pytest.raises(CannotFound, match="no ensemble comes to"):
        arrive(tree_with({}), 1 << 62, FINGERPRINT)


def test_sessions_end_with_their_znodes_and_no_others(tmp_path: Path) -> None:
    """Ids of servers from 128 on are negative. A session may have ended before the snapshot came to its znode."""
    negative, ended = -(200 << 48), 0x100_0000_0000_0001
    znodes = {
        "/p": old(cversion=5),
        "/p/mine": old(owner=negative),
        "/p/left": old(owner=ended),
        "/c": old(owner=CONTAINER),
        "/t": old(owner=owner_for(1000)),
    }
    machine, reborn = new_cluster(tree_with(znodes, {negative: 30_000}), 9, tmp_path / "new")

    assert reborn.ended == 2
    assert not {"/p/mine", "/p/left"} & machine.znodes.keys()
    assert {"/c", "/t", "/zookeeper/config"} <= machine.znodes.keys()
    assert (machine.znodes["/p"].creates, machine.znodes["/p"].pzxid) == (5, reborn.place.index - 1)
    check_invariants(machine)


def test_other_files_make_another_cluster_with_another_secret(tmp_path: Path) -> None:
    trees = [tree_with({"/a": old()}) for _ in range(3)]
    fingerprints = [FINGERPRINT, FINGERPRINT, bytes([1]) * 32]
    one, same, other = [
        new_cluster(tree, 9, tmp_path / str(number), fingerprint)[1].cluster
        for number, (tree, fingerprint) in enumerate(zip(trees, fingerprints, strict=True))
    ]

    assert one == same
    assert one.id != other.id
    assert one.secret != other.secret


def test_quotas_are_counted_anew() -> None:
    quota = "/zookeeper/quota/q"
    znodes = {
        "/q": old(b"12"),
        "/q/a": old(b"345"),
        "/q/held": old(b"gone", owner=7),
        quota: old(),
        f"{quota}/zookeeper_limits": old(b"count=5,bytes=-1"),
        f"{quota}/zookeeper_stats": old(b"count=0,bytes=0"),
    }

    machine, _ = arrive(tree_with(znodes), 9, FINGERPRINT)

    assert machine.znodes[f"{quota}/zookeeper_stats"].data == b"count=2,bytes=5"


def test_a_counter_of_children_that_has_wrapped_goes_on() -> None:
    machine, _ = arrive(tree_with({"/a": old(cversion=-(2**31))}), 9, FINGERPRINT)

    assert machine.znodes["/a"].creates == 2**31


def test_what_coord_has_for_itself_is_not_overwritten() -> None:
    with pytest.raises(CannotFound, match="/zookeeper/ext"):
        arrive(tree_with({"/zookeeper/ext": old()}), 9, FINGERPRINT)
