"""A queue whose consumers hold an item while they work on it: nothing is lost when they die.

    queue = LockingQueue(client, "/jobs")
    await queue.put(b"resize 7.jpg", priority=50)     # 0 goes first, 999 last

    async with queue.take() as item:                  # waits for an item that nobody works on
        await resize(item.value)                      # consumed when the body ends; given back if it raises

Layout and rules are those of kazoo's `LockingQueue`, so that both can put and take: items are znodes
`entries/entry-<priority>-<number>`; who works on one has an ephemeral znode of the same name in `taken`.
Lower priorities first, within one the order in which they came; an item that was given back keeps its place.
(Curator's queues have other layouts.) A take lists the queue: make it no longer than some thousand items.

At least once: an item that was put stays until a consumer's body has ended without an error. No two have it
at once: the body is cancelled, and `LockLost` raised after it, before the item can be another's, which is
when our session might have ended; also if somebody deletes our znode in `taken`. What a body writes to the
tree happens exactly once if it is written together with the consumption: `await item.consume(Set(…), …)`.

A session's end: items that its consumers held are free again. Lost answers: a put happens once, by a receipt
(`coord_client.receipts`); a take is known by unique data; a consumption is repeated until it is answered.
Only if the session ends, or no server is reached, before the outcome is known, the error (`SessionExpired`,
`ConnectionLost`, `LockLost`) leaves open whether it happened. Fairness: consumers that find nothing stand in
line (a lock at `waiting`), and only the first in line is woken; but one that comes just when an item is free
may get it before them. kazoo's consumers stand in no line.
"""

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import anyio

from coord_client.client import Client
from coord_client.recipes.claims import Claim
from coord_client.recipes.lock import Lock
from coord_client.recipes.queue import DEFAULT_PRIORITY, entry_prefix, in_order
from coord_client.retry import until_answered
from coord_client.tenure import Tenure
from coord_client.transaction import Create, Delete, Op
from coord_client.watches import Change
from coord_protocol.errors import (
    ApiError,
    ConnectionLost,
    LocalProtocolError,
    LockLost,
    LockTimeout,
    NodeExists,
    NoNode,
    RequestTimeout,
    SessionExpired,
)
from coord_protocol.paths import join, split


class Item:
    """An item, while it is ours to work on."""

    def __init__(self, client: Client, path: str, value: bytes, claim: Claim, tenure: Tenure) -> None:
        self.path = path
        _, self.name = split(path)
        """`entry-<priority>-<number>`: the same whenever somebody works on it."""
        self.value = value
        self.token = claim.token
        """The zxid at which it became ours: higher than that of everybody who had it before us."""
        self.is_over = False
        """Whether it is consumed or given back."""
        self._client = client
        self._claim = claim
        self._tenure = tenure
        self._is_definite = True
        """False while, for all we know, it may be consumed."""

    def check(self) -> None:
        """Raises `LockLost` if work on it must stop: for code that cancellation does not reach."""
        if self._tenure.ended is not None:
            raise self._lost(self._tenure.ended)

    async def consume(self, *operations: Op) -> None:
        """Take the item out of the queue now, in one transaction with `operations`; then leave the body.

        Raises the error of the operation at fault, with an `op_index` that counts `operations` only; the item
        is still ours then. Raises `LockLost` if it was not ours any more.
        """
        if self.is_over:
            raise LocalProtocolError(f"{self.path} is consumed or given back already")
        while not self.is_over:
            # In our session or not at all: in the next, a claim of this name may be somebody else's.
            if self._client.session_id != self._claim.session_id:
                raise self._lost("the session has expired")
            was_definite, self._is_definite = self._is_definite, False
            try:
                await self._client.multi([Delete(self.path), Delete(self._claim.path), *operations])
                self.is_over = True
            except (ConnectionLost, RequestTimeout) as error:
                self._is_definite = was_definite and error.definite
                if error.definite:
                    raise ConnectionLost(str(error), definite=was_definite) from None
            except SessionExpired as error:
                self._is_definite = was_definite and error.definite
                raise self._lost(str(error)) from error
            except ApiError as error:
                self._is_definite = was_definite and error.definite
                if isinstance(error, NoNode) and error.op_index == 0 and not was_definite:
                    self.is_over = True  # an earlier try went through: only who holds the item may consume it
                elif isinstance(error, NoNode) and error.op_index in (0, 1):
                    raise self._lost("somebody deleted it, or our claim to it") from error
                else:
                    if error.op_index is not None:
                        error.op_index -= 2
                    raise
        self._claim.forget()

    def give_back(self) -> None:
        """End the body here: it is cancelled, and then the item is free again. No `LockLost` follows."""
        self.is_over = True
        self._tenure.give_up()

    def _on_touched(self, what: str) -> None:
        """Something happened to our znode in `taken`, if it was not our own transaction."""
        if self._is_definite:
            self._tenure.end(what)

    def _lost(self, why: str) -> LockLost:
        """The error for it."""
        outcome = "" if self._is_definite else "; it may have been consumed by us"
        error = LockLost(f"{self.path}: {why}{outcome}")
        error.definite = self._is_definite
        return error


class _Search:
    """What a consumer has got so far."""

    def __init__(self) -> None:
        self.claim: Claim | None = None
        self.item: Item | None = None
        self.tenure: Tenure | None = None


class LockingQueue:
    """See the module's head. Any number of takes may be under way through one object."""

    def __init__(self, client: Client, path: str) -> None:
        self.path = path
        self._client = client
        self._entries = join(path, "entries")
        self._taken = join(path, "taken")
        self._waiting = join(path, "waiting")

    # Putting.

    async def put(self, value: bytes, priority: int = DEFAULT_PRIORITY) -> None:
        """Return when the item is in the queue for good. Makes missing parents."""
        await self.put_all([value], priority)

    async def put_all(self, values: Iterable[bytes], priority: int = DEFAULT_PRIORITY) -> None:
        """All of them together or none, in one transaction of at most a megabyte."""
        prefix = join(self._entries, entry_prefix(priority))
        creates = [Create(prefix, value, sequence=True) for value in values]
        while creates:
            try:
                await self._client.receipts.commit(*creates)
                return
            except NoNode:
                await self._make_paths()

    async def size(self) -> int:
        """How many items there are, with those that somebody works on."""
        try:
            return len(in_order(await self._client.get_children(self._entries)))
        except NoNode:
            return 0

    async def _make_paths(self) -> None:
        await until_answered(lambda: self._client.ensure_path(self._entries))
        await until_answered(lambda: self._client.ensure_path(self._taken))

    # Taking.

    @asynccontextmanager
    async def take(self, *, timeout: float | None = None) -> AsyncIterator[Item]:
        """`async with queue.take() as item: …`: the first item that is free.

        Raises `LockTimeout` if there was none for `timeout` seconds (0: only look), and `ConnectionLost`;
        nothing of ours is left behind then. At the end, raises `LockLost` if the item is not ours any more.
        """
        search = _Search()
        lost = None
        try:
            item = await self._find(search, timeout)
            tenure, claim = search.tenure, search.claim
            assert tenure is not None
            assert claim is not None, "an item without a claim to it"
            try:
                with (
                    self._client.session.guarding(tenure, claim.session_id),
                    claim.telling(item._on_touched),
                    tenure.scope,
                ):
                    yield item
                if not item.is_over:
                    lost = tenure.lost
            finally:
                tenure.give_up()
            if lost is None and not item.is_over:
                await item.consume()
        finally:
            if search.claim is not None:
                await search.claim.leave()
        if lost is not None:
            raise item._lost(lost)

    async def _find(self, search: _Search, timeout: float | None) -> Item:
        with anyio.CancelScope() as scope:
            if timeout:
                scope.deadline = anyio.current_time() + timeout
            await self._claim_one_of(await self._free(), search)
            while search.item is None and timeout != 0:
                try:
                    await self._stand_in_line(search)
                except (LockLost, SessionExpired):
                    continue  # the place in line went with the session, or with somebody's delete
        if search.item is None:
            raise LockTimeout(f"{self.path}: no item in {timeout:g} s")
        return search.item

    async def _stand_in_line(self, search: _Search) -> None:
        """Return with an item. Only the first in line looks out for one."""
        async with Lock(self._client, self._waiting):
            while search.item is None:
                woken = anyio.Event()
                names, changes = await self._free_and_watch(woken)
                try:
                    if names:
                        await self._claim_one_of(names, search)
                    else:
                        await woken.wait()  # ends with the session, too, as the lock does
                finally:
                    for change in changes:
                        change.cancel()

    async def _free(self) -> list[str]:
        try:
            entries = await self._client.get_children(self._entries)
            taken = await self._client.get_children(self._taken)
        except NoNode:
            return []
        return in_order(list(set(entries).difference(taken)))

    async def _free_and_watch(self, woken: anyio.Event) -> tuple[list[str], list[Change]]:
        """Items that are free, and what sets `woken` when there may be others."""
        changes: list[Change] = []
        try:
            while True:
                try:
                    entries, put = await self._client.get_children_and_watch(self._entries)
                    changes.append(put)
                    taken, freed = await self._client.get_children_and_watch(self._taken)
                    changes.append(freed)
                    break
                except NoNode:
                    await self._make_paths()
        except BaseException:
            for change in changes:
                change.cancel()
            raise
        for change in changes:
            change.on_fire = lambda _: woken.set()
        return in_order(list(set(entries).difference(taken))), changes

    async def _claim_one_of(self, names: list[str], search: _Search) -> None:
        for name in names:
            # Data of its own for each claim: so we know it for ours if the answer to the create is lost.
            unique = os.urandom(16).hex()
            entry = join(self._entries, name)
            search.claim = Claim(self._client, self._taken, name, unique, sequence=False, needed=entry)
            try:
                await search.claim.stand()
                value, _ = await self._client.get(entry)
            except (NodeExists, NoNode):  # somebody else has taken it meanwhile, and may have consumed it
                await search.claim.leave()
                search.claim = None
            else:
                search.tenure = Tenure(self._client.session_deadline)
                search.item = Item(self._client, entry, value, search.claim, search.tenure)
                return
