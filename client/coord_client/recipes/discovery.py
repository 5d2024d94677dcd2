"""Service discovery: who offers a service now, and where.

    registry = ServiceRegistry(client, "/services")
    async with registry.register(Service("mail", address="10.0.0.7", port=25, metadata={"zone": "b"})) as registration:
        ...                                                # found by others for as long as this lasts
        await registration.update(metadata={"zone": "b", "load": 0.7})

    async with registry.watch("mail") as changes:
        async for instances in changes:                    # the list now, then each newer one
            use([each for each in instances if each.enabled])

Layout and JSON are those of Curator's x-discovery: `<base>/<service name>/<instance id>`, ephemeral, with a
`ServiceInstance` as data. So Java services find ours, and we find theirs. What they call `payload` is `metadata`
here: any JSON value. Java needs a "@class" in it to make an object of a class; without one it makes a Map.

Why `watch` gives lists and not single changes: whoever balances load wants to know between whom. A reader that is
busy misses lists that were replaced meanwhile, never the newest, so none can be too slow.

When the session is lost, the registration goes with it, as it should: we may be dead. If we are not, it is made
anew in the next session, or when somebody deletes it; the body of `register` just goes on. While there is no
connection, `watch` shows nothing new: as for Curator, old instances are better than none. How fresh a list is is
told in `coord_client.recipes.tree_cache`, on which `watch` is built.

What others wrote and nobody can read as a `ServiceInstance` is left out.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import anyio

from coord_client.client import Client, Znode
from coord_client.recipes.background import RETRY_PAUSE, running
from coord_client.recipes.tree_cache import TreeCache
from coord_client.session import SessionState
from coord_client.signals import Mailbox
from coord_client.transaction import Check
from coord_client.watches import Change
from coord_protocol.errors import (
    BadVersion,
    ClientClosed,
    ConnectionLost,
    CoordError,
    LocalProtocolError,
    NodeExists,
    NoNode,
    SessionExpired,
)
from coord_protocol.paths import join, parent_of

DYNAMIC: Final = "DYNAMIC"
"""The type of instances whose znode ends with their session; Curator has others, which we can only read."""
WITHDRAW_TIMEOUT: Final = 1.0  # for taking a registration back on leaving; past it, the background goes on


@dataclass(frozen=True, slots=True)
class Service:
    """One instance of a service. Any field but the name and the id may be missing."""

    name: str
    """Of the service; a legal name of a znode."""
    address: str | None = None
    port: int | None = None
    ssl_port: int | None = None
    metadata: Any = None
    """Any JSON value: Curator's payload."""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    """Of the instance; a legal name of a znode. Whoever registers it again takes it over."""
    registered_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    """Wall clock of the registration, in ms."""
    type: str = DYNAMIC
    uri_spec: Any = None
    """Curator's template of a URI, as JSON: `{"parts": [{"value": "port", "variable": true}, …]}`."""
    enabled: bool = True
    """False: it is there, but asks not to be used."""

    def to_json(self) -> bytes:
        """Curator's `ServiceInstance`."""
        document = {
            "name": self.name,
            "id": self.id,
            "address": self.address,
            "port": self.port,
            "sslPort": self.ssl_port,
            "payload": self.metadata,
            "registrationTimeUTC": self.registered_ms,
            "serviceType": self.type,
            "uriSpec": self.uri_spec,
            "enabled": self.enabled,
        }
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def service_of(data: bytes) -> Service | None:
    """The instance that a `ServiceInstance` describes; None if it is none. Unknown fields are ignored.

    >>> service_of(b'{"name": "mail", "id": "7", "port": 25}')
    Service(name='mail', address=None, port=25, ssl_port=None, metadata=None, id='7', registered_ms=0, type='DYNAMIC', \
uri_spec=None, enabled=True)
    >>> service_of(b'{"name": "mail", "id": "7", "port": "25"}') is None
    True
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    service = Service(
        name=document.get("name"),  # type: ignore[arg-type]  # checked below
        address=document.get("address"),
        port=document.get("port"),
        ssl_port=document.get("sslPort"),
        metadata=document.get("payload"),
        id=document.get("id"),  # type: ignore[arg-type]
        registered_ms=document.get("registrationTimeUTC", 0),
        type=document.get("serviceType", DYNAMIC),
        uri_spec=document.get("uriSpec"),
        enabled=document.get("enabled", True),
    )
    return service if _is_well_formed(service) else None


def _is_well_formed(service: Service) -> bool:
    ports = [port for port in (service.port, service.ssl_port) if port is not None]
    return (
        all(type(text) is str for text in (service.name, service.id, service.type))
        and all(type(number) is int for number in (*ports, service.registered_ms))
        and (service.address is None or type(service.address) is str)
        and type(service.enabled) is bool
    )


class Registration:
    """A service that others find, in the scope of `ServiceRegistry.register`."""

    def __init__(self, client: Client, path: str, service: Service) -> None:
        self.path = path
        self._client = client
        self._service = service
        self._is_registered = False
        self._is_displaced = False

    @property
    def service(self) -> Service:
        """As it was last given to `register` or `update`."""
        return self._service

    @property
    def is_registered(self) -> bool:
        """False while it is to be made anew: after the loss of the session or a deletion.

        Also while somebody else has registered the same id, until that ends.
        """
        return self._is_registered

    async def update(self, metadata: Any = ..., *, enabled: bool | None = None) -> None:
        """Tell others something new; what is not given stays. While we are not registered, it counts from then on.

        Raises `ConnectionLost`, if others may or may not have been told; later registrations will tell them.
        """
        if metadata is not ...:
            self._service = replace(self._service, metadata=metadata)
        if enabled is not None:
            self._service = replace(self._service, enabled=enabled)
        parent = parent_of(self.path)
        while not self._is_displaced:
            try:
                version = (await self._client.get(parent)).stat.version
                if (await self._client.get(self.path)).stat.ephemeral_owner != self._client.session_id:
                    return  # another has taken our place, and we have not heard of it yet
                await self._client.transaction(Check(parent, version)).set(self.path, self._service.to_json()).commit()
                return
            except BadVersion:
                continue  # somebody was evicted meanwhile, maybe we
            except NoNode:
                return  # it is about to be created, and with this

    async def _stand(self, *, evicts: bool) -> Change:
        """Be registered; the next change of our znode. `evicts`: somebody else of this id has to go."""
        while True:
            try:
                (_, stat), change = await self._client.get_and_watch(self.path)
            except NoNode:
                self._is_registered = self._is_displaced = False
                await self._create()
                continue
            self._is_registered = stat.ephemeral_owner == self._client.session_id
            self._is_displaced = not self._is_registered
            if self._is_registered:
                return change
            if evicts:
                change.cancel()
                await self._evict(stat.version)
            else:
                await change.wait()

    async def _create(self) -> None:
        """Create our znode; or not, which the next look at it will show."""
        try:
            await self._client.create(self.path, self._service.to_json(), ephemeral=True, make_parents=True)
        except NodeExists:
            return
        except ConnectionLost as error:
            if error.definite:
                raise

    async def _evict(self, version: int) -> None:
        """Put our znode in the place of another; or not, as with `_create`.

        In one transaction: in between, the other could register anew, as it was deleted. The parent's version moves
        with it, by which the other knows in `update`: that of a znode begins at 0 again, and tells nothing.
        """
        eviction = self._client.transaction().delete(self.path, version)
        parent = parent_of(self.path)
        try:
            data, stat = await self._client.get(parent)
            eviction.create(self.path, self._service.to_json(), ephemeral=True).set(parent, data, stat.version)
            await eviction.commit()
        except (NoNode, BadVersion):
            return
        except ConnectionLost as error:
            if error.definite:
                raise

    async def _keep(self, change: Change) -> None:
        """Register anew whenever it is necessary.

        Nobody is evicted here: two that were given the same id would do so to each other for ever.
        """
        while True:
            try:
                await change.wait()
            except SessionExpired:
                self._is_registered = False
            except ClientClosed:
                return
            while True:
                try:
                    change = await self._stand(evicts=False)
                    break
                except SessionExpired:
                    continue
                except ClientClosed:
                    return
                except CoordError:
                    await anyio.sleep(RETRY_PAUSE)

    async def _withdraw(self) -> None:
        """Take our znode away: now if possible, else as soon as possible."""
        self._is_registered = False
        with anyio.move_on_after(WITHDRAW_TIMEOUT, shield=True):
            if self._client.state is SessionState.CONNECTED and await self._try_withdraw():
                return
        self._client.start_soon(self._withdraw_later)

    async def _withdraw_later(self) -> None:
        while not await self._try_withdraw():
            await anyio.lowlevel.checkpoint()

    async def _try_withdraw(self) -> bool:
        """True if there is no more to do. Waits for a connection, within the session's patience."""
        try:
            stat = await self._client.exists(self.path)
            if stat is not None and stat.ephemeral_owner == self._client.session_id:
                await self._client.delete(self.path)
        except ConnectionLost:
            return False
        except CoordError:
            return True  # gone, or not ours to delete: the session's end removes it in any case
        return True


class ServiceRegistry:
    """See the module's head. `base` is what Curator calls the base path."""

    def __init__(self, client: Client, base: str) -> None:
        self.base = base
        self._client = client

    @asynccontextmanager
    async def register(self, service: Service) -> AsyncIterator[Registration]:
        """`async with registry.register(Service(…)) as registration: …`: others find it until the scope is left.

        Whoever has registered the same id is evicted, as it is taken for our own last life.
        Raises `ConnectionLost`, `SessionExpired`.
        """
        if service.type != DYNAMIC:
            raise LocalProtocolError(f"{service.name}: only services of type {DYNAMIC} end with their scope")
        registration = Registration(self._client, join(join(self.base, service.name), service.id), service)
        try:
            change = await registration._stand(evicts=True)
            async with running(self._client, partial(registration._keep, change)):
                yield registration
        finally:
            await registration._withdraw()

    async def names(self) -> list[str]:
        """Of all services that were ever registered, sorted; they may have no instance now."""
        try:
            return sorted(await self._client.get_children(self.base))
        except NoNode:
            return []

    async def instances(self, name: str) -> list[Service]:
        """All instances now, by id, disabled ones too. One round trip each: who asks often should `watch`."""
        path = join(self.base, name)
        try:
            ids = await self._client.get_children(path)
        except NoNode:
            return []
        found = []
        for each in sorted(ids):
            try:
                found.append(service_of((await self._client.get(join(path, each))).data))
            except NoNode:
                continue
        return [service for service in found if service is not None]

    @asynccontextmanager
    async def watch(self, name: str) -> AsyncIterator[AsyncIterator[list[Service]]]:
        """`async with registry.watch(name) as changes: async for instances in changes: …`

        All instances now, as `instances` gives them, and again whenever one of them is another. Raises
        `ConnectionLost` on entering; once inside, it lasts through everything.
        """
        news: Mailbox[None] = Mailbox(1)
        path = join(self.base, name)
        async with (
            TreeCache(self._client, path, depth=1, on_change=lambda _: news.put_over_oldest(None)) as cache,
            aclosing(self._lists(cache, news)) as lists,
        ):
            yield lists

    async def _lists(self, cache: TreeCache, news: Mailbox[None]) -> AsyncGenerator[list[Service], None]:
        known: dict[str, tuple[Znode, Service | None]] = {}
        shown: list[Service] | None = None
        async for _ in news:
            before, known = known, {}
            for each in cache.children(cache.path):
                znode = cache.get(join(cache.path, each))
                assert znode is not None, "a child without a znode"
                # Parsed anew only if it was read anew: a list of thousands may change one by one.
                is_as_before = each in before and before[each][0] is znode
                known[each] = before[each] if is_as_before else (znode, service_of(znode.data))
            instances = [service for _, service in known.values() if service is not None]
            if instances != shown:
                shown = instances
                yield instances
