"""Debian's ZooKeeper, which writes the files that move in, and a tree of everything that it can hold."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError
from kazoo.protocol.serialization import Create
from kazoo.security import OPEN_ACL_UNSAFE, make_digest_acl

from coord.cli.bench_kinds import ZOOKEEPER_JAR
from coord.local.ports import LOOPBACK, free_ports
from tests.conftest import require_zookeeper, serving

PATIENCE = 60.0  # seconds; a JVM on a busy machine

SETTINGS = {
    "tickTime": "2000",
    "clientPortAddress": LOOPBACK,
    "maxClientCnxns": "0",
    "admin.enableServer": "false",
    "4lw.commands.whitelist": "srvr",
}
PROPERTIES = {
    "zookeeper.snapCount": "60",  # a snapshot, and a new log, after 30 to 60 transactions
    "zookeeper.preAllocSize": "64",  # KiB
    "zookeeper.extendedTypesEnabled": "true",
    "zookeeper.forceSync": "no",  # it is killed, its machine is not
    "java.net.preferIPv4Stack": "true",
}


class CreateContainer(Create):  # type: ignore[misc]
    """Kazoo has none."""

    type = 19


class CreateTTL(Create):  # type: ignore[misc]
    type = 21
    ttl_ms = 3_600_000

    def serialize(self) -> bytes:
        return bytes(super().serialize() + self.ttl_ms.to_bytes(8, "big"))


def create_special(client: KazooClient, request: Create) -> None:
    result = client.handler.async_result()
    client._call(request, result)
    result.get(PATIENCE)


@contextlib.contextmanager
def zookeeper(directory: Path, properties: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of a server with its data there, which is killed at the end."""
    require_zookeeper()
    directory.mkdir(exist_ok=True)
    (port,) = free_ports(1)
    settings = SETTINGS | {"dataDir": str(directory), "clientPort": str(port)}
    configuration = directory / "zoo.cfg"
    configuration.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    command = [
        *("java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"-Dzookeeper.log.dir={directory}"),
        *(f"-D{key}={value}" for key, value in (PROPERTIES | dict(properties or {})).items()),
        *("-cp", f"/etc/zookeeper/conf:{ZOOKEEPER_JAR}"),
        *("org.apache.zookeeper.server.quorum.QuorumPeerMain", str(configuration)),
    ]
    address = f"{LOOPBACK}:{port}"
    with serving(command, address, directory):
        yield address


@contextlib.contextmanager
def client_of(address: str, **options: Any) -> Iterator[KazooClient]:
    client = KazooClient(address, **options)
    client.start(timeout=PATIENCE)
    try:
        yield client
    finally:
        client.stop()
        client.close()


def write_everything(client: KazooClient, rounds: int = 40) -> None:
    """All that znodes can be, in the making of which several snapshots are begun."""
    client.add_auth("digest", "bob:secret")
    client.ensure_path("/app/queue")
    for number in range(rounds):
        client.create("/app/queue/n-", b"%d" % number, sequence=True)
        client.set("/app", b"%d" % number)
    for number in range(0, rounds, 3):
        client.delete(f"/app/queue/n-{number:010}")
    client.create("/empty", b"")
    client.create("/private", b"mine", acl=[make_digest_acl("bob", "secret", all=True)])
    client.create("/private/below", "Grüße".encode())
    client.set_acls("/app/queue", [make_digest_acl("bob", "secret", read=True, create=True, delete=True)])
    create_special(client, CreateContainer("/container", b"c", OPEN_ACL_UNSAFE, 4))
    client.create("/container/child", b"")
    create_special(client, CreateTTL("/passing", b"t", OPEN_ACL_UNSAFE, 5))
    multi = client.transaction()
    multi.create("/multi", b"1")
    multi.create("/multi/child", b"2")
    multi.set_data("/multi", b"3")
    multi.check("/multi", 1)
    multi.delete("/empty")
    multi.commit()
    failed = client.transaction()
    failed.create("/never", b"")
    failed.check("/multi", 77)
    failed.commit()
    with contextlib.suppress(NoNodeError):
        client.set("/nowhere", b"")
    client.create("/held", b"", ephemeral=True)
    client.ensure_path("/zookeeper/quota/app")
    client.create("/zookeeper/quota/app/zookeeper_limits", b"count=1000,bytes=100000")
    client.create("/zookeeper/quota/app/zookeeper_stats", b"count=0,bytes=0")


def tree_of(client: KazooClient, path: str = "/") -> dict[str, tuple[Any, ...]]:
    """Everything that a client sees of each znode."""
    data, stat = client.get(path)
    acls, _ = client.get_acls(path)
    found = {path: (data, tuple(stat), [(acl.perms, acl.id.scheme, acl.id.id) for acl in acls])}
    for child in client.get_children(path):
        found |= tree_of(client, f"{path.rstrip('/')}/{child}")
    return found
