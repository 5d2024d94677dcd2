"""Fixtures for tests against real servers; pytest finds them wherever coord is installed.

    def test_one_server(coord_server):
        client = KazooClient(coord_server.address)

    def test_a_leader_that_dies(coord_cluster):
        client = KazooClient(coord_cluster.servers)
        coord_cluster.kill(coord_cluster.leader())

Tests may be plain, or run on trio or asyncio. Nothing of coord is imported before a test asks for one of them.
"""

import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from coord import Cluster, EmbeddedServer

SHORTEST_SESSION = 0.1  # seconds; a test of what happens when a session ends should not take two
LOG_LINES = 200  # of each member, shown with a test that failed

_CLUSTER = pytest.StashKey["Cluster"]()
_FAILED = pytest.StashKey[bool]()


@pytest.fixture
def coord_server() -> Iterator["EmbeddedServer"]:
    """A fresh server, in memory, in this process (`coord.embedded`). Sessions may be as short as 0.1 s.

    Fresh for each test: no znode, session, watch or number is left of another test. That costs five milliseconds.
    """
    from coord.local.embedded import embedded  # noqa: PLC0415 (a quarter of a second, for those who use it)

    with embedded(min_session=SHORTEST_SESSION) as server:
        yield server


@pytest.fixture
def coord_cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator["Cluster"]:
    """Three fresh servers as processes, on disk: to be killed, paused, cut off from each other (`coord.Cluster`).

    A start takes a second. They are ended with the test, whatever became of it. If it failed, its report has the
    servers' logs, and their data is kept. A server that ends by itself fails the test.
    """
    from coord.local.blocking import open_cluster  # noqa: PLC0415 (as above)

    directory = tmp_path / "coord-cluster"
    with open_cluster(directory) as cluster:
        request.node.stash[_CLUSTER] = cluster
        yield cluster
        cluster.check()
    if not request.node.stash.get(_FAILED, False):
        shutil.rmtree(directory)  # 64 MiB for each member; pytest would keep them for three runs


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Logs go to the report of the part that failed."""
    report = yield
    cluster = item.stash.get(_CLUSTER, None)
    if report.failed and cluster is not None:
        item.stash[_FAILED] = True
        for member in cluster.members:
            report.sections.append((f"log of coord member {member}", cluster.last_words(member, LOG_LINES)))
    return report
