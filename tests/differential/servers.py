"""One ZooKeeper and one coord, each alone, for as long as a scope lasts."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coord.local.ports import LOOPBACK, free_ports
from tests.conftest import serving, zookeeper_command


@contextmanager
def zookeeper(directory: Path) -> Iterator[str]:
    """`host:port` of Debian's ZooKeeper. It does not wait for its disk, since no crash is part of a sequence, and does
    not look for containers that are empty, since no two servers would do so at the same step."""
    address = f"{LOOPBACK}:{free_ports(1)[0]}"
    options = ("-Dzookeeper.forceSync=no", "-Dznode.container.checkIntervalMs=86400000")
    with serving(zookeeper_command(directory, address, *options), address, directory):
        yield address


@contextmanager
def coord(directory: Path) -> Iterator[str]:
    """`host:port` of a server of this tree, with the interpreter that runs us."""
    address = f"{LOOPBACK}:{free_ports(1)[0]}"
    command = [
        *(sys.executable, "-m", "coord", "serve", "--data", str(directory / "data"), "--client", address),
        *("--max-session", "40"),  # as ZooKeeper's default has it, with its default tick
    ]
    with serving(command, address, directory):
        yield address
