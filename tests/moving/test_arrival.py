"""From a server of Debian's to one of ours: clients find what they left, all of it."""

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import coord
from coord.backup.progress import unwatched
from coord.local.cluster import LocalCluster
from coord.local.ports import LOOPBACK, free_ports
from coord.moving.files import ServerFiles
from coord_client import connect
from tests.cli.commands import Ended, Shell
from tests.moving.damage import damaged, is_refused
from tests.moving.keeper import client_of, tree_of, write_everything, zookeeper

pytestmark = pytest.mark.e2e

Tree = dict[str, tuple[Any, ...]]
BOB = ("digest", "bob:secret")


@dataclass(frozen=True)
class Left:
    """What a server left behind."""

    directory: Path
    tree: Tree
    """As clients saw it last."""

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in (self.directory / "version-2").iterdir())


def killed(directory: Path, properties: Mapping[str, str] | None = None) -> Left:
    """A server is killed while its client lives: nobody closes the session."""
    with ExitStack() as clients, zookeeper(directory, properties) as address:
        client = clients.enter_context(client_of(address, auth_data=[BOB]))
        write_everything(client)
        return Left(directory, tree_of(client))


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    """By a server that was killed, in the middle of its second log."""
    directory = tmp_path_factory.mktemp("moving") / "zookeeper"
    return killed(directory)


def run_import(directory: Path, data: Path, *options: str) -> Ended:
    return Shell("127.0.0.1:1").ask("import", str(directory), "--data", str(data), *options)


def moved(directory: Path, data: Path, *options: str) -> Ended:
    done = run_import(directory, data, *options)
    assert done.code == 0, done.stderr
    return done


def served(data: Path) -> Tree:
    with coord.embedded(data) as server, client_of(server.address, auth_data=[BOB]) as client:
        return tree_of(client)


def compare(here: Tree, there: Tree) -> None:
    """The same, but for what has ended, and what each kind of server has for itself."""
    gone = {path for path, (_, stat, _) in there.items() if stat[7]}
    assert gone == {"/held"}
    assert here.keys() - there.keys() <= {"/zookeeper/ext", "/zookeeper/config"}
    for path in there.keys() - gone - {"/", "/zookeeper", "/zookeeper/config"}:
        assert here[path] == there[path], path


def test_all_that_clients_can_see_is_there(left: Left, tmp_path: Path) -> None:
    done = moved(left.directory, tmp_path / "data")

    assert sum(name.startswith("snapshot") for name in left.files) > 2
    assert sum(name.startswith("log") for name in left.files) > 2
    assert "ZooKeeper's digest of it is the same" in done.text
    assert "1 sessions and leases ended" in done.text
    assert done.stderr.count("Warning") == 1
    assert "2 containers and znodes with a TTL have become plain ones" in done.stderr
    compare(served(tmp_path / "data"), left.tree)


def test_numbers_go_on_above_the_old_ones(left: Left, tmp_path: Path) -> None:
    moved(left.directory, tmp_path / "data")

    with coord.embedded(tmp_path / "data") as server, client_of(server.address, auth_data=[BOB]) as client:
        path, stat = client.create("/multi/n-", b"", sequence=True, include_data=True)
        queue = client.create("/app/queue/n-", b"", sequence=True)

    zxids = [zxid for _, stat, _ in left.tree.values() for zxid in (stat[0], stat[1], stat[10])]
    assert path == "/multi/n-0000000001"
    assert queue == f"/app/queue/n-{(left.tree['/app/queue'][1][5] + left.tree['/app/queue'][1][9]) // 2:010}"
    assert stat.czxid > max(zxids)


def test_each_older_snapshot_and_its_logs_make_the_same(left: Left, tmp_path: Path) -> None:
    """They are fuzzy: znodes that came while they were written are in them or not. Above all, the logs are read."""
    copy = tmp_path / "copy"
    shutil.copytree(left.directory, copy)
    snapshots = sorted(copy.glob("version-2/snapshot.*"), key=lambda path: int(path.suffix[1:], 16))
    trees = []
    while snapshots:
        done = moved(copy, tmp_path / snapshots[-1].name)
        assert "digest of it is the same" in done.text
        trees.append(served(tmp_path / snapshots[-1].name))
        snapshots.pop().unlink()

    assert len(trees) > 2
    for tree in trees:
        compare(tree, left.tree)


def test_all_members_of_the_new_cluster_are_made_of_the_same_files(left: Left, tmp_path: Path) -> None:
    members = "1=127.0.0.1:7001,2=127.0.0.1:7002"
    first = moved(left.directory, tmp_path / "1", "--members", members, "--json").document
    second = moved(
        left.directory, tmp_path / "2", "--members", members, "--id", "2", "--founded", first["founded"], "--json"
    ).document

    assert (first["cluster"], first["zxid"]) == (second["cluster"], second["zxid"])
    assert "--id 2" in moved(left.directory, tmp_path / "3", "--members", members).text
    again = run_import(left.directory, tmp_path / "1")
    assert again.code == 1


@pytest.fixture
def new_cluster(left: Left, tmp_path: Path) -> LocalCluster:
    """Three members, whose directories are made and nothing else."""
    ports = free_ports(6)
    members = ",".join(f"{member}={LOOPBACK}:{port}" for member, port in enumerate(ports[3:], 1))
    founded: tuple[str, ...] = ()
    for member in (1, 2, 3):
        place = ("--id", str(member), "--members", members, "--json", *founded)
        founded = ("--founded", moved(left.directory, tmp_path / f"member-{member}", *place).document["founded"])
    return LocalCluster(tmp_path, ports[:3], ports[3:])


async def test_three_members_go_on_together(left: Left, new_cluster: LocalCluster) -> None:
    async with new_cluster:
        await new_cluster.start()
        async with connect(new_cluster.servers) as client:
            data, stat = await client.get("/multi")
            written = await client.set("/multi", b"here", version=stat.version)
            paths = [await client.create("/app/n-", sequence=True) for _ in range(2)]

    assert data == left.tree["/multi"][0]
    assert written.mzxid > stat.mzxid
    assert paths == ["/app/n-0000000001", "/app/n-0000000002"]


@pytest.fixture(scope="module", params=["gz", "snappy"])
def compressed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Left]:
    directory = tmp_path_factory.mktemp("moving") / "zookeeper"
    properties = {"zookeeper.snapshot.compression.method": request.param}
    return request.param, killed(directory, properties)


def test_compressed_snapshots_are_read_or_refused_with_what_to_do(compressed: tuple[str, Left], tmp_path: Path) -> None:
    method, left = compressed

    done = run_import(left.directory, tmp_path / "data")

    if method == "gz":
        assert done.code == 0
        assert ".gz and" in done.text
        compare(served(tmp_path / "data"), left.tree)
    else:
        assert done.code == 1
        assert "snapshot.compression.method=gz" in done.stderr
        assert not (tmp_path / "data").exists()


def test_damage_is_refused_or_makes_no_difference(left: Left, tmp_path: Path) -> None:
    """Some hundred bytes of all files, among them such that are not read: older snapshots and logs, padding."""
    copy = tmp_path / "copy"
    shutil.copytree(left.directory, copy)
    sound = ServerFiles(copy, None).read(unwatched)
    refused = set()
    for path in copy.glob("version-2/*"):
        content = path.read_bytes()
        for offset in {*range(0, len(content.rstrip(b"\0")), 53), len(content) - 1}:
            with damaged(path, offset):
                if is_refused(copy, path.name, sound):
                    refused.add(path.name)

    assert sound.snapshot.name in refused
    assert max(left.files, key=lambda name: (name.startswith("log"), int(name.split(".")[1], 16))) in refused


def test_nothing_of_zookeepers_is_changed(left: Left, tmp_path: Path) -> None:
    """The way back is open."""
    copy = tmp_path / "copy"
    shutil.copytree(left.directory, copy)
    before = {path: path.read_bytes() for path in copy.glob("version-2/*")}

    moved(copy, tmp_path / "data")

    assert {path: path.read_bytes() for path in copy.glob("version-2/*")} == before
