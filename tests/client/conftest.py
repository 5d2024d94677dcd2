"""A real server for the tests that want one."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from coord.cli.bench_machine import free_ports
from tests.e2e.clusters import PATIENCE, ask


@pytest.fixture(scope="session")
def server_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of a server whose tree the test may write to, below a path of its own.

    One of ours, unless COORD_TEST_SERVER names another: a ZooKeeper, for instance.
    """
    other = os.environ.get("COORD_TEST_SERVER")
    if other:
        yield other
        return
    address = f"127.0.0.1:{free_ports(1)[0]}"
    directory = tmp_path_factory.mktemp("server")
    command = [sys.executable, "-m", "coord", "serve", "--client", address, "--data", str(directory / "data")]
    with open(directory / "log", "wb") as log, subprocess.Popen(command, stderr=log) as process:
        end = time.monotonic() + PATIENCE
        while "Mode: standalone" not in ask(address, "srvr"):
            assert process.poll() is None, (directory / "log").read_text()
            assert time.monotonic() < end, "the server does not serve"
            time.sleep(0.05)
        yield address
        process.terminate()
        assert process.wait(PATIENCE) == 0
