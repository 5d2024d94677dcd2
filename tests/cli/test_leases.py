"""`coord lease` and `coord session`: who holds what, and the end of it, as operators and scripts use them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import anyio.to_thread
import pytest
import trio

from coord.local.ports import free_ports
from coord_client import connect
from coord_protocol.errors import LeaseLost, SessionExpired
from tests.cli.commands import Ended, Shell
from tests.conftest import serving

pytestmark = pytest.mark.e2e

SUPER_DIGEST = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs="  # of super:admin


@pytest.fixture
def shell(coord_address: str) -> Shell:
    return Shell(coord_address)


async def run(shell: Shell, *arguments: str) -> Ended:
    """Run a command while our own client lives on."""
    return await anyio.to_thread.run_sync(lambda: shell.coord(*arguments))


def row_of(ended: Ended, lease_id: int) -> list[str]:
    """The cells of the line for this id."""
    (line,) = [line for line in ended.lines if line.split()[:1] == [hex(lease_id)]]
    return line.split()


async def test_leases_are_listed_and_shown(shell: Shell) -> None:
    async with connect(shell.servers) as client, client.lease(30.0, name="nightly", meta=b"db7\x1b[2J") as lease:
        await lease.create("/lease-list/owner", make_parents=True)

        listed = await run(shell, "lease", "list")
        documents = (await run(shell, "lease", "list", "--json")).document
        shown = await run(shell, "lease", "show", str(lease.id))
        document = (await run(shell, "lease", "show", hex(lease.id), "--json")).document

    row = row_of(listed, lease.id)
    assert (row[1:3], row[4:]) == (["30.0", "s"], ["s", "1", "nightly"])
    assert [one["name"] for one in documents if one["id"] == hex(lease.id)] == ["nightly"]
    assert document["remaining_ms"] <= document["ttl_ms"] == 30_000
    assert (document["kind"], document["keys"], document["address"]) == ("lease", ["/lease-list/owner"], "")
    assert document["meta"] == {"data": "db7\x1b[2J", "encoding": "utf-8"}
    assert "keys /lease-list/owner" in " ".join(shown.text.split())
    assert r"meta db7\x1b[2J" in " ".join(shown.text.split()), "what others wrote does not steer the terminal"


async def test_sessions_are_listed_with_name_and_address(shell: Shell) -> None:
    async with connect(shell.servers, name="worker 7") as client:
        await client.create("/session-list", ephemeral=True)

        listed = await run(shell, "session", "list")
        documents = (await run(shell, "session", "list", "--json")).document
        shown = (await run(shell, "lease", "show", hex(client.session_id), "--json")).document

        assert row_of(listed, client.session_id)[-4:] == ["1", "worker", "7", "127.0.0.1"]
        assert all(document["kind"] == "session" for document in documents)
        assert (shown["kind"], shown["keys"]) == ("session", ["/session-list"])


async def test_a_revoked_lease_is_lost_to_its_holder(shell: Shell) -> None:
    async with connect(shell.servers) as client:

        async def hold() -> None:
            async with client.lease(3.0) as lease:
                assert (await run(shell, "session", "close", hex(lease.id))).code == 1
                revoked = await run(shell, "lease", "revoke", hex(lease.id))
                assert (revoked.code, revoked.text, revoked.stderr) == (0, "", "")
                assert (await run(shell, "lease", "revoke", hex(lease.id))).code == 1
                await trio.sleep(600)

        with trio.fail_after(20), pytest.raises(LeaseLost):
            await hold()


async def test_a_closed_session_is_expired_to_its_client(shell: Shell) -> None:
    async with connect(shell.servers) as client:
        session = hex(client.session_id)
        _, change = await client.exists_and_watch("/never")

        mistaken = await run(shell, "lease", "revoke", session)
        closed = await run(shell, "session", "close", session)

        assert mistaken.code == 1
        assert f"use coord session close {session}" in mistaken.stderr
        assert closed.code == 0
        with trio.fail_after(20), pytest.raises(SessionExpired):
            await change.wait()
        assert (await run(shell, "session", "close", session)).code == 1


@pytest.fixture
def strict_shell(tmp_path: Path) -> Iterator[Shell]:
    """Its servers have a super digest, so that nobody is an operator who has not proved it."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    options = ["--client", address, "--data", str(tmp_path / "data"), "--super-digest", SUPER_DIGEST]
    with serving([sys.executable, "-m", "coord", "serve", *options], address, tmp_path):
        yield Shell(address)


async def test_only_super_ends_what_belongs_to_others_where_there_is_one(strict_shell: Shell) -> None:
    async with connect(strict_shell.servers) as client, client.lease() as lease:
        refused = await run(strict_shell, "lease", "revoke", hex(lease.id))
        guessed = await run(strict_shell, "lease", "revoke", hex(lease.id), "--auth", "digest:super:guess")
        done = await run(strict_shell, "lease", "revoke", hex(lease.id), "--auth", "digest:super:admin")

    assert [refused.code, guessed.code, done.code] == [4, 4, 0]
    assert "super:PASSWORD" in refused.stderr


def test_what_is_not_there_and_what_makes_no_sense(shell: Shell) -> None:
    for arguments in (("lease", "show"), ("lease", "revoke"), ("session", "close")):
        missing = shell.coord(*arguments, "2147483647")
        assert (missing.code, missing.stdout) == (1, b"")
        assert missing.stderr == "Error: 0x7fffffff: no such lease or session\n"
    for text in ("nightly", "0x", "0", "-5", hex(1 << 63)):
        refused = shell.coord("lease", "revoke", "--", text)
        assert refused.code == 2
        assert "is no id" in refused.stderr


def test_nobody_there() -> None:
    nowhere = Shell(f"127.0.0.1:{free_ports(1)[0]}")

    assert nowhere.coord("lease", "list", "--timeout", "0.3").code == 3


def test_zookeeper_has_no_leases(zookeeper_address: str) -> None:
    told = Shell(zookeeper_address).coord("lease", "list")

    assert told.code == 5
    assert "plain ZooKeeper" in told.stderr
