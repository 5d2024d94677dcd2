"""What the README's section "Operations" says is run as one script; after each part, what it did is looked at."""

import os
import re
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coord.local.ports import LOOPBACK, free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

README = Path(__file__).parents[2] / "README.md"
PATIENCE = 120.0  # seconds, for all of it
ADDRESS = re.compile(r"127\.0\.0\.1:([67]0\d(?:\d|\$n))")

# After which block: what shows that it did its work. A failure ends the script.
CHECKS = {
    "": """
until coord create /kept 'before' 2>/dev/null; do sleep 0.1; done
coord create -p /queue/n- --sequence > first
""",
    "Grow": """
coord member list --json | grep -q '"4": {[^}]*"part": "voter"'
coord get /kept --servers 127.0.0.1:6004 | grep -qx before
""",
    "Replace": """
coord member list --json > members
grep -q '"5": {[^}]*"part": "voter"' members
! grep -q '"[24]": {' members
grep -q '"leader": 3' members
""",
    "Back up": """
coord create -p /queue/n- --sequence > second
until [ "$(coord get /kept --servers 127.0.0.1:6011)" = before ]; do sleep 0.1; done
coord create /queue/n- --sequence --servers 127.0.0.1:6011 > third
[[ $(cat first) < $(cat second) && $(cat second) < $(cat third) ]]
""",
    "Recover": """
until [ "$(coord get /kept --servers 127.0.0.1:6021)" = before ]; do sleep 0.1; done
""",
}
BEFORE = {"Recover": "for server in $(jobs -p); do kill -9 $server; done; wait || true\n"}


def blocks() -> list[tuple[str, str]]:
    """Each with the bold words that it is introduced by."""
    section = re.search(r"^## Operations\n(.*?)^## ", README.read_text(), re.MULTILINE | re.DOTALL)
    assert section is not None
    found = re.findall(r"(?:\*\*(\w[\w ]*)\.\*\*(?:(?!```).)*)?```sh\n(.*?)```", section[1], re.DOTALL)
    return [(title, text) for title, text in found]


@contextmanager
def run(script: str, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """In a process group of its own, which is gone at the end, with whatever it started."""
    scripts = sysconfig.get_path("scripts")
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=directory,
            env=os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def on_free_ports(script: str) -> str:
    """The README's ports belong to whoever runs it by hand."""
    numbers = sorted({port.replace("$n", digit) for port in ADDRESS.findall(script) for digit in "123"})
    ports = dict(zip(numbers, free_ports(len(numbers)), strict=True))
    loop = "".join(f"p{number}={port}\n" for number, port in ports.items())
    plain = ADDRESS.sub(
        lambda found: f"{LOOPBACK}:{ports[found[1]]}" if found[1] in ports else f"{LOOPBACK}:$(port {found[1]})", script
    )
    return f'{loop}port() {{ local name=p$1; echo "${{!name}}"; }}\n{plain}'


def test_the_readme_grows_replaces_backs_up_and_recovers_a_cluster(tmp_path: Path) -> None:
    found = blocks()
    assert [title for title, _ in found] == list(CHECKS)
    assert all(text.count("\n") <= 10 for _, text in found), "ten lines each"
    script = "set -eo pipefail\n" + "".join(f"{BEFORE.get(title, '')}{text}{CHECKS[title]}" for title, text in found)
    with run(on_free_ports(script) + "\nexit 0\n", tmp_path) as process:
        code = process.wait(PATIENCE)

    assert code == 0, (tmp_path / "output").read_text()[-4000:]
