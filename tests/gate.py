"""The test command: everything that must hold before a change is taken in.

    uv run tests/gate.py            all steps
    uv run tests/gate.py -k lease   the same; what follows goes to pytest

Stops at the first step that fails, with its exit status.
"""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

STEPS = (
    ("format", ["ruff", "format", "--check", "--quiet", "."]),
    ("lint", ["ruff", "check", "--quiet", "."]),
    ("types", ["mypy"]),
    ("layers", ["lint-imports"]),
    # Two at a time: half of the tests wait for a process or a clock. A file stays together, and with it its servers.
    ("tests", ["pytest", "-q", "-n", "2", "--dist", "loadfile", "--durations=10"]),
)


def main() -> int:
    """The exit status of the first step that fails, or 0."""
    for name, command in STEPS:
        print(f"== {name}", flush=True)
        begin = time.monotonic()
        arguments = sys.argv[1:] if command[0] == "pytest" else []
        done = subprocess.run([*command, *arguments], cwd=ROOT, check=False)
        if done.returncode:
            print(f"== {name} failed: run it again with `uv run {' '.join(command)}`", flush=True)
            return done.returncode
        print(f"== {name}: passed in {time.monotonic() - begin:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
