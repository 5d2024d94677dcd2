"""The kinds of servers that are compared: how each is started, asked who leads, and written to."""

import base64
import json
import secrets
import socket
import subprocess
import sys
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException

from coord.cli.bench_ensembles import Layout
from coord.cli.bench_load import Address, LoadError
from coord.cli.bench_machine import environment_with_bytecode, require
from coord.cli.bench_scenario import gardener
from coord.local.ports import LOOPBACK

PROBE_PATIENCE = 1.0  # seconds
ZOOKEEPER_JAR = "/usr/share/java/zookeeper.jar"  # of Debian's package; it names what else it needs


class Coord:
    """This repository's, with the interpreter that runs us."""

    name = "coord"
    speaks_zookeeper = True

    def check_installed(self) -> None:
        """It is; but is it compiled, as installers leave it? No start that is measured should find that to do."""
        command = [sys.executable, "-m", "coord", "serve", "--help"]
        subprocess.run(command, env=environment_with_bytecode(), stdout=subprocess.DEVNULL, check=True)

    def command(self, layout: Layout, number: int) -> list[str]:
        members = [f"{peer + 1}={LOOPBACK}:{port}" for peer, port in enumerate(layout.peer_ports)]
        return [
            *(sys.executable, "-m", "coord", "serve"),
            *("--id", str(number + 1)),
            *("--data", str(layout.of(number) / "data")),
            *("--client", f"{LOOPBACK}:{layout.client_ports[number]}"),
            *("--peer", f"{LOOPBACK}:{layout.peer_ports[number]}"),
            *("--members", ",".join(members)),
        ]

    def is_leading(self, address: Address) -> bool:
        return b"Mode: leader" in four_letters(address, b"srvr")

    def write_once(self, addresses: Sequence[Address]) -> bool:
        return create_once(addresses)


class ZooKeeper:
    """Debian's, configured as its manual suggests; the heap is limited so that three fit beside others."""

    name = "ZooKeeper 3.8"
    speaks_zookeeper = True

    def __init__(self, heap: str = "1g") -> None:
        self._heap = heap

    def check_installed(self) -> None:
        require("java", "a Java runtime", "default-jre-headless")
        require(ZOOKEEPER_JAR, "ZooKeeper", "zookeeper")

    def command(self, layout: Layout, number: int) -> list[str]:
        directory = layout.of(number)
        settings = {
            "tickTime": "2000",
            "initLimit": "10",
            "syncLimit": "5",
            "dataDir": str(directory),
            "clientPort": str(layout.client_ports[number]),
            "clientPortAddress": LOOPBACK,
            "maxClientCnxns": "0",
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "srvr",
        }
        for peer, ports in enumerate(zip(layout.peer_ports, layout.other_ports, strict=True), 1):
            settings[f"server.{peer}"] = f"{LOOPBACK}:{ports[0]}:{ports[1]}"
        configuration = directory / "zoo.cfg"
        configuration.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        (directory / "myid").write_text(f"{number + 1}\n")
        return [
            *("java", f"-Xmx{self._heap}", f"-Dzookeeper.log.dir={directory}"),
            "-Dzookeeper.root.logger=WARN,CONSOLE",
            *("-cp", f"/etc/zookeeper/conf:{ZOOKEEPER_JAR}"),
            *("org.apache.zookeeper.server.quorum.QuorumPeerMain", str(configuration)),
        ]

    def is_leading(self, address: Address) -> bool:
        return b"Mode: leader" in four_letters(address, b"srvr")

    def write_once(self, addresses: Sequence[Address]) -> bool:
        return create_once(addresses)


class Etcd:
    """Debian's, with its defaults."""

    name = "etcd 3.4"
    speaks_zookeeper = False

    def check_installed(self) -> None:
        require("etcd", "etcd", "etcd-server")
        require("h2load", "h2load, which loads etcd,", "nghttp2-client")

    def command(self, layout: Layout, number: int) -> list[str]:
        client = f"http://{LOOPBACK}:{layout.client_ports[number]}"
        peers = [f"http://{LOOPBACK}:{port}" for port in layout.peer_ports]
        return [
            *("etcd", "--name", f"n{number}", "--data-dir", str(layout.of(number) / "data")),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peers[number], "--initial-advertise-peer-urls", peers[number]),
            *("--initial-cluster", ",".join(f"n{peer}={url}" for peer, url in enumerate(peers))),
            *("--initial-cluster-token", layout.directory.name, "--logger", "zap", "--log-level", "warn"),
        ]

    def is_leading(self, address: Address) -> bool:
        connection = HTTPConnection(*address, timeout=PROBE_PATIENCE)
        try:
            connection.request("GET", "/metrics")
            return b"\netcd_server_is_leader 1" in connection.getresponse().read()
        except HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def write_once(self, addresses: Sequence[Address]) -> bool:
        connection = HTTPConnection(*addresses[0], timeout=PROBE_PATIENCE)
        try:
            return put(connection, "first", b"write")
        finally:
            connection.close()


def four_letters(address: Address, word: bytes) -> bytes:
    """The answer of a ZooKeeper or coord server to a four-letter word."""
    with socket.create_connection(address, PROBE_PATIENCE) as connection:
        connection.sendall(word)
        answer = b""
        while data := connection.recv(4096):
            answer += data
        return answer


def create_once(addresses: Sequence[Address]) -> bool:
    """Create a znode, and remove it; whether that was acknowledged."""
    path = f"/coord-bench-probe-{secrets.token_hex(4)}"
    try:
        with gardener(addresses, PROBE_PATIENCE) as probe:
            probe.create([path], b"")
            probe.delete([path])
    except LoadError:
        return False
    return True


def put(connection: HTTPConnection, key: str, value: bytes) -> bool:
    """One write through etcd's JSON gateway; whether it was acknowledged. The connection stays open if it
    was.
    """
    text = {"key": base64.b64encode(key.encode()).decode(), "value": base64.b64encode(value).decode()}
    try:
        connection.request("POST", "/v3/kv/put", json.dumps(text))
        answer = connection.getresponse()
        answer.read()
    except (OSError, HTTPException):
        connection.close()
        return False
    return answer.status == 200
