"""ACLs: who passes, what may be stored, what is shown (ZOOKEEPER-PROTOCOL §8, PROTOCOL-NOTES)."""

import pytest

from coord.tree import commands
from coord.tree.acl import ADMIN, OPEN, READ, SUPER, WRITE, Identity, fix_up, permits, shown_to
from coord.tree.znode import Znode
from coord_protocol.errors import Code
from coord_protocol.records import ACL
from tests.tree.world import ANYONE, AclList, Client, World

HOME: tuple[Identity, ...] = (("ip", "10.0.0.1"),)
BOB: tuple[Identity, ...] = (*HOME, ("digest", "bob:hash"))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    return world.session()


def acl(*entries: tuple[int, str, str]) -> tuple[ACL, ...]:
    return tuple(ACL(*entry) for entry in entries)


def test_any_of_the_wanted_perms_is_enough() -> None:
    """§8: READ|ADMIN means either."""
    only_admin = acl((ADMIN, "world", "anyone"))

    assert permits(only_admin, READ | ADMIN, HOME)
    assert not permits(only_admin, READ, HOME)


def test_empty_acl_lets_everybody_pass() -> None:
    """§8: pass if the ACL is null or empty."""
    assert permits((), WRITE, HOME)


def test_identity_must_have_the_scheme_and_the_id() -> None:
    """§8: an id of the connection of the same scheme."""
    bobs = acl((READ, "digest", "bob:hash"))

    assert permits(bobs, READ, BOB)
    assert not permits(bobs, READ, HOME)
    assert not permits(bobs, READ, (("digest", "bob:other"),))
    assert not permits(bobs, READ, (("x509", "bob:hash"),))


def test_super_passes_everything() -> None:
    """§8."""
    nobodys = acl((0, "digest", "x:y"))

    assert permits(nobodys, ADMIN, (*HOME, SUPER))
    assert not permits(nobodys, ADMIN, (*HOME, ("super", "somebody")))


@pytest.mark.parametrize(
    ("network", "is_inside"),
    [
        ("10.0.0.1", True),
        ("10.0.0.2", False),
        ("10.0.0.0/31", True),
        ("10.0.0.2/31", False),
        ("10.0.0.2/30", True),
        ("0.0.0.0/0", True),
        ("::/0", False),
        ("10.0.0.1/32", True),
    ],
)
def test_ip_entries_match_by_prefix_within_a_family(network: str, is_inside: bool) -> None:
    """§8: CIDR prefix, family must agree."""
    assert permits(acl((READ, "ip", network)), READ, HOME) is is_inside


def test_ip_entries_match_ipv6() -> None:
    """§8: v4 or v6."""
    home: tuple[Identity, ...] = (("ip", "fd00::12"),)

    assert permits(acl((READ, "ip", "fd00::/16")), READ, home)
    assert not permits(acl((READ, "ip", "fd01::/16")), READ, home)
    assert not permits(acl((READ, "ip", "0.0.0.0/0")), READ, home)


def test_address_that_is_none_matches_no_network() -> None:
    """An identity is whatever the server saw; it must not fail there."""
    assert not permits(acl((READ, "ip", "0.0.0.0/0")), READ, (("ip", "unix"),))


@pytest.mark.parametrize(
    ("scheme", "name", "is_valid"),
    [
        ("world", "anyone", True),
        ("world", "everyone", False),
        ("ip", "10.0.0.1", True),
        ("ip", "10.0.0.0/8", True),
        ("ip", "10.0.0.0/33", False),
        ("ip", "10.0.0.0/-1", False),
        ("ip", "10.0.0.0/", False),
        ("ip", "10.0.0.0/255.0.0.0", False),
        ("ip", "fd00::/128", True),
        ("ip", "fd00::/129", False),
        ("ip", "localhost", False),
        ("digest", "bob:hash", True),
        ("digest", "bob", False),
        ("digest", "a:b:c", False),
        ("x509", "CN=alice,OU=ops,O=Example", True),
        ("x509", r'CN="Smith, J."+UID=7,DC=example\, inc', True),
        ("x509", "alice", False),
        ("x509", "CN=alice,", False),
        ("sasl", "alice", True),
        ("sasl", "alice/host@EXAMPLE.ORG", True),
        ("sasl", "a@b@c", False),
        ("sasl", "", False),
        ("super", "", False),
        ("", "", False),
    ],
)
def test_entries_are_valid_as_their_scheme_says(scheme: str, name: str, is_valid: bool) -> None:
    """§8 isValid; null schemes arrive as ""."""
    asked = acl((READ, scheme, name))

    assert fix_up(asked, BOB) == (asked if is_valid else None)


def test_one_invalid_entry_spoils_the_acl() -> None:
    """§8: fix-up per entry."""
    assert fix_up(acl((READ, "world", "anyone"), (READ, "nonsense", "x")), BOB) is None


def test_auth_stands_for_all_that_the_session_authenticated_as() -> None:
    """§8: digest, x509, sasl, not ip; keeping perms; and `super` is no id that an entry can carry."""
    identities = (*BOB, ("x509", "CN=bob"), SUPER)

    assert fix_up(acl((5, "auth", "")), identities) == acl((5, "digest", "bob:hash"), (5, "x509", "CN=bob"))


def test_auth_without_an_identity_is_invalid() -> None:
    """PROTOCOL-NOTES: -114 when it has none; the address is none."""
    assert fix_up(acl((31, "auth", "")), HOME) is None
    assert fix_up(acl((31, "auth", "")), (*HOME, SUPER)) is None


def test_duplicates_are_removed_and_the_order_is_kept() -> None:
    """PROTOCOL-NOTES, create: duplicates removed."""
    one, two = (1, "ip", "10.0.0.2"), (1, "ip", "10.0.0.1")

    assert fix_up(acl(one, two, one), HOME) == acl(one, two)


def test_equal_acls_are_one_object_and_the_open_one_is_known() -> None:
    """Memory: a tree has few distinct ACLs."""
    asked = acl((31, "auth", ""))

    mine = fix_up(asked, BOB)

    assert mine is fix_up(acl((31, "digest", "bob:hash")), (("ip", "10.0.0.9"),))
    assert fix_up(acl((31, "world", "anyone"), (31, "world", "anyone")), BOB) is OPEN


def test_hashes_are_hidden_from_those_without_admin() -> None:
    """§5.4 getACL: digest ids are masked `user:x`."""
    stored = acl((READ, "world", "anyone"), (31, "digest", "bob:hash"), (1, "ip", "10.0.0.1"))

    assert shown_to(stored, BOB) is stored
    assert shown_to(stored, HOME) == acl((1, "world", "anyone"), (31, "digest", "bob:x"), (1, "ip", "10.0.0.1"))


def test_identities_of_a_session_begin_with_its_address_and_grow(world: World, client: Client) -> None:
    """§8: ids accumulate per connection."""
    client.add_auth("digest", "bob:hash")
    client.add_auth("digest", "bob:hash")

    session = world.machine.leases.session(client.session)

    assert session is not None
    assert session.identities == BOB


def test_authenticated_session_passes_and_others_do_not(world: World, client: Client) -> None:
    """§8, from create with `auth` to set_data by others."""
    client.add_auth("digest", "bob:hash")
    client.create("/bobs", acl=((31, "auth", ""),))
    stranger = world.session()

    assert world.znode("/bobs").acl == acl((31, "digest", "bob:hash"))
    assert isinstance(client.set_data("/bobs"), Znode)
    assert stranger.set_data("/bobs") == Code.NO_AUTH
    assert stranger.create("/bobs/a") == Code.NO_AUTH
    stranger.add_auth("super", "")
    assert isinstance(stranger.set_data("/bobs"), Znode)


def test_new_connection_starts_with_its_address_alone(world: World, client: Client) -> None:
    """§8: ids are not persisted; the client sends them again."""
    client.add_auth("digest", "bob:hash")

    session = world.do(commands.attach_session(client.session, 10_000, "10.9.9.9"))

    assert session is world.machine.leases.session(client.session)
    assert session is not None
    assert session.identities == (("ip", "10.9.9.9"),)


def test_address_counts_as_identity(world: World) -> None:
    """§8: scheme ip, automatically."""
    inside, outside = world.session(address="10.1.2.3"), world.session(address="11.1.2.3")
    inside.create("/a", acl=((31, "ip", "10.0.0.0/8"),))

    assert outside.set_data("/a") == Code.NO_AUTH
    assert isinstance(inside.set_data("/a"), Znode)


@pytest.mark.parametrize(
    "asked",
    [
        ANYONE,
        ((31, "world", "anyone"), (1, "ip", "10.0.0.1")),
        ((-1, "digest", "böb:ha/sh="),),
        ((2**31 - 1, "ip", "fd00::1"), (0, "world", "anyone")),
    ],
)
def test_acl_survives_the_log(world: World, client: Client, asked: AclList) -> None:
    """What create and set_acl store is what was asked for."""
    client.create("/created", acl=asked)
    client.create("/set")
    client.set_acl("/set", asked)

    assert world.znode("/created").acl == tuple(asked)
    assert world.znode("/set").acl == tuple(asked)
