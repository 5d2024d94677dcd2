"""`coord snapshot`: as operators and scripts call it."""

from pathlib import Path

import pytest

from tests.cli.commands import Shell
from tests.conftest import serving

pytestmark = pytest.mark.e2e


def test_a_snapshot_is_taken_by_command(tmp_path: Path) -> None:
    with serving(tmp_path) as address:
        shell = Shell(address)
        assert shell.coord("create", "/a", "data").code == 0
        said = shell.coord("snapshot")
        document = shell.coord("snapshot", "--json").document
        (newest, *_) = sorted((tmp_path / "snapshots").glob("*.snap"), reverse=True)
    assert said.code == 0
    assert "is on the disk" in said.text
    assert int(newest.stem) == document["zxid"]
    assert newest.stat().st_size == document["bytes"]


def test_who_is_no_operator_is_told_how_to_become_one(tmp_path: Path) -> None:
    with serving(tmp_path, "--super-digest", "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=") as address:
        shell = Shell(address)
        refused = shell.coord("snapshot")
        done = shell.coord("snapshot", "--auth", "digest:super:admin")
    assert refused.code == 4
    assert "super:PASSWORD" in refused.stderr
    assert done.code == 0
