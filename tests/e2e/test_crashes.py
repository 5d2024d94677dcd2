"""Real processes that are killed, stopped, frozen and started on strange directories."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from signal import SIGTERM

import pytest
import trio

from coord.local.cluster import LocalCluster, running
from coord.local.ports import free_ports
from coord.local.words import ask
from coord_client import Client, connect
from coord_protocol.errors import CoordError
from tests.e2e.clusters import PATIENCE, paused, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


class Writer:
    """Creates znodes one after the other, and knows which were acknowledged."""

    def __init__(self, client: Client) -> None:
        self.acknowledged: list[str] = []
        self.longest_gap = 0.0
        self._client = client

    async def run(self) -> None:
        number = 0
        last = trio.current_time()
        while True:
            number += 1
            try:
                self.acknowledged.append(await self._client.create(f"/w-{number:06}"))
            except CoordError:
                continue  # whether it was done is not known, so nothing is claimed
            now = trio.current_time()
            self.longest_gap = max(self.longest_gap, now - last)
            last = now


async def test_nothing_acknowledged_is_lost_when_all_are_killed(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        async with connect(cluster.servers) as client, trio.open_nursery() as nursery:
            writer = Writer(client)
            nursery.start_soon(writer.run)
            await until(lambda: len(writer.acknowledged) > 200)
            for member in cluster.members:
                await cluster.kill(member)
            nursery.cancel_scope.cancel()
        await cluster.start()
        async with connect(cluster.servers) as client:
            there = set(await client.get_children("/"))
        assert {path[1:] for path in writer.acknowledged} <= there


async def test_a_leader_that_is_killed_is_replaced_within_a_second(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        async with connect(cluster.servers) as client, trio.open_nursery() as nursery:
            writer = Writer(client)
            nursery.start_soon(writer.run)
            await until(lambda: len(writer.acknowledged) > 50)
            session = client.session_id
            await cluster.kill(await cluster.leader())
            before = len(writer.acknowledged)
            await until(lambda: len(writer.acknowledged) > before + 50)
            assert client.session_id == session
            nursery.cancel_scope.cancel()
        assert writer.longest_gap < 2.0, "0.1 s on an idle machine; a gate shares it"


async def test_a_leader_that_is_told_to_stop_hands_over_first(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        async with connect(cluster.servers) as client, trio.open_nursery() as nursery:
            writer = Writer(client)
            nursery.start_soon(writer.run)
            await until(lambda: len(writer.acknowledged) > 50)
            leader = await cluster.leader()
            process = cluster.processes.pop(leader)
            process.send_signal(SIGTERM)
            with trio.fail_after(PATIENCE):
                assert await process.wait() == 0
            before = len(writer.acknowledged)
            await until(lambda: len(writer.acknowledged) > before + 50)
            nursery.cancel_scope.cancel()
        log = cluster.log(leader).read_text()
        assert "hands over to member" in log
        assert "did not take over" not in log
        await cluster.start(leader)
        assert "cut off" not in cluster.log(leader).read_text(), "the log was marked as complete"


async def test_a_frozen_leader_wakes_up_deposed_and_learns_what_it_missed(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        old = await cluster.leader()
        others = ",".join(cluster.address(member) for member in cluster.members if member != old)
        async with connect(others) as client:
            await client.create("/a", b"before")
            with paused(cluster, old):
                await client.set("/a", b"after")
        async with connect(cluster.address(old)) as client:
            await client.sync("/a")
            assert (await client.get("/a")).data == b"after"
        assert await cluster.leader() != old


async def test_a_minority_acknowledges_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        leader = await cluster.leader()
        async with connect(cluster.address(leader), session_timeout=4.0) as client:
            await client.create("/a")
            for member in cluster.members:
                if member != leader:
                    await cluster.kill(member)
            with pytest.raises((CoordError, trio.TooSlowError)), trio.fail_after(3.0):
                await client.create("/b")
        answer = await trio.to_thread.run_sync(ask, cluster.address(leader), "srvr")
        assert "not currently serving" in answer


async def test_a_data_directory_is_for_one_process_one_member_and_one_cluster(tmp_path: Path) -> None:
    async with running(tmp_path, size=1) as cluster:
        data = tmp_path / "member-1"
        assert "is in use by process" in refusal("--data", str(data))
        await cluster.kill(1)
        text = refusal("--data", str(data), "--id", "2")
        assert "member 1" in text
        identity = json.loads((data / "identity.json").read_text())
        assert identity["member"] == 1
        assert identity["cluster"] != 0


async def test_a_member_whose_directory_is_gone_is_kept_out(tmp_path: Path) -> None:
    """It has acknowledged and voted, and forgot: as a voter it could help to elect who lacks what was acknowledged."""
    async with running(tmp_path) as cluster:
        leader = await cluster.leader()
        victim = next(member for member in cluster.members if member != leader)
        await cluster.kill(victim)
        shutil.rmtree(tmp_path / f"member-{victim}")
        await cluster.start_soon(victim)
        await until(lambda: "comes with another data directory" in cluster.log(victim).read_text())
        assert "follows member" not in cluster.log(victim).read_text().split("serves clients")[-1]
        others = ",".join(cluster.address(member) for member in cluster.members if member != victim)
        async with connect(others) as client:
            await client.create("/goes-on")


async def test_damage_is_named_and_stops_the_server(tmp_path: Path) -> None:
    async with running(tmp_path, size=1) as cluster:
        async with connect(cluster.servers) as client:
            for number in range(50):
                await client.create(f"/{number}", bytes(100))
        await cluster.kill(1)
        segment = tmp_path / "member-1" / "0000000001.wal"
        damaged = bytearray(segment.read_bytes())
        damaged[2000] ^= 1
        segment.write_bytes(damaged)
        text = refusal("--data", str(tmp_path / "member-1"))
        assert "0000000001.wal, offset" in text
        assert "from a copy taken while the server was stopped" in text


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    async with running(tmp_path, size=1) as cluster:
        text = refusal("--client", cluster.address(1), "--data", str(tmp_path / "other"))
        assert f"cannot listen for clients on {cluster.address(1)}: Address already in use" in text
        assert "--client" in text


async def test_a_disk_that_is_full_ends_the_process_and_loses_nothing(tmp_path: Path) -> None:
    """By a limit on the size of files: the first write beyond it fails as on a full disk."""
    ports = free_ports(1)
    data = tmp_path / "data"
    command = f"ulimit -f 100; exec {sys.executable} -m coord serve --client 127.0.0.1:{ports[0]} --data {data}"
    process = await trio.lowlevel.open_process(["bash", "-c", command], stderr=subprocess.PIPE)
    with trio.fail_after(PATIENCE):
        assert await process.wait() == 1
    assert process.stderr is not None
    text = (await process.stderr.receive_some(100_000)).decode()
    assert str(data) in text
    assert "File too large" in text


def refusal(*arguments: str) -> str:
    """What a server says that will not start."""
    command = [sys.executable, "-m", "coord", "serve", "--client", f"127.0.0.1:{free_ports(1)[0]}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


async def test_one_member_serves_with_nothing_but_a_directory(tmp_path: Path) -> None:
    """What `coord serve` does with nothing at all, but for the port, which may be taken here."""
    async with running(tmp_path, size=1) as cluster:
        await _check_alone(cluster)
        await cluster.kill(1)
        await cluster.start(1)
        async with connect(cluster.servers) as client:
            assert (await client.get("/a")).data == b"kept"


async def _check_alone(cluster: LocalCluster) -> None:
    async with connect(cluster.servers) as client:
        await client.create("/a", b"kept")
    assert "Mode: standalone" in await trio.to_thread.run_sync(ask, cluster.address(1), "stat")
