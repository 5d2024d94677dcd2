"""Files and flags become settings, or an error that names the key, the value and what was expected."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from coord.cli import main
from coord.raft.configuration import NOBODY, Seat
from coord.raft.types import MemberId
from coord.server.config import load_settings, parse_members
from coord.server.settings import Address, ConfigError, Settings


def load(tmp_path: Path, text: str, **flags: Any) -> Settings:
    path = tmp_path / "coord.toml"
    path.write_text(text)
    return load_settings(path, {name.replace("__", "."): value for name, value in flags.items()})


WHOLE = """
id = 2
data = "/var/lib/coord"
client = "0.0.0.0:2181"
peer = "[::1]:2281"
advertise_client = "db2.example:2181"
super_digest = "super:abc="
log_level = "warning"
[members]
1 = "db1.example:2281"
2 = "db2.example:2281"
[timing]
heartbeat = 0.1
election = 1
lease_reads = true
max_clock_drift = 0.02
[limits]
max_connections = 10
"""


def test_every_key_of_a_file(tmp_path: Path) -> None:
    settings = load(tmp_path, WHOLE)
    assert settings.id == 2
    assert settings.data == Path("/var/lib/coord")
    assert settings.client == Address("0.0.0.0", 2181)
    assert settings.peer == Address("::1", 2281)
    assert str(settings.client_address) == "db2.example:2181"
    assert settings.voters == (1, 2)
    assert (settings.timing.heartbeat, settings.timing.election, settings.timing.tick) == (0.1, 1.0, 0.1)
    assert settings.limits.max_connections == 10
    replica = settings.replica_config(incarnation=3, directory_id=77, sasl_users={})
    assert replica.client_address == "db2.example:2181"
    assert replica.peer_address == "db2.example:2281"
    assert replica.raft.seats == (Seat(MemberId(1), "db1.example:2281"), Seat(MemberId(2), "db2.example:2281"))
    assert (replica.raft.incarnation, replica.raft.heartbeat_interval) == (3, 0.1)
    assert (replica.raft.lease_reads, replica.raft.max_clock_drift) == (True, 0.02)


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    settings = load(
        tmp_path, WHOLE, id=1, members=parse_members("1=a:1,3=c:3"), timing__heartbeat=0.2, limits__max_connections=7
    )
    assert settings.id == 1
    assert settings.voters == (1, 3)
    assert (settings.timing.heartbeat, settings.timing.election) == (0.2, 1.0)
    assert settings.limits.max_connections == 7


def test_nothing_at_all_is_a_cluster_of_one() -> None:
    settings = load_settings(None, {})
    assert settings.voters == (1,)
    assert str(settings.client) == "127.0.0.1:2181"
    assert settings.data == Path("coord-data")
    assert settings.peer is None
    assert not settings.timing.lease_reads


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id = 'one'", "id = 'one': expected a whole number"),
        ("id = true", "id = True: expected a whole number"),
        ("[timing]\nlease_reads = 'no'", "timing.lease_reads = 'no': expected true or false"),
        ("[timing]\nmax_clock_drift = 1", "timing.max_clock_drift = 1.0: expected a part of the time from 0"),
        ("client = '127.0.0.1'", "client = '127.0.0.1': expected HOST:PORT"),
        ("client = 'a:99999'", "client = 'a:99999': expected HOST:PORT"),
        ("cleint = 'a:1'", "cleint: no such key; known are id, data, client"),
        ("[timing]\nheartbeet = 1", "timing.heartbeet: no such key; known are heartbeat"),
        ("[timing]\nheartbeat = 'x'", "timing.heartbeat = 'x': expected a number of seconds"),
        ("[timing]\nelection = 0.1", "timing.election = 0.1: expected at least four heartbeats"),
        ("[timing]\nmin_session = 100", "timing.min_session = 100.0: expected more than 0 and at most max_session"),
        ("reconfig = 1", "reconfig = 1: expected true or false"),
        ("[timing]\nchange_patience = 0", "timing.change_patience = 0.0: expected seconds above 0"),
        ("[limits]\nmax_connections = 1.5", "limits.max_connections = 1.5: expected a whole number"),
        ("limits = 3", "limits = 3: expected"),
        ("id = 3\npeer='a:1'\n[members]\n1 = 'a:1'\n2 = 'b:1'", "id = 3: not among the members listed (1, 2)"),
        ("join = 'a:1'", "peer is missing: who joins a cluster needs HOST:PORT"),
        ("id = 4\npeer='b:1'\njoin = 'a:1'\n[members]\n1 = 'a:1'", "join = 'a:1': [members] are there as well; "),
        ("peer='b:1'\njoin = 'a'", "join = 'a': expected HOST:PORT"),
        ("peer='a:1'\n[members]\n1 = 'a:1'\n2 = 'b'", "'b': expected HOST:PORT"),
        ("members = 'a'", "members = 'a': expected"),
        ("log_level = 'loud'", "log_level = 'loud': expected debug, info"),
        ("super_digest = 'root:x'", "super_digest = 'root:x': expected super:BASE64"),
        ("id = ", "not TOML"),
    ],
)
def test_bad_input_is_named(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert expected in str(caught.value)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "id = 'x'\nclient = 'y'\n[timing]\ntick = 'z'")
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(("text", "expected"), [("1", "found '1'"), ("1=a:1,1=b:1", "listed twice")])
def test_bad_members_on_the_command_line(text: str, expected: str) -> None:
    result = CliRunner().invoke(main, ["serve", "--members", text])
    assert result.exit_code == 1
    assert expected in result.output


def test_a_file_that_is_not_there() -> None:
    result = CliRunner().invoke(main, ["serve", "--config", "/nowhere/coord.toml"])
    assert result.exit_code == 1
    assert "/nowhere/coord.toml: No such file or directory; give a readable file" in result.output


def test_a_member_that_joins_brings_no_configuration_of_its_own(tmp_path: Path) -> None:
    settings = load(tmp_path, "id = 4\npeer = 'db4.example:2281'\njoin = 'db1.example:2281'")
    replica = settings.replica_config(incarnation=1, directory_id=77, sasl_users={})
    assert settings.join == Address("db1.example", 2281)
    assert replica.raft.first == NOBODY
    assert replica.peer_address == "db4.example:2281"


@pytest.mark.parametrize(
    ("text", "listens", "told"),
    [
        ("", None, ""),
        ("peer = 'a:1'", Address("a", 1), "a:1"),
        ("peer = '0.0.0.0:1'", Address("0.0.0.0", 1), ""),
        ("peer = '[::]:1'\n[members]\n1 = 'a:2'", Address("::", 1), "a:2"),
        ("[members]\n1 = 'a:2'\n2 = 'b:2'", Address("a", 2), "a:2"),
    ],
)
def test_where_other_members_find_it(tmp_path: Path, text: str, listens: Address | None, told: str) -> None:
    """It listens at `peer`, and else where [members] says that it is; and nobody is told a wildcard."""
    settings = load(tmp_path, text)
    assert settings.listens_to_members == listens
    assert settings.peer_address == told
    assert settings.seats[0].address == told
