"""Every example in a README is run as it stands there, against a real server.

    ```python    a whole program if it imports something, for pytest if it has tests; else lines that have a `client`
                 (and all recipes by name), run on trio and asyncio
    ```console   after each `$ ` a command for the shell; then what it prints, where `...` stands for anything

The address 127.0.0.1:2181 stands for the server. Blocks run in order and see what those before them left; lines that
run on two event loops have a tree for each.
"""

import doctest
import os
import re
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "client/README.md")
ADDRESS = "127.0.0.1:2181"
PATIENCE = 60.0  # seconds; only a block that hangs needs as many
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

FRAGMENT = """\
import json
import anyio
from coord_client import *
from coord_client.recipes import *

async def main():
    async with connect("{address}/docs-on-{backend}", session_timeout=4) as client:
        await client.ensure_path("/")
{body}

anyio.run(main, backend="{backend}")
"""


class Block(NamedTuple):
    """An example, and where it begins."""

    line: int
    language: str
    text: str


def blocks_of(document: str) -> list[Block]:
    text = (ROOT / document).read_text()
    return [Block(text.count("\n", 0, each.start()) + 1, each[1], each[2]) for each in BLOCK.finditer(text)]


def programs_of(text: str, address: str) -> list[str]:
    """What to run for a block of Python: one program, or one for each event loop."""
    text = text.replace(ADDRESS, address)
    if re.search(r"^(import|from) ", text, re.MULTILINE):
        return [text]
    body = textwrap.indent(text, " " * 8)
    return [FRAGMENT.format(address=address, body=body, backend=each) for each in ("trio", "asyncio")]


def run_python(text: str, address: str, directory: Path) -> list[str]:
    complaints = []
    for program in programs_of(text, address):
        file = directory / "test_example.py"
        file.write_text(program)
        with_pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if "def test_" in program else []
        done = subprocess.run(
            [sys.executable, *with_pytest, str(file)],
            cwd=directory, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        if done.returncode:
            complaints.append(f"{program}\n{done.stdout}{done.stderr}")
    return complaints


def run_console(text: str, address: str, directory: Path) -> list[str]:
    complaints = []
    scripts = sysconfig.get_path("scripts")
    environment = os.environ | {"COORD_SERVERS": address, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    checker = doctest.OutputChecker()
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
        done = subprocess.run(
            command, shell=True, cwd=directory, env=environment, timeout=PATIENCE, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        if not checker.check_output(expected, done.stdout, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE):
            complaints.append(f"$ {command}\nexpected:\n{expected}\nprinted:\n{done.stdout}")
    return complaints


@pytest.mark.e2e
@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_example_runs_as_it_stands(document: str, coord_address: str, tmp_path: Path) -> None:
    complaints = []
    for block in blocks_of(document):
        run = run_python if block.language == "python" else run_console
        for complaint in run(block.text, coord_address, tmp_path):
            complaints.append(f"{document}:{block.line}\n{complaint}")

    assert complaints == []


def test_there_are_examples() -> None:
    for document in DOCUMENTS:
        assert len(blocks_of(document)) > 0


def test_a_block_that_prints_something_else_is_told(tmp_path: Path) -> None:
    """So that the test above can fail."""
    assert run_console("$ echo one two\none ...\n$ echo three\nfour\n", ADDRESS, tmp_path) == [
        "$ echo three\nexpected:\nfour\n\nprinted:\nthree\n"
    ]
    assert "ZeroDivisionError" in run_python("import sys\n1 / 0\n", ADDRESS, tmp_path)[0]
    assert "1 failed" in run_python("import sys\ndef test_x():\n    assert False\n", ADDRESS, tmp_path)[0]
