"""The shell completes commands, options and paths; bash itself does it here."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from coord.local.ports import free_ports
from tests.cli.commands import PATIENCE, Shell

pytestmark = pytest.mark.e2e

# What bash does on Tab: it fills in what stands on the line and calls the function that was registered.
ASK_BASH = """
eval "$(coord completion bash)"
function_name=$(complete -p coord | sed 's/.*-F \\([^ ]*\\).*/\\1/')
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
"$function_name" coord
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def shell(coord_address: str) -> Shell:
    """One whose root has /apple/core, /apricot and /banana."""
    root = f"/cli-{os.urandom(8).hex()}"
    Shell(coord_address).coord("create", root)
    shell = Shell(f"{coord_address}{root}")
    for path in ("/apple/core", "/apricot", "/banana"):
        assert shell.coord("create", path, "--parents").code == 0
    return shell


def completed_by_bash(shell: Shell, directory: Path, *words: str) -> list[str]:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    program = directory / "coord"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m coord "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", "--norc", "-c", ASK_BASH, "bash", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=shell.environment | {"PATH": f"{directory}:{os.environ['PATH']}"},
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_paths_commands_and_options(shell: Shell, tmp_path: Path) -> None:
    assert completed_by_bash(shell, tmp_path, "coord", "get", "/ap") == ["/apple", "/apricot"]
    assert completed_by_bash(shell, tmp_path, "coord", "rm", "/banana", "/apr") == ["/apricot"]
    assert completed_by_bash(shell, tmp_path, "coord", "acl", "get", "/b") == ["/banana"]
    assert completed_by_bash(shell, tmp_path, "coord", "tr") == ["tree"]
    assert completed_by_bash(shell, tmp_path, "coord", "ls", "--js") == ["--json"]


def test_the_only_match_brings_its_children_so_that_the_shell_adds_no_blank(shell: Shell, tmp_path: Path) -> None:
    assert completed_by_bash(shell, tmp_path, "coord", "get", "/app") == ["/apple", "/apple/core"]


def test_nothing_begins_at_the_root(shell: Shell, tmp_path: Path) -> None:
    assert completed_by_bash(shell, tmp_path, "coord", "ls", "/") == ["/apple", "/apricot", "/banana"]


def test_completion_asks_the_servers_that_the_line_names(shell: Shell, tmp_path: Path) -> None:
    elsewhere = Shell("127.0.0.1:1")

    assert completed_by_bash(elsewhere, tmp_path, "coord", "get", "--servers", shell.servers, "/b") == ["/banana"]


def test_completion_offers_nothing_in_silence_if_nobody_answers(tmp_path: Path) -> None:
    shell = Shell(f"127.0.0.1:{free_ports(1)[0]}")

    assert completed_by_bash(shell, tmp_path, "coord", "get", "/") == []


@pytest.mark.parametrize(
    ("name", "marker"), [("bash", "complete -o"), ("zsh", "#compdef coord"), ("fish", "--command")]
)
def test_completion_prints_what_each_shell_reads(name: str, marker: str) -> None:
    printed = Shell("127.0.0.1:1").coord("completion", name)

    assert printed.code == 0
    assert marker in printed.text
