"""The log's encoding: what is on disk must stay readable, so its bytes are written down here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord.tree import commands
from coord.tree.commands import Kind
from coord.tree.machine import Created, Machine
from coord.tree.watches import Watches
from tests.tree.world import ANYONE, HERE, World, run_of

HEAD_OF_SESSION_3_EPOCH_5 = "0300000000000000 0500000000000000"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            commands.create(3, 5, "/a", b"hi", ANYONE, 2),
            f"00 21000000 {HEAD_OF_SESSION_3_EPOCH_5} 02000000 02000000 2f61 6869",
        ),
        (
            commands.create(3, 5, "/a", None, ((1, "ip", "x"),), 0, lease=9),
            f"00 3a000000 {HEAD_OF_SESSION_3_EPOCH_5} 00010000 fdffffff 2f61"
            "0900000000000000 0f000000 01000000 02000000 6970 01000000 78",
        ),
        (
            commands.create(3, 5, "/a", b"", (), 0),
            f"00 2c000000 {HEAD_OF_SESSION_3_EPOCH_5} 00010000 02000000 2f61 0000000000000000 01000000 00",
        ),
        (
            commands.delete(3, 5, "/a", -1),
            f"01 1f000000 {HEAD_OF_SESSION_3_EPOCH_5} ffffffff 02000000 2f61",
        ),
        (
            commands.set_data(3, 5, "/a", b"hi", 7),
            f"02 21000000 {HEAD_OF_SESSION_3_EPOCH_5} 07000000 02000000 2f61 6869",
        ),
        (
            commands.set_data(3, 5, "/a", None, 7),
            f"02 1f000000 {HEAD_OF_SESSION_3_EPOCH_5} 07000000 fdffffff 2f61",
        ),
        (
            commands.set_acl(3, 5, "/a", ANYONE, 7),
            f"03 1f000000 {HEAD_OF_SESSION_3_EPOCH_5} 07000000 02000000 2f61",
        ),
        (
            commands.check(3, 5, "/a", 7),
            f"04 1f000000 {HEAD_OF_SESSION_3_EPOCH_5} 07000000 02000000 2f61",
        ),
        (
            commands.multi(3, 5, [commands.check(0, 0, "/", 7)]),
            f"05 3b000000 {HEAD_OF_SESSION_3_EPOCH_5} 0000000000000000"
            f"04 1e000000 {bytes(16).hex()} 07000000 01000000 2f",
        ),
        (
            commands.close_session(3, 5),
            f"06 1d000000 {HEAD_OF_SESSION_3_EPOCH_5} 0000000000000000",
        ),
        (
            commands.add_auth(3, 5, "ip", "é"),
            f"07 29000000 {HEAD_OF_SESSION_3_EPOCH_5} 0000000000000000 02000000 6970 02000000 c3a9",
        ),
        (
            commands.name_session(3, 5, "n"),
            f"08 22000000 {HEAD_OF_SESSION_3_EPOCH_5} 0000000000000000 01000000 6e",
        ),
        (
            commands.lease_grant(3, 5, 1000, "n", None),
            f"09 2e000000 {HEAD_OF_SESSION_3_EPOCH_5} 0000000000000000 e803000000000000 01000000 6e 00000000",
        ),
        (
            commands.lease_keep_alive(3, 5, [1, 2]),
            f"0a 2d000000 {HEAD_OF_SESSION_3_EPOCH_5} 0000000000000000 0100000000000000 0200000000000000",
        ),
        (
            commands.lease_revoke(3, 5, 1),
            f"0b 25000000 {HEAD_OF_SESSION_3_EPOCH_5} 0000000000000000 0100000000000000",
        ),
        (
            commands.end_lease(3, 5, 1, is_vouched_for=True),
            f"0c 25000000 {HEAD_OF_SESSION_3_EPOCH_5} 0100000000000000 0100000000000000",
        ),
        (
            commands.create_session(1000, "a", "n"),
            f"20 2f000000 {bytes(24).hex()} e803000000000000 01000000 61 01000000 6e",
        ),
        (
            commands.attach_session(3, 1000, "a"),
            f"21 32000000 {bytes(24).hex()} 0300000000000000 e803000000000000 01000000 61",
        ),
        (
            commands.keep_alive([(3, 5)]),
            f"22 2d000000 {bytes(24).hex()} {HEAD_OF_SESSION_3_EPOCH_5}",
        ),
        (
            commands.init_cluster(2**64 - 1, b"s"),
            f"23 2a000000 {bytes(24).hex()} ffffffffffffffff 01000000 73",
        ),
        (
            commands.announce(2, "c", "p", 7, 3),
            f"24 37000000 {bytes(24).hex()} 02000000 0700000000000000 01000000 63 01000000 70 03000000",
        ),
        (
            commands.raise_level(3, [1, 2]),
            f"26 29000000 {bytes(24).hex()} 03000000 01000000 02000000",
        ),
        (
            commands.block(1, 2, 3, [b"ab", b"c"]),
            "01000000 0200000000000000 0300000000000000 02000000 03000000 616263",
        ),
        (commands.run_data(2, 3, [b"x", b"y"]), "01 0200000000000000 0300000000000000 7879"),
    ],
)
def test_bytes_on_disk_stay_what_they_are(command: bytes, expected: str) -> None:
    """ARCHITECTURE §3: log commands are versioned. If one of these must change, see `coord.tree.levels`."""
    assert command == bytes.fromhex(expected)


def test_kinds_keep_their_numbers() -> None:
    """They are on disk; those below 32 need a session."""
    assert {kind.name: kind.value for kind in Kind} == {
        "CREATE": 0,
        "DELETE": 1,
        "SET_DATA": 2,
        "SET_ACL": 3,
        "CHECK": 4,
        "MULTI": 5,
        "CLOSE_SESSION": 6,
        "ADD_AUTH": 7,
        "NAME_SESSION": 8,
        "LEASE_GRANT": 9,
        "LEASE_KEEP_ALIVE": 10,
        "LEASE_REVOKE": 11,
        "END_LEASE": 12,
        "CHANGE_MEMBERS": 13,
        "CREATE_SESSION": 32,
        "ATTACH_SESSION": 33,
        "KEEP_ALIVE": 34,
        "INIT_CLUSTER": 35,
        "ANNOUNCE": 36,
        "GIVE_UP_CHANGE": 37,
        "RAISE_LEVEL": 38,
    }


def test_only_operations_on_znodes_go_into_a_multi() -> None:
    """§5.7: whoever takes requests in has refused the others before."""
    with pytest.raises(AssertionError, match="operation of a multi"):
        commands.multi(3, 5, [commands.close_session(3, 5)])


def test_block_head_tells_where_a_block_comes_from() -> None:
    """A leader looks at it before it takes the block in."""
    block = commands.block(2**32 - 1, 2**64 - 1, 2**63, [b"x", b"y", b"z"])

    assert commands.block_head(block) == (2**32 - 1, 2**64 - 1, 2**63, 3)


names = st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xD7FF, exclude_characters="/"), min_size=1)


@given(
    name=names.filter(lambda name: name not in (".", "..")),
    data=st.none() | st.binary(max_size=300),
    acl=st.lists(
        st.tuples(st.integers(-(2**31), 2**31 - 1), st.just("digest"), st.just("a:b") | st.just("é:\0"))
        | st.just((31, "world", "anyone")),
        min_size=1,
        max_size=3,
        unique=True,
    ),
    has_lease=st.booleans(),
)
def test_whatever_is_created_arrives_as_it_was_sent(
    name: str, data: bytes | None, acl: list[tuple[int, str, str]], has_lease: bool
) -> None:
    """Encoded here, decoded by the machine: path, data, ACL and lease, in any combination."""
    world = World()
    client = world.session()
    lease = client.grant() if has_lease else 0

    outcome = client.create(f"/{name}", data, acl, lease=lease)

    if isinstance(outcome, Created):
        znode = world.znode(f"/{name}")
        assert (znode.data, znode.acl, znode.owner) == (data, tuple(acl), lease)
    else:
        assert any(character < " " or "\x7f" <= character <= "\x9f" for character in name)


@given(st.binary(max_size=80))
def test_data_is_copied_out_of_the_run(data: bytes) -> None:
    """A znode must not keep the megabyte of a run alive for its few bytes."""
    machine = Machine(Watches(lambda *event: None))
    encoded = [commands.create_session(1_000, "10.0.0.1"), commands.create(1, 1, "/a", data, ANYONE, 0)]
    run = run_of(1, 2, 0, 0, [commands.block(*HERE, 1, encoded)])

    machine.apply(run, HERE, lambda zxid, outcome: None)

    assert type(machine.znodes["/a"].data) is bytes
    assert machine.znodes["/a"].data == data
