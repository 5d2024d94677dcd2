"""`coord snapshot`: as operators and scripts call it."""

import sys
from pathlib import Path

import pytest

from coord.local.ports import free_ports
from tests.cli.commands import Shell
from tests.conftest import serving

pytestmark = pytest.mark.e2e


def command(address: str, directory: Path, *options: str) -> list[str]:
    data = str(directory / "data")
    return [sys.executable, "-m", "coord", "serve", "--client", address, "--data", data, *options]


def test_a_snapshot_is_taken_by_command(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with serving(command(address, tmp_path), address, tmp_path):
        shell = Shell(address)
        assert shell.coord("create", "/a", "data").code == 0
        said = shell.coord("snapshot")
        document = shell.coord("snapshot", "--json").document
        newest = max((tmp_path / "data" / "snapshots").glob("*.snap"))
        assert newest.stat().st_size == document["bytes"]
    assert said.code == 0
    assert "is on the disk" in said.text
    assert int(newest.stem) == document["zxid"]


def test_who_is_no_operator_is_told_how_to_become_one(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    digest = ("--super-digest", "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=")
    with serving(command(address, tmp_path, *digest), address, tmp_path):
        shell = Shell(address)
        refused = shell.coord("snapshot")
        done = shell.coord("snapshot", "--auth", "digest:super:admin")
    assert refused.code == 4
    assert "super:PASSWORD" in refused.stderr
    assert done.code == 0
