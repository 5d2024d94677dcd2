"""Real clusters that are saved while they serve, lost, and made anew by command."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio

from coord.backup.archive import Archive
from coord.backup.download import READING, back_up
from coord.backup.manifest import read_manifest
from coord.local.cluster import LocalCluster, running
from coord.local.ports import LOOPBACK, free_ports
from coord.raft.types import MemberId
from coord.storage.files import StoppedFiles
from coord.storage.recovery import recover
from coord_client import Client, SessionState, connect
from coord_protocol.paths import join
from tests.cli.commands import Ended, Shell
from tests.e2e.clusters import PATIENCE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

Tree = dict[str, tuple[bytes, int, int, int, int]]


async def coord(cluster: LocalCluster, *arguments: str | Path) -> Ended:
    """Run it to its end, and expect that all went well. In a thread of this process: it has a loop of its own."""
    ended = await trio.to_thread.run_sync(lambda: Shell(cluster.servers).ask(*map(str, arguments)))
    assert ended.code == 0, ended.stderr
    return ended


async def tree_of(client: Client) -> Tree:
    """All znodes but the ephemeral ones and those of the system: data, czxid, mzxid, version, ctime."""
    found: Tree = {}
    paths = ["/"]
    while paths:
        path = paths.pop()
        data, stat = await client.get(path)
        if path != "/" and not stat.ephemeral_owner:
            found[path] = (data, stat.czxid, stat.mzxid, stat.version, stat.ctime)
        paths += [join(path, name) for name in await client.get_children(path) if path + name != "/zookeeper"]
    return found


class Shown(NamedTuple):
    """The numbers that a client is shown, each of its kind."""

    zxid: int
    sequence: int
    lease: int
    token: int
    session: int


async def numbers_of(client: Client) -> Shown:
    await client.ensure_path("/numbers")
    path, stat = await client.create("/numbers/n-", sequence=True, include_stat=True)
    async with client.lease(10.0) as lease, client.lock("/numbers-lock") as held:
        return Shown(stat.czxid, int(path[-10:]), lease.key.id, held.token, client.session_id)


async def fill(client: Client, count: int) -> None:
    await client.ensure_path("/fill")
    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(client.create, f"/fill/{number:06}", bytes([number % 256]) * 100)


class NewCluster(LocalCluster):
    """On free ports, in directories that commands have made."""

    def __init__(self, directory: Path, size: int = 3) -> None:
        self.ports = free_ports(2 * size)
        """Those for clients, then those for members."""
        super().__init__(directory, self.ports[:size], self.ports[size:])
        self.listed = ",".join(f"{member}={LOOPBACK}:{port}" for member, port in enumerate(self.ports[size:], 1))

    async def make(self, old: LocalCluster, *command: str | Path) -> list[dict[str, Any]]:
        """Run the command for each member; the documents that it prints."""
        documents: list[dict[str, Any]] = []
        for member in self.members:
            founded: Sequence[str] = ("--founded", documents[0]["founded"]) if documents else ()
            data = self.directory / f"member-{member}"
            place = ("--id", str(member), "--data", str(data), "--members", self.listed, "--json", *founded)
            documents.append((await coord(old, *command, *place)).document)
        return documents


async def test_a_restored_cluster_goes_on_from_the_last_backup_with_higher_numbers(tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    async with running(tmp_path / "old") as old, connect(old.servers) as client:
        await fill(client, 300)
        await client.create("/held", ephemeral=True)
        await numbers_of(client)
        first = (await coord(old, "backup", backup, "--json")).document
        await client.set("/fill/000000", b"changed")
        await client.delete("/fill/000001")
        await client.create("/fill/new")
        second = (await coord(old, "backup", backup, "--json")).document
        saved = await tree_of(client)
        for _ in range(20):  # it goes on, and nobody knows how far
            shown = await numbers_of(client)

        new = NewCluster(tmp_path / "new")
        documents = await new.make(old, "restore", backup)
        async with new:
            await new.start()
            async with connect(new.servers) as restored:
                assert await tree_of(restored) == saved
                fresh = await numbers_of(restored)
                config = (await restored.get("/zookeeper/config")).data.decode()
            refused = await trio.to_thread.run_sync(lambda: Shell(new.servers).ask("backup", str(backup)))
            assert refused.code == 1
            assert "give it another directory" in refused.stderr
        await old.kill(1)
        manifest = read_manifest(StoppedFiles(str(backup)))
        log = recover(StoppedFiles(str(tmp_path / "old" / "member-1")), MemberId(1)).history
        assert log.chain_at(manifest.end) == manifest.chain, "what was saved is what the members' logs have"
    assert (first["saved"], second["saved"]) == ("all", "new")
    assert first["zxid"] < second["zxid"]
    assert len({document["cluster"] for document in documents}) == 1
    assert documents[0]["cluster"] != second["cluster"]
    assert all(after > before for after, before in zip(fresh, shown, strict=True)), (fresh, shown)
    assert all(address.partition("=")[2] in config for address in new.listed.split(","))


async def test_a_server_that_dies_is_waited_for_and_the_rest_is_read(tmp_path: Path) -> None:
    async with running(tmp_path / "old", size=1) as old, connect(old.servers) as client:
        await fill(client, 5000)
        archive = Archive(str(tmp_path / "backup"))
        has_died = trio.Event()
        read: list[int] = []

        def report(what: str, done: int, total: int) -> None:
            if what == READING:
                read.append(done)
                if len(read) == 1:
                    assert done < total
                    old.processes[1].kill()
                    has_died.set()

        async def revive() -> None:
            await has_died.wait()
            await old.kill(1)
            await old.start()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(revive)
            await back_up(client, archive, report, is_whole=False)
        archive.close()
    assert len(read) > 2
    assert read == sorted(set(read)), "from where it was, not from the beginning"


async def test_another_server_gives_the_whole_when_one_dies_for_good(tmp_path: Path) -> None:
    async with running(tmp_path / "old") as old, connect(old.servers) as client:
        await fill(client, 5000)
        archive = Archive(str(tmp_path / "backup"))
        killed: list[int] = []

        def report(what: str, done: int, total: int) -> None:
            if what == READING and not killed:
                killed.extend(member for member in old.members if list(tmp_path.glob(f"old/member-{member}/*/*.snap")))
                old.processes[killed[0]].kill()

        await back_up(client, archive, report, is_whole=False)
        archive.close()
        assert len(killed) == 1, "the one that gave the snapshot"
        new = NewCluster(tmp_path / "new", size=1)
        await new.make(old, "restore", tmp_path / "backup")
        async with new:
            await new.start()
            async with connect(new.servers) as restored:
                assert await tree_of(restored) == await tree_of(client)


async def test_all_is_saved_anew_when_the_log_does_not_reach_back(tmp_path: Path) -> None:
    """A server that is started on a small log has in memory what comes after its snapshot, and 16 MiB before."""
    backup = tmp_path / "backup"
    options = ("--snapshot-log-bytes", "200000")
    async with running(tmp_path / "old", size=1, options=options) as old, connect(old.servers) as client:
        await client.create("/a")
        await coord(old, "backup", backup)
        for _ in range(8):
            async with trio.open_nursery() as nursery:
                for _ in range(250):
                    nursery.start_soon(client.set, "/a", bytes(10_000))
        await client.snapshot()
        said = await coord(old, "backup", backup)
        assert said.text.startswith("saved all")
        assert "log does not reach back" in said.text
        assert "sound" in (await coord(old, "backup", backup, "--verify")).text


async def test_a_backup_is_of_one_moment_while_writes_go_on(tmp_path: Path) -> None:
    """Two counters are set in one transaction after another: in each backup they are equal."""
    backup = tmp_path / "backup"
    async with running(tmp_path / "old", size=1) as old, connect(old.servers) as client:
        await fill(client, 2000)
        for path in ("/one", "/two"):
            await client.create(path, b"0")
        counts = []
        async with trio.open_nursery() as nursery:

            async def write() -> None:
                for number in range(1_000_000):
                    await client.transaction().set("/one", b"%d" % number).set("/two", b"%d" % number).commit()

            nursery.start_soon(write)
            for attempt in range(2):
                done = (await client.get("/one")).data
                await coord(old, "backup", backup)
                new = NewCluster(tmp_path / f"new-{attempt}", size=1)
                await new.make(old, "restore", backup)
                async with new:
                    await new.start()
                    async with connect(new.servers) as restored:
                        one, two = [(await restored.get(path)).data for path in ("/one", "/two")]
                assert one == two
                assert int(one) >= int(done), "what was acknowledged before"
                counts.append(int(one))
            nursery.cancel_scope.cancel()
    assert counts == sorted(set(counts))


async def test_one_of_three_is_left_and_the_old_ones_are_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "old") as old, connect(old.servers) as client:
        await fill(client, 100)
        shown = await numbers_of(client)
        saved = await tree_of(client)
        with trio.fail_after(PATIENCE):  # until the one that is left has it all
            async with connect(old.address(1)) as reader:
                await reader.sync()
        for member in old.members:
            await old.kill(member)
        left = tmp_path / "old" / "member-1"
        before = {file: file.read_bytes() for file in left.rglob("*") if file.is_file()}

        new = NewCluster(tmp_path / "new")
        await new.make(old, "recover", left, "--yes")
        assert {file: file.read_bytes() for file in left.rglob("*") if file.is_file()} == before, "it is only read"
        # A member that was believed to be lost comes back, and dials where the new ones are.
        stale = LocalCluster(tmp_path / "old", new.ports[:3], new.ports[3:])
        async with new, stale:
            await new.start(1, 3)
            await stale.start_soon(2)
            async with connect(f"{new.address(1)},{new.address(3)}") as recovered:
                assert await tree_of(recovered) == saved
                fresh = await numbers_of(recovered)
                with trio.fail_after(PATIENCE):
                    while "one of them has the data directory" not in new.log(1).read_text():
                        await trio.sleep(0.05)
                await recovered.create("/after")
    assert all(after > before for after, before in zip(fresh, shown, strict=True)), (fresh, shown)


async def test_sessions_of_the_old_cluster_are_told_that_they_expired(tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    new = NewCluster(tmp_path / "new", size=1)
    async with (
        running(tmp_path / "old", size=1) as old,
        connect(f"{old.servers},{new.servers}", session_timeout=20.0) as client,
        new,
    ):
        await client.create("/held", ephemeral=True)
        await coord(old, "backup", backup)
        await new.make(old, "restore", backup)
        with trio.fail_after(PATIENCE), client.states() as states:
            await old.kill(1)
            await new.start()
            async for state in states:
                if state is SessionState.LOST:
                    break
            assert await client.exists("/held") is None, "in a session of the new cluster"
