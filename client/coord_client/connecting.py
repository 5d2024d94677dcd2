"""`connect`: from an address list to a client, and cleanly back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

import anyio

from coord_client.addresses import Itinerary, parse_hosts
from coord_client.client import Client
from coord_client.session import Dial, Session, dial_tcp
from coord_protocol.errors import LocalProtocolError, OperationTimeout

DEFAULT_SESSION_TIMEOUT: Final = 10.0
DEFAULT_DRIFT: Final = 0.05  # how much faster a server's clock may run than ours; real ones differ by far less


@asynccontextmanager
async def connect(
    hosts: str,
    *,
    session_timeout: float = DEFAULT_SESSION_TIMEOUT,
    name: str | None = None,
    auth: Iterable[tuple[str, str | bytes]] = (),
    connect_timeout: float | None = None,
    retry_timeout: float | None = None,
    drift: float = DEFAULT_DRIFT,
    dial: Dial = dial_tcp,
    itinerary: Itinerary | None = None,
) -> AsyncIterator[Client]:
    """A session with one of `hosts` ("host:port,host:port/chroot"), as long as the scope lasts.

    `name` is shown to others as the holder's name of what this session holds. `auth`: identities such as
    ("digest", "user:password"). `connect_timeout`: for the first connection, then `OperationTimeout`.
    `retry_timeout`: how long an operation waits for a connection; both are the session's timeout by default.
    `drift`: the fraction of the timeout by which we believe less in the session than the server grants.
    """
    addresses, chroot = parse_hosts(hosts)
    if not 0 <= drift < 1:
        raise LocalProtocolError(f"drift is a fraction from 0 to below 1, not {drift}")
    session = Session(
        itinerary or Itinerary(addresses),
        timeout=session_timeout,
        retry_timeout=session_timeout if retry_timeout is None else retry_timeout,
        drift=drift,
        chroot=chroot,
        name=name,
        credentials=[(scheme, data.encode() if isinstance(data, str) else data) for scheme, data in auth],
        dial=dial,
    )
    try:
        async with anyio.create_task_group() as tasks:
            # Whatever cancels the scope, the session is closed in it, so that its locks are free at once.
            background = anyio.CancelScope(shield=True)
            tasks.start_soon(_run, session, background)
            client = Client(session, tasks, chroot, name)
            try:
                patience = session_timeout if connect_timeout is None else connect_timeout
                await _first_connection(client, hosts, patience)
                yield client
            finally:
                await session.close()
                background.cancel()
                tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # The group is of our making; whoever leaves the scope with an error should see that error.
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


async def _run(session: Session, scope: anyio.CancelScope) -> None:
    with scope:
        await session.run()


async def _first_connection(client: Client, hosts: str, patience: float) -> None:
    session = client.session
    with anyio.move_on_after(patience):
        await session.wait_connected()
        if session.credentials:
            await client.exists("/")  # answered after the credentials, so these were accepted, too
        return
    raise OperationTimeout(f"{hosts}: no server reached in {patience:g} s; last: {session.last_error}", definite=True)
