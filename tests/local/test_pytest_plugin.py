"""The fixtures that come with coord, in test files of somebody else."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """In a process of its own, as somebody else's tests are; warnings are errors."""
    return project.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error", *arguments, timeout=60)


def test_a_server_is_fresh_for_each_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from kazoo.client import KazooClient

        @pytest.mark.parametrize("number", range(3))
        def test_create(coord_server, number):
            client = KazooClient(coord_server.address)
            client.start()
            assert client.create("/a-", sequence=True) == "/a-0000000000"
            client.stop()
            client.close()
        """
    )

    run(pytester).assert_outcomes(passed=3)


def test_async_tests_use_it_as_well(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from coord_client import connect

        @pytest.mark.parametrize("anyio_backend", ["trio", "asyncio"])
        @pytest.mark.anyio
        async def test_create(coord_server, anyio_backend):
            async with connect(coord_server.address) as client:
                assert await client.create("/a") == "/a"
        """
    )

    run(pytester, "-p", "no:trio").assert_outcomes(passed=2)


@pytest.mark.e2e
def test_a_cluster_takes_what_tests_do_to_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from kazoo.client import KazooClient

        def test_faults(coord_cluster):
            cluster = coord_cluster
            client = KazooClient(cluster.servers, timeout=2.0)
            client.start()
            client.create("/a", b"0")
            for number, (harm, mend) in enumerate([
                (cluster.kill, cluster.start),
                (cluster.stop, cluster.start),
                (cluster.pause, cluster.resume),
                (cluster.isolate, lambda member: cluster.heal()),
            ]):
                leader = cluster.leader()
                harm(leader)
                while cluster.leader() == leader:
                    pass
                client.retry(client.set, "/a", b"%d" % number)
                mend(leader)
                assert client.retry(client.get, "/a")[0] == b"%d" % number
            client.stop()
            client.close()
            cluster.check()
            for member in cluster.members:
                assert "follows member" in cluster.log(member).read_text()
        """
    )

    run(pytester).assert_outcomes(passed=1)


@pytest.mark.e2e
def test_a_test_that_fails_shows_what_the_members_logged_and_leaves_none_behind(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_fails(coord_cluster):
            print("processes", *map(coord_cluster.pid, coord_cluster.members))
            coord_cluster.kill(2)
            coord_cluster.pause(3)
            raise ValueError("for a reason")
        """
    )

    result = run(pytester)

    result.assert_outcomes(failed=1)
    for member in (1, 2, 3):
        result.stdout.re_match_lines(
            [rf"-+ log of coord member {member} -+", rf".* member {member} INFO coord.server: .*"]
        )
    (line,) = (line for line in result.outlines if line.startswith("processes "))
    for pid in line.split()[1:]:
        assert not Path("/proc", pid).exists()


@pytest.mark.e2e
def test_a_member_that_ends_by_itself_is_an_error_of_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import os
        import signal
        import pytest
        from coord.local.cluster import MemberEnded

        def test_passes(coord_cluster):
            os.kill(coord_cluster.pid(2), signal.SIGKILL)
            with pytest.raises(MemberEnded):
                while True:
                    coord_cluster.check()
        """
    )

    result = run(pytester)

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.re_match_lines([r".*MemberEnded: member 2 ended with exit code -9.*"])


def test_tests_without_it_load_nothing_of_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_modules(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("coord")
            assert sorted(name for name in sys.modules if name.split(".")[0].startswith("coord")) == [
                "coord", "coord.local", "coord.local.pytest_plugin", "coord.version",
            ]
            assert "trio" not in sys.modules
        """
    )

    run(pytester, "-p", "no:trio", "-p", "no:anyio").assert_outcomes(passed=1)
