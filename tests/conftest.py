"""Real servers for the tests that want one: a coord for each of them, and a ZooKeeper for the whole run."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

import coord
from coord.cli.bench_kinds import ZOOKEEPER_JAR
from coord.local.ports import free_ports
from coord.local.words import ask
from tests.e2e.clusters import PATIENCE


@pytest.fixture
def coord_address(coord_server: coord.EmbeddedServer) -> str:
    """`host:port` of a server of ours."""
    return coord_server.address


@pytest.fixture(scope="session")
def zookeeper_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of Debian's ZooKeeper, alone. Tests write below paths of their own."""
    require_zookeeper()
    address = f"127.0.0.1:{free_ports(1)[0]}"
    directory = tmp_path_factory.mktemp("zookeeper")
    with serving(zookeeper_command(directory, address), address, directory):
        yield address


def has_zookeeper() -> bool:
    """Whether Debian's ZooKeeper, and a Java to run it, are here."""
    return shutil.which("java") is not None and Path(ZOOKEEPER_JAR).exists()


def zookeeper_command(directory: Path, address: str, *options: str) -> list[str]:
    """What starts Debian's ZooKeeper, alone, with its data in `directory`. `options`: of the Java that runs it."""
    settings = {
        "dataDir": str(directory),
        "clientPort": address.rpartition(":")[2],
        "clientPortAddress": "127.0.0.1",
        "tickTime": "2000",
        "maxClientCnxns": "0",
        "admin.enableServer": "false",
        "4lw.commands.whitelist": "srvr",
        "extendedTypesEnabled": "true",
        # Without it, ACLs that name users of SASL are none.
        "authProvider.1": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
    }
    configuration = directory / "zoo.cfg"
    configuration.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    return [
        *("java", "-Xmx512m", f"-Dzookeeper.log.dir={directory}", "-Dzookeeper.root.logger=WARN,CONSOLE", *options),
        *("-cp", f"/etc/zookeeper/conf:{ZOOKEEPER_JAR}"),
        *("org.apache.zookeeper.server.quorum.QuorumPeerMain", str(configuration)),
    ]


def require_zookeeper() -> None:
    if not has_zookeeper():
        assert "COORD_REQUIRE_ALL_TESTS" not in os.environ, "the gate installs ZooKeeper, and must not go on without"
        pytest.skip("ZooKeeper is not installed: apt-get install zookeeper")


@contextmanager
def serving(command: Sequence[str], address: str, directory: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process runs, and answers `srvr` as a server that is alone, as long as the scope lasts."""
    with open(directory / "log", "wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            wait_until(lambda: "Mode: standalone" in ask(address, "srvr"), process, directory / "log")
            yield process
        finally:
            process.kill()


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until it is so, while the process lives; fails with its log."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < end, "the server does not serve"
        time.sleep(0.05)
