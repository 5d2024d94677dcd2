"""delete, setData, setACL and what they do to Stats (ZOOKEEPER-PROTOCOL §5.2, §5.3, §5.5, §6)."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from coord.tree.machine import Outcome
from coord.tree.znode import Znode
from coord_protocol.errors import Code
from tests.tree.world import EPHEMERAL, SEQUENTIAL, AclList, Client, World, stat_of

READ_ONLY: AclList = ((1, "world", "anyone"),)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    return world.session()


@pytest.mark.parametrize(
    "path", ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "/zookeeper/ext", "a", "", "/a\0"]
)
def test_system_znodes_and_bad_paths_cannot_be_deleted(client: Client, path: str) -> None:
    """§5.2; /zookeeper/ext is ours."""
    assert client.delete(path) == Code.BAD_ARGUMENTS


def test_delete_looks_for_the_parent_first(client: Client) -> None:
    """§5.2: parent NoNode, and no grammar beyond that."""
    client.create("/a")

    assert client.delete("/no/such") == Code.NO_NODE
    assert client.delete("/a//b") == Code.NO_NODE
    assert client.delete("/a/") == Code.NO_NODE
    assert client.delete("//a") == Code.NO_NODE


def test_missing_right_on_the_parent_wins_over_a_missing_znode(client: Client) -> None:
    """§5.2: DELETE on the parent is asked before the znode is looked for."""
    client.create("/p", acl=((31 - 8, "world", "anyone"),))
    client.create("/p/a")

    assert client.delete("/p/a") == Code.NO_AUTH
    assert client.delete("/p/none") == Code.NO_AUTH


def test_delete_needs_no_right_on_the_znode_itself(world: World, client: Client) -> None:
    """§4: DELETE on the parent."""
    client.create("/a", acl=READ_ONLY)

    assert client.delete("/a") is None
    assert not world.exists("/a")


def test_wrong_version_wins_over_children(client: Client) -> None:
    """§5.2: BadVersion before NotEmpty."""
    client.create("/p")
    client.create("/p/a")

    assert client.delete("/p", version=1) == Code.BAD_VERSION
    assert client.delete("/p", version=0) == Code.NOT_EMPTY
    assert client.delete("/p", version=-1) == Code.NOT_EMPTY


def test_version_minus_two_matches_nothing(client: Client) -> None:
    """PROTOCOL-NOTES, Stat: version -1 matches all; -2 is BadVersion."""
    client.create("/a")

    assert client.delete("/a", version=-2) == Code.BAD_VERSION
    assert client.set_data("/a", version=-2) == Code.BAD_VERSION
    assert client.set_acl("/a", READ_ONLY, version=-2) == Code.BAD_VERSION


def test_deleted_ephemeral_is_no_longer_a_key_of_its_session(world: World, client: Client) -> None:
    """Deleting it by hand and closing later must not delete a successor of another owner."""
    other = world.session()
    client.create("/e", mode=EPHEMERAL)
    client.delete("/e")
    other.create("/e", mode=EPHEMERAL)

    client.close()

    assert world.stat("/e").ephemeral_owner == other.session


def test_set_data_validates_the_path_only_where_there_is_no_znode(client: Client) -> None:
    """§5.3: BadArguments before NoNode."""
    assert client.set_data("/no") == Code.NO_NODE
    assert client.set_data("/no/") == Code.BAD_ARGUMENTS
    assert client.set_data("") == Code.BAD_ARGUMENTS
    assert client.set_data("/a//b") == Code.BAD_ARGUMENTS


def test_missing_right_wins_over_a_wrong_version(client: Client) -> None:
    """§5.3: WRITE before BadVersion; §5.5: ADMIN before BadVersion."""
    client.create("/a", acl=READ_ONLY)

    assert client.set_data("/a", version=7) == Code.NO_AUTH
    assert client.set_acl("/a", READ_ONLY, version=7) == Code.NO_AUTH


def test_set_data_moves_mzxid_mtime_and_version_only(world: World, client: Client) -> None:
    """§6."""
    client.create("/a", b"old")
    before = world.stat("/a")
    world.wall_ms += 5

    outcome = client.set_data("/a", b"newer", version=0)

    assert isinstance(outcome, Znode)
    assert stat_of(outcome) == before._replace(mzxid=world.zxid, mtime=before.mtime + 5, version=1, data_length=5)
    assert client.set_data("/a", version=0) == Code.BAD_VERSION
    assert isinstance(client.set_data("/a", version=1), Znode)


def test_set_acl_moves_aversion_only(world: World, client: Client) -> None:
    """§5.5, §6."""
    client.create("/a")
    before = world.stat("/a")
    world.wall_ms += 5

    outcome = client.set_acl("/a", ((31, "ip", "10.0.0.0/8"),), version=0)

    assert isinstance(outcome, Znode)
    assert stat_of(outcome) == world.stat("/a") == before._replace(aversion=1)
    assert client.set_acl("/a", READ_ONLY, version=0) == Code.BAD_VERSION


def test_set_acl_judges_path_then_acl_then_existence(client: Client) -> None:
    """§5.5: path validation, InvalidACL, NoNode, in this order."""
    assert client.set_acl("/no/", ()) == Code.BAD_ARGUMENTS
    assert client.set_acl("/no", ()) == Code.INVALID_ACL
    assert client.set_acl("/no", READ_ONLY) == Code.NO_NODE


def test_creation_sets_all_zxids_and_times(world: World, client: Client) -> None:
    """§6: czxid = mzxid = pzxid; versions 0."""
    client.create("/a", b"xyz")

    zxid, now = world.zxid, world.wall_ms
    assert tuple(world.stat("/a")) == (zxid, zxid, now, now, 0, 0, 0, 0, 3, 0, zxid)


def test_children_move_the_parents_cversion_and_pzxid_only(world: World, client: Client) -> None:
    """§6: cversion on the wire counts creates and deletes; PROTOCOL-NOTES: not mzxid, not version."""
    client.create("/p")
    before = world.stat("/p")
    world.wall_ms += 5

    client.create("/p/a")
    after_create = world.stat("/p")
    client.delete("/p/a")
    after_delete = world.stat("/p")

    zxid = world.zxid
    assert after_create == before._replace(cversion=1, pzxid=zxid - 1, num_children=1)
    assert after_delete == before._replace(cversion=2, pzxid=zxid)


def test_a_grandchild_concerns_only_its_parent(world: World, client: Client) -> None:
    """§6: direct children."""
    client.create("/p")
    client.create("/p/a")
    before = world.stat("/p")

    client.create("/p/a/b")

    assert world.stat("/p") == before


def test_versions_wrap_at_32_bits(world: World, client: Client) -> None:
    """§5.3: 32-bit wrap."""
    client.create("/a")
    world.machine.znodes["/a"] = replace(world.znode("/a"), version=2**31 - 1, aversion=2**31 - 1)

    client.set_data("/a")
    client.set_acl("/a", ((31, "world", "anyone"),))

    assert (world.stat("/a").version, world.stat("/a").aversion) == (-(2**31), -(2**31))


def test_cversion_wraps_at_32_bits() -> None:
    """§6: 2·C - numChildren is computed in Java's int."""
    znode = replace(World().znode("/"), creates=2**30, child_count=0)

    assert stat_of(znode).cversion == -(2**31)


def test_fresh_tree_has_the_system_znodes_with_zxid_0(world: World) -> None:
    """§6: they pre-exist with zxids 0; ZooKeeper shows cversion -1 for a fresh root."""
    fresh = World()

    assert sorted(fresh.machine.znodes) == [
        "/",
        "/zookeeper",
        "/zookeeper/config",
        "/zookeeper/ext",
        "/zookeeper/quota",
    ]
    assert tuple(fresh.stat("/")) == (0, 0, 0, 0, 0, -1, 0, 0, 0, 1, 0)
    assert fresh.stat("/zookeeper/config").aversion == -1


def test_extensions_document_can_be_read_but_not_changed(world: World, client: Client) -> None:
    """CONCEPTS §2.0: discovery by a read-only znode."""
    import json

    document = json.loads(world.znode("/zookeeper/ext").data or b"")

    assert document["version"] == 1000
    assert "leaseGrant" in document["names"]
    assert client.set_data("/zookeeper/ext") == Code.NO_AUTH
    assert client.create("/zookeeper/ext/a") == Code.NO_AUTH


def test_children_are_listed_by_name_in_order(world: World, client: Client) -> None:
    """§5.4: ZooKeeper promises no order; ours is sorted, below the root as well."""
    for name in ("c", "a", "b"):
        client.create(f"/{name}")
        client.create(f"/a/{name}" if world.exists("/a") else f"/c/{name}")

    assert world.children("/") == ["a", "b", "c", "zookeeper"]
    assert world.children("/a") == ["a", "b"]
    assert world.children("/b") == []


def test_descendants_are_counted_without_the_znode_itself(world: World, client: Client) -> None:
    """§5.4 getAllChildrenNumber."""
    for path in ("/p", "/p/a", "/p/a/b", "/p2"):
        client.create(path)

    assert world.machine.tree.descendants("/p") == 2
    assert world.machine.tree.descendants("/p2") == 0
    assert world.machine.tree.descendants("/") == len(world.machine.znodes) - 1


def test_size_of_the_data_counts_paths_and_data(world: World, client: Client) -> None:
    """§12 mntr, approximate_data_size; null data is nothing."""
    before = world.machine.tree.data_bytes()

    client.create("/ab", b"12345")
    client.create("/c", None)

    assert world.machine.tree.data_bytes() - before == 3 + 5 + 2


def test_cached_reply_follows_every_change(world: World, client: Client) -> None:
    """The body of getData is kept with the znode; set_data, set_acl and children must not leave it stale."""
    client.create("/p", b"data")

    def body() -> bytes:
        znode = world.znode("/p")
        assert znode.get_data_body() is znode.get_data_body(), "kept"
        expected = znode.data if znode.data is not None else b""
        return b"".join([len(expected).to_bytes(4, "big"), expected, znode.stat_bytes()])

    assert world.znode("/p").get_data_body() == body()
    changes: list[Callable[[], Outcome]] = [
        lambda: client.set_data("/p", b"other"),
        lambda: client.set_acl("/p", ((31, "world", "anyone"),)),
        lambda: client.create("/p/s", mode=SEQUENTIAL),
        lambda: client.delete("/p/s0000000000"),
    ]
    for change in changes:
        change()
        assert world.znode("/p").get_data_body() == body()


def test_large_data_is_not_kept_twice(world: World, client: Client) -> None:
    """The cache is for small data; a megabyte is copied when it is read."""
    client.create("/big", bytes(1_000_000))

    body = world.znode("/big").get_data_body()

    assert len(body) == 4 + 1_000_000 + 68
    assert world.znode("/big").body is None
