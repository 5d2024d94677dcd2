"""Who is there: members that come and go, and a view of them that is kept up to date.

    party = Party(client, "/workers", name="worker 7")
    async with party.join():
        ...                                            # we are a member

    async with party.watch_members() as views:
        async for members in views:                    # now, and after each change
            print(sorted(member.name for member in members))

Each member has an ephemeral znode below the path. Layouts are those of kazoo: that of its `Party` has the
name as data; with `shallow`, that of its `ShallowParty` has it in the znode's name, which spares a read per
member, and suits names that a path may hold. Curator's `GroupMember` has another.

A session's end: the member is gone from every view, but the body is not cancelled, since a membership is no
right that somebody else could get meanwhile. When a new session begins, the member joins again by itself, as
the same znode; so does a view go on. Members that hang, or are cut off, are seen until their session ends.
Lost answers: znodes have unique names, so that a member is there once however often its create is repeated;
who leaves while cut off is removed after the reconnect. Fairness: not needed; there is room for everybody.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final, NamedTuple

import anyio

from coord_client.client import Client
from coord_client.recipes.claims import Claim
from coord_client.session import SessionState
from coord_client.watches import Change
from coord_protocol.errors import BadArguments, CoordError, NoNode, SessionExpired
from coord_protocol.paths import join

PARTY_PATTERN: Final = "__party__"  # at the end of a znode's name, as kazoo's `Party` has it


class Member(NamedTuple):
    """A member, as everybody can see it. Names need not be unique; znodes are."""

    name: str
    znode: str


class Party:
    """See the module's head. `shallow`: names are in the names of znodes."""

    def __init__(self, client: Client, path: str, *, name: str | None = None, shallow: bool = False) -> None:
        self.path = path
        self.name = name if name is not None else client.name or ""
        self.shallow = shallow
        self._client = client

    # Being a member.

    @asynccontextmanager
    async def join(self) -> AsyncIterator[Member]:
        """`async with party.join(): …`; each time as a member of its own.

        Raises `ConnectionLost` or `SessionExpired` if joining fails, and `BadArguments` for a name that a path
        cannot hold, if `shallow`. Makes missing parents.
        """
        if self.shallow and "/" in self.name:
            raise BadArguments(self.path, f"{self.name!r} cannot be part of a znode's name")
        unique = os.urandom(16).hex()
        znode = f"{unique}-{self.name}" if self.shallow else f"{unique}{PARTY_PATTERN}"
        claim = Claim(self._client, self.path, znode, self.name, sequence=False)
        try:
            member = Member(self.name, await claim.stand())
            async with self._staying(claim):
                yield member
        finally:
            await claim.leave()

    @asynccontextmanager
    async def _staying(self, claim: Claim) -> AsyncIterator[None]:
        """Within it, the member joins again whenever a new session begins."""
        scope = anyio.CancelScope()
        ended = anyio.Event()

        async def stay() -> None:
            try:
                with scope, self._client.states() as states:
                    async for state in states:
                        if state is SessionState.CONNECTED and self._client.session_id != claim.session_id:
                            claim.forget()
                            with suppress(CoordError):  # if it fails, the next connection is the next chance
                                await claim.stand()
            finally:
                ended.set()

        self._client.start_soon(stay)
        try:
            yield
        finally:
            scope.cancel()
            with anyio.CancelScope(shield=True):
                await ended.wait()  # it must not create the znode after we have removed it

    # Seeing them.

    async def members(self) -> frozenset[Member]:
        """All who are there now."""
        try:
            children = await self._client.get_children(self.path)
        except NoNode:
            return frozenset()
        return await self._look_at(children, frozenset())

    @asynccontextmanager
    async def watch_members(self) -> AsyncIterator[AsyncIterator[frozenset[Member]]]:
        """`async with party.watch_members() as views: async for members in views: …`

        The members now, and after each change. Changes in quick succession may come as one. Raises
        `ConnectionLost` if no server is reached for the client's `retry_timeout` when it looks.
        """
        async with aclosing(self._views()) as views:
            yield views

    async def _views(self) -> AsyncGenerator[frozenset[Member], None]:
        shown: frozenset[Member] | None = None
        while True:
            children, change = await self._look_with_watch()
            try:
                members = await self._look_at(children, shown or frozenset())
                if members != shown:
                    yield members
                    shown = members
                with suppress(SessionExpired):
                    await change.wait()
            finally:
                change.cancel()

    async def _look_with_watch(self) -> tuple[list[str], Change]:
        while True:
            with suppress(NoNode):
                return await self._client.get_children_and_watch(self.path)
            stat, change = await self._client.exists_and_watch(self.path)
            if stat is None:
                return [], change
            change.cancel()

    async def _look_at(self, children: list[str], known: frozenset[Member]) -> frozenset[Member]:
        """The members that `children` are. Those `known` are not read again: names never change."""
        by_znode = {member.znode: member for member in known}
        members: list[Member] = []
        for child in children:
            znode = join(self.path, child)
            if znode in by_znode:
                members.append(by_znode[znode])
            elif self.shallow:
                members.append(Member(child[child.find("-") + 1 :], znode))
            elif PARTY_PATTERN in child:
                with suppress(NoNode):
                    members.append(Member((await self._client.get(znode)).data.decode(errors="replace"), znode))
        return frozenset(members)
