"""The client: typed operations on znodes, watches, transactions, and the door to the recipes.

    async with connect("zk1:2181,zk2:2181,zk3:2181/app", name="worker 7") as client:
        await client.create("/jobs/1", b"sleep 10", make_parents=True)
        data, stat = await client.get("/jobs/1")

Operations raise what `coord_protocol.errors` draws as a tree. Any task may call them; there is no lock and no
order between tasks, but what one task sends after another operation of its own is also done after it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar, overload

import anyio

from coord_client.connection import ANSWER_OFFSET, Request
from coord_client.leases import DEFAULT_TTL, Lease, LeaseKeeper, LeaseKey
from coord_client.receipts import Receipts
from coord_client.session import Session, SessionState
from coord_client.signals import Mailbox
from coord_client.transaction import Op, OpResult, Transaction, create_mode, failure_of, result_of
from coord_client.watches import DEFAULT_STREAM_SIZE, Change, WatchStream
from coord_protocol.errors import (
    ConnectionLost,
    CoordError,
    LocalProtocolError,
    MarshallingError,
    NodeExists,
    NoNode,
    NoWatcher,
)
from coord_protocol.extensions import (
    ChangeMembersRequest,
    CreateWithLeaseRequest,
    EndLeaseRequest,
    JoiningMember,
    LeaseInfo,
    LeaseInfoRequest,
    LeaseListRequest,
    LeaseListResponse,
    LeaseRevokeRequest,
    SnapshotRequest,
    SnapshotResponse,
    StatusResponse,
    TransferLeadershipRequest,
)
from coord_protocol.multi import decode_multi_response, encode_multi_request
from coord_protocol.paths import parent_of, validate_path
from coord_protocol.records import ACL, OPEN_ACL_UNSAFE, Stat
from coord_protocol.requests import (
    ANY_VERSION,
    AddWatchMode,
    AddWatchRequest,
    AuthPacket,
    Create2Response,
    CreateRequest,
    DeleteRequest,
    ExistsRequest,
    ExistsResponse,
    GetACLRequest,
    GetACLResponse,
    GetChildren2Response,
    GetChildrenRequest,
    GetDataRequest,
    GetDataResponse,
    OpCode,
    RemoveWatchesRequest,
    SetACLRequest,
    SetACLResponse,
    SetDataRequest,
    SetDataResponse,
    SyncRequest,
    WatcherType,
    WhoAmIResponse,
)

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from coord_client.recipes.election import Election
    from coord_client.recipes.lock import Lock
    from coord_client.recipes.queueing import Layout

T = TypeVar("T")

UNWATCH_TIMEOUT: Final = 1.0  # to take a watch off the server on leaving; past it, its events come and are dropped
_REMOVE_TYPES: Final = {
    AddWatchMode.PERSISTENT: WatcherType.PERSISTENT,
    AddWatchMode.PERSISTENT_RECURSIVE: WatcherType.PERSISTENT_RECURSIVE,
}


class Znode(NamedTuple):
    """What a read of a znode gives."""

    data: bytes
    stat: Stat


class Client:
    """One session's operations. Made by `connect`; of no use after its scope."""

    def __init__(self, session: Session, tasks: TaskGroup, chroot: str, name: str | None) -> None:
        self.session = session
        self.name = name
        self.receipts = Receipts(self)
        self._tasks = tasks
        self._chroot = chroot
        self._lease_keeper = LeaseKeeper(self)

    # What is known of the session.

    @property
    def state(self) -> SessionState:
        """CONNECTED, SUSPENDED or LOST, as `coord_client.session` explains them."""
        return self.session.state

    def states(self) -> AbstractContextManager[Mailbox[SessionState]]:
        """`with client.states() as states: async for state in states: …`, beginning with the state now."""
        return self.session.observe()

    @property
    def session_id(self) -> int:
        """0 while there is none."""
        return self.session.session_id

    @property
    def session_deadline(self) -> float:
        """Until then, on the clock of `anyio.current_time()`, the session certainly lives."""
        return self.session.deadline

    # Writes.

    @overload
    async def create(
        self,
        path: str,
        data: bytes = ...,
        *,
        ephemeral: bool = ...,
        sequence: bool = ...,
        acl: tuple[ACL, ...] = ...,
        make_parents: bool = ...,
        lease: LeaseKey | None = ...,
        include_stat: Literal[False] = ...,
    ) -> str: ...

    @overload
    async def create(
        self,
        path: str,
        data: bytes = ...,
        *,
        ephemeral: bool = ...,
        sequence: bool = ...,
        acl: tuple[ACL, ...] = ...,
        make_parents: bool = ...,
        lease: LeaseKey | None = ...,
        include_stat: Literal[True],
    ) -> tuple[str, Stat]: ...

    async def create(
        self,
        path: str,
        data: bytes = b"",
        *,
        ephemeral: bool = False,
        sequence: bool = False,
        acl: tuple[ACL, ...] = OPEN_ACL_UNSAFE,
        make_parents: bool = False,
        lease: LeaseKey | None = None,
        include_stat: bool = False,
    ) -> str | tuple[str, Stat]:
        """The path of the new znode, with its number if `sequence`. Raises `NodeExists`, `NoNode`.

        `make_parents` creates missing parents first, as persistent znodes with the same ACL. `lease`: what it ends
        with, as an `ephemeral` one ends with the session; raises `NoLease` if that has ended already.
        """
        if ephemeral and lease is not None:
            raise LocalProtocolError(f"{path}: it ends either with the session (ephemeral) or with a lease")
        mode = create_mode(ephemeral=ephemeral, sequence=sequence)
        # Only the name of a sequential znode may be empty, since its number will follow.
        full = self._full(path, to_validate=f"{path}0" if sequence else path)
        while True:
            try:
                if lease is None:
                    body = CreateRequest(full, data, acl, mode).encode()
                    answer = await self.session.call(Request(OpCode.CREATE2, body, full))
                else:
                    body = CreateWithLeaseRequest(full, data, acl, mode, lease.id, lease.secret).encode()
                    answer = await self.session.call_extension(Request(OpCode.CREATE_WITH_LEASE, body, full))
                break
            except NoNode:
                if not make_parents:
                    raise
                await self.ensure_path(parent_of(path), acl=acl)
        response = Create2Response.decode(answer.frame, ANSWER_OFFSET)
        created = self._shown(response.path)
        return (created, response.stat) if include_stat else created

    async def ensure_path(self, path: str, *, acl: tuple[ACL, ...] = OPEN_ACL_UNSAFE) -> None:
        """Create `path` and what is missing above it."""
        try:
            await self.create(path, acl=acl)
        except NodeExists:
            return
        except NoNode:
            if path == "/":
                # The root is the chroot here, and its parents are beyond the names that we can say.
                await self._make_chroot(acl)
                return
            await self.ensure_path(parent_of(path), acl=acl)
            await self.ensure_path(path, acl=acl)

    async def _make_chroot(self, acl: tuple[ACL, ...]) -> None:
        parts = self._chroot.split("/")
        for length in range(2, len(parts) + 1):
            path = "/".join(parts[:length])
            try:
                await self.session.call(Request(OpCode.CREATE, CreateRequest(path, b"", acl, 0).encode(), path))
            except NodeExists:
                continue

    async def delete(self, path: str, version: int = ANY_VERSION) -> None:
        """Raises `NoNode`, `NotEmpty`, `BadVersion`."""
        full = self._full(path)
        await self.session.call(Request(OpCode.DELETE, DeleteRequest(full, version).encode(), full))

    async def set(self, path: str, data: bytes, version: int = ANY_VERSION) -> Stat:
        """Raises `NoNode`, `BadVersion`."""
        full = self._full(path)
        answer = await self.session.call(Request(OpCode.SET_DATA, SetDataRequest(full, data, version).encode(), full))
        return SetDataResponse.decode(answer.frame, ANSWER_OFFSET).stat

    async def set_acl(self, path: str, acl: tuple[ACL, ...], version: int = ANY_VERSION) -> Stat:
        """`version` is compared with `Stat.aversion`. Raises `NoNode`, `BadVersion`, `InvalidAcl`."""
        full = self._full(path)
        answer = await self.session.call(Request(OpCode.SET_ACL, SetACLRequest(full, acl, version).encode(), full))
        return SetACLResponse.decode(answer.frame, ANSWER_OFFSET).stat

    def transaction(self, *first: Op) -> Transaction:
        """Operations that happen together or not at all: see `coord_client.transaction`."""
        return Transaction(self.multi, *first)

    async def multi(self, operations: list[Op]) -> list[OpResult]:
        """All operations or none; one result each.

        Raises the error of the one at fault, with its `op_index`.
        """
        requests = []
        for operation in operations:
            is_sequence = getattr(operation, "sequence", False)
            path = self._full(operation.path, to_validate=f"{operation.path}0" if is_sequence else operation.path)
            requests.append(operation.request(path))
        answer = await self.session.call(Request(OpCode.MULTI, encode_multi_request(requests)))
        results = decode_multi_response(answer.frame, ANSWER_OFFSET)
        failure = failure_of(operations, results)
        if failure is not None:
            raise failure
        return [result_of(record, self._shown) for _, record in results]

    # Reads.

    async def get(self, path: str) -> Znode:
        """Data and `Stat`. Raises `NoNode`."""
        return await self._get(path, None)

    async def get_and_watch(self, path: str) -> tuple[Znode, Change]:
        """Also the next change of the data, or the deletion. Raises `NoNode`, and then watches nothing."""
        return await self._watching(lambda change: self._get(path, change))

    async def _get(self, path: str, change: Change | None) -> Znode:
        full = self._full(path)
        body = GetDataRequest(full, change is not None).encode()
        answer = await self.session.call(Request(OpCode.GET_DATA, body, full, is_repeatable=True, watch=change))
        response = GetDataResponse.decode(answer.frame, ANSWER_OFFSET)
        return Znode(response.data or b"", response.stat)

    async def exists(self, path: str) -> Stat | None:
        """None if there is no such znode."""
        return await self._exists(path, None)

    async def exists_and_watch(self, path: str) -> tuple[Stat | None, Change]:
        """Also the next change of the data, the deletion, or the creation if it is not there yet."""
        return await self._watching(lambda change: self._exists(path, change))

    async def _exists(self, path: str, change: Change | None) -> Stat | None:
        full = self._full(path)
        body = ExistsRequest(full, change is not None).encode()
        try:
            answer = await self.session.call(Request(OpCode.EXISTS, body, full, is_repeatable=True, watch=change))
        except NoNode:
            return None
        return ExistsResponse.decode(answer.frame, ANSWER_OFFSET).stat

    async def get_children(self, path: str) -> list[str]:
        """Their names, in no order to rely on. Raises `NoNode`."""
        return (await self._get_children(path, None)).children

    async def get_children_and_stat(self, path: str) -> tuple[list[str], Stat]:
        """The names of the children, and the `Stat` of `path`."""
        response = await self._get_children(path, None)
        return response.children, response.stat

    async def get_children_and_watch(self, path: str) -> tuple[list[str], Change]:
        """Also the next time a child comes or goes, or `path` itself goes."""
        response, change = await self._watching(lambda change: self._get_children(path, change))
        return response.children, change

    async def _get_children(self, path: str, change: Change | None) -> GetChildren2Response:
        full = self._full(path)
        body = GetChildrenRequest(full, change is not None).encode()
        answer = await self.session.call(Request(OpCode.GET_CHILDREN2, body, full, is_repeatable=True, watch=change))
        return GetChildren2Response.decode(answer.frame, ANSWER_OFFSET)

    async def _watching(self, read: Callable[[Change], Awaitable[T]]) -> tuple[T, Change]:
        change = Change()
        try:
            return await read(change), change
        except BaseException:
            change.cancel()
            raise

    async def get_acl(self, path: str) -> tuple[tuple[ACL, ...], Stat]:
        """Raises `NoNode`, `NoAuth`."""
        full = self._full(path)
        answer = await self.session.call(
            Request(OpCode.GET_ACL, GetACLRequest(full).encode(), full, is_repeatable=True)
        )
        response = GetACLResponse.decode(answer.frame, ANSWER_OFFSET)
        return response.acl, response.stat

    async def sync(self, path: str = "/") -> None:
        """After this, reads see everything that was written anywhere before it was called."""
        full = self._full(path)
        await self.session.call(Request(OpCode.SYNC, SyncRequest(full).encode(), full, is_repeatable=True))

    # Identity.

    async def add_auth(self, scheme: str, auth: str | bytes) -> None:
        """Add an identity, such as ("digest", "user:password"), now and after each reconnect.

        Raises `AuthFailed`; the server then closes the connection, and the client comes back without it.
        """
        data = auth.encode() if isinstance(auth, str) else auth
        await self.session.call(Request(OpCode.AUTH, AuthPacket(0, scheme, data).encode(), is_repeatable=True))
        self.session.credentials.append((scheme, data))

    async def who_am_i(self) -> list[tuple[str, str]]:
        """The identities of the connection: scheme and user."""
        answer = await self.session.call(Request(OpCode.WHO_AM_I, b"", is_repeatable=True))
        return [
            (each.auth_scheme, each.user) for each in WhoAmIResponse.decode(answer.frame, ANSWER_OFFSET).client_info
        ]

    # Watches.

    @asynccontextmanager
    async def watch(
        self, path: str, *, recursive: bool = False, size: int = DEFAULT_STREAM_SIZE
    ) -> AsyncIterator[WatchStream]:
        """`async with client.watch(path) as events: async for event in events: …`, from now on, until left.

        Events of `path` and of its list of children; if `recursive`, of the whole subtree, without lists.
        `path` need not exist. After a reconnect an event with `is_gap` comes, since some may have been
        missed. A reader that is more than `size` events behind gets `WatchOverflow`; the end of the session
        raises `SessionExpired`.
        """
        full = self._full(path)
        mode = AddWatchMode.PERSISTENT_RECURSIVE if recursive else AddWatchMode.PERSISTENT
        stream = WatchStream(path, mode, size)
        watches = self.session.watches
        watches.add_stream(full, stream)  # first, so that no event slips through; it is armed anew like the others
        try:
            await self.session.call(
                Request(OpCode.ADD_WATCH, AddWatchRequest(full, mode).encode(), full, is_repeatable=True)
            )
            yield stream
        finally:
            stream.close()
            if watches.remove_stream(full, stream):
                with anyio.move_on_after(UNWATCH_TIMEOUT, shield=True):
                    await self._unwatch(full, mode)

    async def _unwatch(self, full: str, mode: AddWatchMode) -> None:
        """Take a persistent watch off the server. If that fails, its events are dropped as they come."""
        if self.session.state is not SessionState.CONNECTED:
            return  # the next connection will not arm it
        try:
            await self._remove_watch(full, _REMOVE_TYPES[mode])
        except MarshallingError:
            # ZooKeeper before 3.9 knows no such type. ANY would take the one-shot watches with it, too.
            if not self.session.watches.has_one_shot(full):
                await self._remove_watch(full, WatcherType.ANY)
        except CoordError:
            return

    async def _remove_watch(self, full: str, kind: WatcherType) -> None:
        try:
            await self.session.call(Request(OpCode.REMOVE_WATCHES, RemoveWatchesRequest(full, kind).encode(), full))
        except (NoWatcher, ConnectionLost):
            return

    # Extensions: `ExtensionUnavailable` on a plain ZooKeeper.

    async def status(self) -> dict[str, Any]:
        """What the server knows of itself and its cluster."""
        import json  # noqa: PLC0415  (only people ask for this)

        answer = await self.session.call_extension(Request(OpCode.STATUS, b"", is_repeatable=True))
        document: dict[str, Any] = json.loads(StatusResponse.decode(answer.frame, ANSWER_OFFSET).json)
        return document

    def lease(
        self, ttl: float = DEFAULT_TTL, *, name: str | None = None, meta: bytes = b""
    ) -> AbstractAsyncContextManager[Lease]:
        """`async with client.lease(ttl=10, name="nightly") as lease: …`: see `coord_client.leases`.

        `ttl`: seconds, at least one. `name` (the client's, by default) and `meta` are for whoever looks at the list.
        """
        return self._lease_keeper.grant(ttl, self.name or "" if name is None else name, meta)

    def resume_lease(self, key: LeaseKey) -> AbstractAsyncContextManager[Lease]:
        """`async with client.resume_lease(LeaseKey.parse(text)) as lease: …`: a lease that lives without its scope.

        It was detached, or whoever held it has died. Raises `NoLease` if it has ended.
        """
        return self._lease_keeper.resume(key)

    async def leases(self, kind: Literal["", "lease", "session"] = "") -> list[LeaseInfo]:
        """Who holds what, and how long still: all leases and sessions, or one kind.

        `keys` are the server's paths, whatever the chroot, since not all of them need be below it.
        """
        request = Request(OpCode.LEASE_LIST, LeaseListRequest(kind).encode(), is_repeatable=True)
        answer = await self.session.call_extension(request)
        return LeaseListResponse.decode(answer.frame, ANSWER_OFFSET).leases

    async def lease_info(self, lease_id: int) -> LeaseInfo:
        """One lease or session, as `leases` has it. Raises `NoLease`."""
        request = Request(OpCode.LEASE_INFO, LeaseInfoRequest(lease_id).encode(), is_repeatable=True)
        return LeaseInfo.decode((await self.session.call_extension(request)).frame, ANSWER_OFFSET)

    async def revoke_lease(self, key: LeaseKey) -> None:
        """End a lease and its znodes now.

        Raises `NoLease` if it has ended already; that may have been this call, if an answer was lost on the way.
        """
        body = LeaseRevokeRequest(key.id, key.secret).encode()
        await self.session.call_extension(Request(OpCode.LEASE_REVOKE, body, is_repeatable=True))

    async def end_lease(self, lease_id: int) -> None:
        """As an operator, end somebody's lease or session, and its znodes. Raises `NoLease` as `revoke_lease` does.

        Raises `NotOperator`, whose text says what makes one: credentials of `super`, or to connect from the
        server's own machine. A session's client hears of it at once, as `SessionExpired`; whoever holds a lease,
        with its next keep-alive: until then both he and the next holder of a znode may believe that it is theirs.
        """
        body = EndLeaseRequest(lease_id).encode()
        await self.session.call_extension(Request(OpCode.END_LEASE, body, is_repeatable=True))

    async def snapshot(self) -> SnapshotResponse:
        """As an operator, have the server that we are connected to write its state to its disk, and wait for it.

        It does so by itself as its log grows; before a copy of its directory is taken, or its disk is full, one may be
        wanted at once. The answer has everything that was applied when it was asked for. Raises `NotOperator` as
        `end_lease` does.
        """
        request = Request(OpCode.SNAPSHOT, SnapshotRequest().encode(), is_repeatable=True)
        answer = await self.session.call_extension(request)
        return SnapshotResponse.decode(answer.frame, ANSWER_OFFSET)

    async def change_members(
        self, joining: Sequence[JoiningMember] = (), leaving: Sequence[int] = (), *, version: int = -1
    ) -> None:
        """As an operator, begin a change of the cluster's members; `status()["change"]` tells how it goes.

        Whoever joins gets a vote by itself as soon as it has caught up, unless it is to be a learner; with `leaving`
        in the same change, that is when the others lose theirs. A member that is there already may get another
        address or part. `version`: index of the configuration that is meant, -1 for whichever there is (`BadVersion`).
        Raises `ChangeRefused`, whose text says why, and `NotOperator` as `end_lease` does.
        """
        body = ChangeMembersRequest(list(joining), list(leaving), version).encode()
        await self.session.call_extension(Request(OpCode.CHANGE_MEMBERS, body, is_repeatable=False))

    async def transfer_leadership(self, to: int = 0) -> None:
        """As an operator, have the leader, which we must be connected to, hand over to member `to`, or to any voter.

        Returns when it has begun; who leads is in `status()`. Raises `NotLeader`, `ChangeRefused` if it cannot be, and
        `NotOperator` as `end_lease` does.
        """
        body = TransferLeadershipRequest(to).encode()
        await self.session.call_extension(Request(OpCode.TRANSFER_LEADERSHIP, body, is_repeatable=True))

    # Recipes.

    def lock(
        self,
        path: str,
        *,
        name: str | None = None,
        timeout: float | None = None,
        margin: float = 0.0,
        layout: Layout = "kazoo",
        extra_patterns: tuple[str, ...] = (),
    ) -> Lock:
        """`async with client.lock(path) as held: …`: see `coord_client.recipes.lock`."""
        from coord_client.recipes.lock import Lock  # noqa: PLC0415  (recipes import the client)

        return Lock(self, path, name=name, timeout=timeout, margin=margin, layout=layout, extra_patterns=extra_patterns)

    def election(
        self,
        path: str,
        *,
        name: str | None = None,
        timeout: float | None = None,
        margin: float = 0.0,
        layout: Layout = "kazoo",
    ) -> Election:
        """`async with client.election(path) as leadership: …`: see `coord_client.recipes.election`."""
        from coord_client.recipes.election import Election  # noqa: PLC0415  (recipes import the client)

        return Election(self, path, name=name, timeout=timeout, margin=margin, layout=layout)

    def start_soon(self, function: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        """Run something in the background, until the client's scope ends; after that, nothing.

        It must deal with its errors itself.
        """
        if not self.session.is_closed:
            self._tasks.start_soon(function, *args)

    # Paths.

    def _full(self, path: str, to_validate: str | None = None) -> str:
        """The server's path. Raises `BadArguments` for what is none."""
        validate_path(path if to_validate is None else to_validate)
        if not self._chroot:
            return path
        return self._chroot if path == "/" else self._chroot + path

    def _shown(self, path: str) -> str:
        return self.session.watches.shown(path)
