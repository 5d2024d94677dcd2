"""`coord dev`: a cluster that is there, says so, keeps its data, and goes with a Ctrl-C."""

import socket
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from coord.cli.dev import PEER_PORT_OFFSET
from coord.local.ports import free_ports
from coord_client import connect
from tests.cli.processes import coord

pytestmark = pytest.mark.e2e


def first_port(members: int) -> int:
    """One that is free, as are those that follow from it."""
    for _ in count():
        (first,) = free_ports(1)
        with ExitStack() as stack:
            try:
                for port in range(first, first + members):
                    for each in (port, port + PEER_PORT_OFFSET):
                        stack.enter_context(socket.create_server(("127.0.0.1", each)))
            except OSError:
                continue
            return first
    raise AssertionError


async def test_dev_runs_three_members_until_ctrl_c(tmp_path: Path) -> None:
    port = first_port(3)
    servers = f"127.0.0.1:{port},127.0.0.1:{port + 1},127.0.0.1:{port + 2}"
    async with coord("dev", "--first-port", str(port), "--data", str(tmp_path / "dev"), directory=tmp_path) as dev:
        await dev.until_printed(f"connect to {servers}")
        async with connect(servers) as client:
            assert sorted((await client.status())["members"]) == ["1", "2", "3"]

        assert await dev.interrupt() == 0

        for member in ("1", "2", "3"):
            logged = [line for line in dev.printed if line.startswith(f"{member} │ ")]
            assert any("SIGTERM: stopping" in line for line in logged)
            assert logged[-1] == f"{member} │ ended with exit code 0"
        assert dev.processes_left() == []


async def test_dev_finds_the_data_of_its_last_run(tmp_path: Path) -> None:
    port = first_port(1)
    arguments = ("dev", "--first-port", str(port), "--members", "1", "--data", str(tmp_path / "dev"))
    async with coord(*arguments, directory=tmp_path) as dev:
        await dev.until_printed("connect to")
        async with connect(f"127.0.0.1:{port}") as client:
            await client.create("/kept", b"1")
        await dev.interrupt()

    async with coord(*arguments, directory=tmp_path) as dev:
        await dev.until_printed("connect to")
        async with connect(f"127.0.0.1:{port}") as client:
            assert (await client.get("/kept")).data == b"1"


async def test_dev_says_that_a_port_is_taken(tmp_path: Path) -> None:
    port = first_port(1)
    with socket.create_server(("127.0.0.1", port)):
        async with coord(
            *("dev", "--first-port", str(port), "--members", "1", "--data", str(tmp_path / "dev")), directory=tmp_path
        ) as dev:
            assert await dev.wait() == 1

            assert any(f"cannot listen for clients on 127.0.0.1:{port}" in line for line in dev.printed)
            assert dev.printed[-1] == "Error: member 1 ended with exit code 1"
