"""What comes along with `import coord_client`: command lines pay for it at every start."""

import subprocess
import sys

import pytest

from coord_client import recipes


def test_importing_the_client_loads_no_event_loop() -> None:
    """anyio loads trio or asyncio when one of them runs, and so do we."""
    script = (
        "import sys, coord_client, coord_client.recipes.election\n"
        "print([name for name in ('trio', 'asyncio', 'ssl', 'msgspec', 'coord') if name in sys.modules])"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"


def test_a_recipe_is_loaded_when_it_is_asked_for() -> None:
    script = (
        "import sys\n"
        "from coord_client.recipes import Lock\n"
        "print([name for name in ('lock', 'election', 'semaphore') if f'coord_client.recipes.{name}' in sys.modules])"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout == "['lock']\n"


@pytest.mark.parametrize("name", recipes.__all__)
def test_every_recipe_is_found_by_its_name(name: str) -> None:
    assert getattr(recipes, name).__name__ == name


def test_there_is_no_other_recipe() -> None:
    with pytest.raises(ImportError, match="Mutex"):
        from coord_client.recipes import Mutex  # type: ignore[attr-defined]  # noqa: F401
