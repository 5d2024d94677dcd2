"""Rules of the house that no linter knows."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

MAX_LINES = 600
MAX_FUNCTION_LINES = 80


def sources() -> Iterator[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    yield from (ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).exists())


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    return {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in sources()}


def test_no_file_is_longer_than_one_reads(trees: dict[str, ast.Module]) -> None:
    long = {name: count for name in trees if (count := len((ROOT / name).read_text().splitlines())) > MAX_LINES}
    assert long == {}


def test_no_function_is_longer_than_one_sees(trees: dict[str, ast.Module]) -> None:
    long = [
        f"{name}:{node.lineno} {node.name}"
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION_LINES
    ]
    assert long == []


def test_every_module_says_what_it_is_for(trees: dict[str, ast.Module]) -> None:
    silent = [name for name, tree in trees.items() if tree.body and ast.get_docstring(tree) is None]
    assert silent == []


def test_every_dependency_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    block = text[text.index("dependencies = [") : text.index("[project.scripts]")]
    lines = [line for line in block.splitlines() if line.strip().startswith('"')]
    assert lines
    assert all("#" in line for line in lines)
