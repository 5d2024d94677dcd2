"""Real processes of an earlier commit are replaced by those of this tree, one at a time, while clients work."""

import os
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio

from coord.local.cluster import LocalCluster, running
from coord.local.ports import free_ports
from coord.tree.levels import FIRST, LEVEL
from coord_client import Client, connect
from coord_protocol.errors import CoordError
from tests.e2e.clusters import PATIENCE, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

ROOT = Path(__file__).resolve().parent.parent.parent

BASE = "1f07759583265f58846fa26916583883992c0455"
"""The oldest commit that can be upgraded from. Before it, members greeted each other without saying which versions of
their protocol they speak, and nobody understands that greeting any more; nothing was published then."""

LATEST_KNOWS_LESS = f"from coord.tree import levels; levels.LEVEL = {LEVEL - 1}; from coord.cli import main; main()"


def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)


def commit_before() -> str:
    """The newest commit whose servers or clients differ from this tree, not older than `BASE`."""
    if git("merge-base", "--is-ancestor", BASE, "HEAD").returncode:
        pytest.skip(f"the history does not reach back to {BASE[:7]}: this is no checkout, or a shallow clone")
    commits = git("rev-list", "HEAD", f"^{BASE}^@").stdout.decode().split()
    for commit in commits:
        if git("diff", "--quiet", commit, "--", "coord", "client").returncode:
            return commit
    pytest.skip(f"no commit since {BASE[:7]} differs from this tree")


def unpacked(commit: str, directory: Path) -> dict[str, str]:
    """The environment in which `python -m coord` is that of this commit."""
    archive = git("archive", commit, "coord", "client").stdout
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(directory, filter="data")
    environment = {"PYTHONPATH": f"{directory}:{directory / 'client'}", "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", "import coord, coord_client; print(coord.__file__, coord_client.__file__)"]
    found = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    assert found.stdout.count(str(directory)) == 2, "nothing of this tree"
    return environment


class Load:
    """Clients that write, and that take turns in a lock, as long as the scope lasts."""

    def __init__(self) -> None:
        self.acknowledged: list[str] = []
        self.turns = 0
        self.inside: list[str] = []
        self.has_intruded = False

    async def write(self, client: Client) -> None:
        for number in count():
            try:
                self.acknowledged.append(await client.create(f"/w-{number:06}"))
            except CoordError as error:
                if error.definite:
                    raise

    async def take_turns(self, client: Client, name: str) -> None:
        while True:
            async with client.lock("/turns", name=name):
                assert not self.inside, f"{name} came in where {self.inside} was"
                self.inside.append(name)
                await trio.sleep(0.01)
                self.inside.remove(name)
                self.turns += 1

    async def intrude(self, client: Client) -> None:
        """Into what somebody holds all the time."""
        async with client.lock("/held"):
            self.has_intruded = True

    async def progress(self) -> None:
        """Both go on."""
        writes, turns = len(self.acknowledged), self.turns
        await until(lambda: len(self.acknowledged) > writes + 20 and self.turns > turns + 4)


@asynccontextmanager
async def loaded(servers: str) -> AsyncIterator[tuple[Load, Client]]:
    """The load, and a client whose session must live through it all: it holds a lock, and keeps a lease."""
    load = Load()
    async with (
        connect(servers) as writer,
        connect(servers) as one,
        connect(servers) as other,
        connect(servers) as holder,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(load.write, writer)
        nursery.start_soon(load.take_turns, one, "one")
        nursery.start_soon(load.take_turns, other, "other")
        async with holder.lease(10.0, name="kept") as lease, holder.lock("/held"):
            nursery.start_soon(load.intrude, writer)
            await lease.create("/owned")
            yield load, holder
            assert not load.has_intruded
            assert [info.name for info in await holder.leases("lease")] == ["kept"]
            assert await holder.exists("/owned")
        nursery.cancel_scope.cancel()


async def status_of(cluster: LocalCluster, member: int) -> dict[str, Any]:
    async with connect(cluster.address(member)) as client:
        return await client.status()


async def levels_in_force(cluster: LocalCluster) -> set[int]:
    said = [await status_of(cluster, member) for member in cluster.members]
    return {one["level"]["in_force"] if "level" in one else FIRST for one in said}


@pytest.mark.parametrize("age", ["newest", "oldest"])
async def test_members_of_an_earlier_commit_are_replaced_one_by_one_under_load(tmp_path: Path, age: str) -> None:
    """The oldest shows that the level rises; the newest is what an upgrade in production is like."""
    commit = commit_before()
    if age == "oldest":
        if commit == BASE:
            pytest.skip("the newest is the oldest")
        commit = BASE
    environment = unpacked(commit, tmp_path / "earlier")
    ports = free_ports(6)
    async with LocalCluster(tmp_path / "data", ports[:3], ports[3:]) as cluster:
        cluster.environments = dict.fromkeys(cluster.members, environment)
        await cluster.start()
        (before,) = await levels_in_force(cluster)
        async with loaded(cluster.servers) as (load, holder):
            session = holder.session_id
            await load.progress()
            for member in cluster.members:
                assert await levels_in_force(cluster) == {before}, "as long as one runs the earlier commit"
                async with connect(cluster.address(member)) as operator:
                    await operator.snapshot()  # of the earlier form, for the later one to start from
                await cluster.stop(member)
                await load.progress()
                del cluster.environments[member]
                await cluster.start(member)
                await load.progress()
            with trio.fail_after(PATIENCE):
                while await levels_in_force(cluster) != {LEVEL}:
                    await trio.sleep(0.05)
            await load.progress()
            assert holder.session_id == session
        async with connect(cluster.servers) as client:
            there = set(await client.get_children("/"))
        assert {path[1:] for path in load.acknowledged} <= there


async def test_release_that_knows_less_refuses_the_log(tmp_path: Path) -> None:
    """This very release, told to know one level less than it does, on a directory that it wrote itself."""
    async with running(tmp_path, size=1) as cluster:
        assert await levels_in_force(cluster) == {LEVEL}
        await cluster.kill(1)
        command = [sys.executable, "-c", LATEST_KNOWS_LESS, "serve", "--data", str(tmp_path / "member-1")]
        command += ["--client", cluster.address(1)]
        done = await trio.run_process(command, capture_stderr=True, check=False)
    text = done.stderr.decode()
    assert done.returncode == 1
    assert "Traceback" not in text
    assert f"is of level {LEVEL}, and this release, coord " in text
    assert f"knows levels up to {LEVEL - 1}: start the release that the other members run" in text
