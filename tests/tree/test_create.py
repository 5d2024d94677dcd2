"""create (ZOOKEEPER-PROTOCOL §5.1 and PROTOCOL-NOTES): which error wins, sequential and ephemeral znodes."""

import pytest
from msgspec.structs import replace

from coord.tree.machine import Created, Outcome
from coord_protocol.errors import Code
from tests.tree.world import (
    ANYONE,
    EPHEMERAL,
    EPHEMERAL_SEQUENTIAL,
    SEQUENTIAL,
    AclList,
    Client,
    World,
)

NOBODY: AclList = ((31, "digest", "nobody:x"),)
INVALID: AclList = ((31, "no-such-scheme", "x"),)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    return world.session()


def path_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Created), outcome
    return outcome.path


def test_create_answers_with_the_path_and_the_znode(world: World, client: Client) -> None:
    """§5.1."""
    outcome = client.create("/a", b"hi")

    assert isinstance(outcome, Created)
    assert outcome.path == "/a"
    assert outcome.znode is world.znode("/a")
    assert outcome.znode.data == b"hi"


def test_a_container_is_a_plain_znode(world: World, client: Client) -> None:
    """Curator makes one for every lock; ephemeralOwner is 0, as §6 asks, and it may have children."""
    assert isinstance(client.create("/locks", mode=4), Created)
    assert isinstance(client.create("/locks/a", mode=3), Created)
    assert world.stat("/locks").ephemeral_owner == 0


@pytest.mark.parametrize("mode", [5, 6])
def test_ttl_znodes_are_unimplemented(client: Client, mode: int) -> None:
    """§5.1."""
    assert client.create("/a", mode=mode) == Code.UNIMPLEMENTED


@pytest.mark.parametrize("mode", [-1, 7, 255, 256, 300, 2**31 - 1, -(2**31)])
def test_unknown_flags_are_bad_arguments(client: Client, mode: int) -> None:
    """PROTOCOL-NOTES, create: flags not in 0..6."""
    assert client.create("/a", mode=mode) == Code.BAD_ARGUMENTS


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a",
        "/a/",
        "/.",
        "/..",
        "/a\0b",
        "/a\x1fb",
        "/\x7f",
        "/\x9f",
        "/\ud7ff\ue000",
        "/\ufff0",
        "/🙂",
        "//a",
    ],
)
def test_invalid_paths_are_bad_arguments(client: Client, path: str) -> None:
    """§9; what lies above U+FFFF is two surrogates to Java."""
    client.create("/a")

    assert client.create(path) == Code.BAD_ARGUMENTS


@pytest.mark.parametrize("path", ["/..a", "/a..", "/...", "/a.", "/é", "/\ud7ff", "/a b", "/~", "/\ufdd0", "/\xa0"])
def test_unusual_but_valid_names_are_created(world: World, client: Client, path: str) -> None:
    """§9: only whole names `.` and `..` are refused, and the characters listed there."""
    assert path_of(client.create(path)) == path
    assert world.children("/") == sorted(["zookeeper", path[1:]])


def test_missing_parent_wins_over_an_invalid_path(client: Client) -> None:
    """PROTOCOL-NOTES: "/q//a" is NoNode, because the parent "/q/" is looked for first."""
    client.create("/q")

    assert client.create("/q//a") == Code.NO_NODE
    assert client.create("q/a") == Code.NO_NODE
    assert client.create("/q/x/../a") == Code.NO_NODE


def test_nul_wins_over_everything_but_flags(client: Client) -> None:
    """§5.1 step 4 comes before the ACL and the parent."""
    assert client.create("/no/such\0", acl=INVALID) == Code.BAD_ARGUMENTS


def test_a_path_without_a_slash_wins_over_an_invalid_acl(client: Client) -> None:
    """§5.1 step 4."""
    assert client.create("a", acl=INVALID) == Code.BAD_ARGUMENTS


def test_invalid_acl_wins_over_a_missing_parent(client: Client) -> None:
    """§5.1 step 5 comes before step 6."""
    assert client.create("/no/such", acl=INVALID) == Code.INVALID_ACL
    assert client.create("/no/such", acl=()) == Code.INVALID_ACL


def test_missing_right_on_the_parent_wins_over_an_invalid_name_and_an_existing_znode(client: Client) -> None:
    """§5.1 step 7 comes before steps 9 and 10."""
    client.create("/p", acl=((1, "world", "anyone"),))

    assert client.create("/p/a") == Code.NO_AUTH
    assert client.create("/p/") == Code.NO_AUTH


def test_create_right_on_the_parent_is_enough(client: Client) -> None:
    """§8: perms belong to the parent; the child's own ACL does not matter."""
    client.create("/p", acl=((4, "world", "anyone"),))

    assert path_of(client.create("/p/a", acl=NOBODY)) == "/p/a"


def test_existing_znode_wins_over_an_ephemeral_parent(client: Client) -> None:
    """§5.1: step 10 before 11."""
    client.create("/e", mode=EPHEMERAL)

    assert client.create("/e") == Code.NODE_EXISTS
    assert client.create("/e/child") == Code.NO_CHILDREN_FOR_EPHEMERALS


def test_the_root_exists(client: Client) -> None:
    """PROTOCOL-NOTES: create "/" is NodeExists."""
    assert client.create("/") == Code.NODE_EXISTS


def test_znodes_may_be_created_below_the_system_ones(client: Client) -> None:
    """§5.1: the quota command line does it."""
    assert path_of(client.create("/zookeeper/quota/a")) == "/zookeeper/quota/a"


def test_sequence_numbers_count_all_creates_below_the_parent(client: Client) -> None:
    """§6: internal C; any child create advances it, deletes do not."""
    client.create("/p")

    first = path_of(client.create("/p/s-", mode=SEQUENTIAL))
    client.create("/p/plain")
    client.delete("/p/plain")
    client.delete(first)
    second = path_of(client.create("/p/t-", mode=EPHEMERAL_SEQUENTIAL))

    assert first == "/p/s-0000000000"
    assert second == "/p/t-0000000002"


def test_a_refused_create_does_not_advance_the_sequence(client: Client) -> None:
    """§6: C counts creates, not attempts."""
    client.create("/p")
    client.create("/p/a")

    client.create("/p/a")
    client.create("/p/b", acl=())

    assert path_of(client.create("/p/s-", mode=SEQUENTIAL)) == "/p/s-0000000001"


def test_sequential_name_may_be_nothing_but_the_number(client: Client) -> None:
    """§5.1 step 9: the path is validated with its number, so "/q/" is legal."""
    client.create("/q")

    assert path_of(client.create("/q/", mode=SEQUENTIAL)) == "/q/0000000000"
    assert client.create("/q/") == Code.BAD_ARGUMENTS
    assert path_of(client.create("/q/.", mode=SEQUENTIAL)) == "/q/.0000000001"


def test_sequence_wraps_like_a_32_bit_int(world: World, client: Client) -> None:
    """§5.1 step 8: signed 32 bits, and a negative number has its sign before ten digits."""
    client.create("/p")
    creates_so_far(world, "/p", 2**31 - 1)

    assert path_of(client.create("/p/s-", mode=SEQUENTIAL)) == "/p/s-2147483647"
    assert path_of(client.create("/p/s-", mode=SEQUENTIAL)) == "/p/s--2147483648"


def creates_so_far(world: World, path: str, creates: int) -> None:
    """As if so many children had been created, and all deleted."""
    world.machine.znodes[path] = replace(world.znode(path), creates=creates)


def test_ephemeral_znode_shows_its_session_as_owner(world: World, client: Client) -> None:
    """§6 ephemeralOwner."""
    client.create("/e", mode=EPHEMERAL)
    client.create("/p")

    assert world.stat("/e").ephemeral_owner == client.session
    assert world.stat("/p").ephemeral_owner == 0


def test_null_and_empty_data_stay_apart(world: World, client: Client) -> None:
    """PROTOCOL-NOTES, Stat: getData of null answers length -1; dataLength is 0 for both."""
    client.create("/null", None)
    client.create("/empty", b"")

    assert world.znode("/null").get_data_body()[:4] == b"\xff\xff\xff\xff"
    assert world.znode("/empty").get_data_body()[:4] == b"\0\0\0\0"
    assert world.stat("/null").data_length == world.stat("/empty").data_length == 0


def test_null_data_goes_with_an_acl_and_a_lease(world: World, client: Client) -> None:
    """The log's encoding keeps all of them apart."""
    lease = client.grant()

    client.create("/a", None, acl=((1, "world", "anyone"),), lease=lease)
    client.create("/b", b"x", acl=((1, "world", "anyone"),))
    client.create("/c", b"", lease=lease)

    assert (world.znode("/a").data, world.znode("/a").owner) == (None, lease)
    assert world.znode("/b").data == b"x"
    assert (world.znode("/c").data, world.znode("/c").acl) == (b"", tuple(ANYONE))


def test_path_that_only_looks_like_a_child_of_the_root_is_bad_arguments(client: Client) -> None:
    """ "//a": its parent, cut off before the last slash, reads "/"; the whole is still no path (§9)."""
    assert client.create("//a") == Code.BAD_ARGUMENTS
    assert client.create("//", mode=SEQUENTIAL) == Code.BAD_ARGUMENTS
