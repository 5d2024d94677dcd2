"""kazoo, unmodified, authenticates by SASL DIGEST-MD5 to a cluster of real servers."""

import json
from pathlib import Path

import pytest
import trio
from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError, NoAuthError
from kazoo.security import make_acl

from coord.local.cluster import running
from tests.e2e.clusters import PATIENCE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def client_of(servers: str, password: str = "") -> KazooClient:
    options = {"mechanism": "DIGEST-MD5", "username": "bob", "password": password} if password else None
    return KazooClient(servers, sasl_options=options)


def use(servers: str) -> None:
    bob, stranger, liar = client_of(servers, "secret"), client_of(servers), client_of(servers, "wrong")
    try:
        bob.start(timeout=PATIENCE)
        stranger.start(timeout=PATIENCE)
        bob.create("/a", b"his", acl=[make_acl("sasl", "bob", all=True)])
        stranger.sync("/a")
        with pytest.raises(NoAuthError):
            stranger.get("/a")
        assert bob.get("/a")[0] == b"his"
        liar.start_async()
        with pytest.raises(AuthFailedError):
            liar.get("/")
    finally:
        for client in (bob, stranger, liar):
            client.stop()
            client.close()


async def test_acl_of_a_sasl_user_holds_on_every_server(tmp_path: Path) -> None:
    users = tmp_path / "users.json"
    users.write_text(json.dumps({"bob": "secret"}))
    async with running(tmp_path, 3, ("--sasl-users", str(users))) as cluster:
        await trio.to_thread.run_sync(use, cluster.servers)
