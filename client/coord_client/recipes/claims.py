"""An ephemeral znode of ours that stands for a right, or for the wish for it.

The hard part is to know whether it is there. The answer to a create may be lost, or its caller cancelled
before it comes; so the znode's name begins with what no other znode's does, and is looked for before another
is created, and before we believe that there is nothing to delete (an idea of Netflix Curator). Whoever is
done with a claim calls `leave`, which never fails: what cannot be deleted now is deleted in the background
after the reconnect, or goes with its session.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import anyio

from coord_client.client import Client
from coord_client.retry import until_answered
from coord_client.session import SessionState
from coord_client.transaction import Check, Create
from coord_client.watches import Change, WatchEvent
from coord_protocol.errors import ConnectionLost, CoordError, NodeExists, NoNode, RequestTimeout
from coord_protocol.paths import join

LEAVE_TIMEOUT: Final = 1.0  # for a delete while the caller waits; past it, the background goes on


class Claim:
    """See the module's head. `prefix` is how its name begins, and that of no other znode below `parent`.

    Without `sequence`, `prefix` is all of its name. If others may want a znode of that name, too, `name` is to
    be unique instead: `stand` raises `NodeExists` while theirs is there. With `needed`, the znode is created
    only while that path exists; `stand` raises `NoNode` if it does not.
    """

    def __init__(
        self, client: Client, parent: str, prefix: str, name: str, *, sequence: bool = True, needed: str | None = None
    ) -> None:
        self.path = join(parent, prefix)
        self.name = name
        """Its data: who we are, for others to see."""
        self.session_id = 0
        """Of the session that owns the znode, or that was asked to create it; 0 while there is none."""
        self.znode: str | None = None
        """None before the create is answered: it may be there or not."""
        self.token = 0
        """The zxid of its creation."""
        self.version = 0
        self.remove: Callable[[], Awaitable[None]] = self._delete
        """How `leave` takes the znode away, once it is known."""
        self._client = client
        self._parent = parent
        self._prefix = prefix
        self._sequence = sequence
        self._checks = () if needed is None else (Check(needed),)
        self._change: Change | None = None
        self._touched: str | None = None
        self._on_touched: Callable[[str], object] | None = None

    # Making it.

    async def stand(self) -> str:
        """The znode: created if it is not there, and watched. Makes missing parents.

        Raises `SessionExpired`, `ConnectionLost`.
        """
        while True:
            if self.znode is None:
                await self._create()
            assert self.znode is not None, "created without a name"
            if await self.watch():
                return self.znode

    async def watch(self) -> bool:
        """Keep an eye on the znode, and learn its token. False if it is gone."""
        assert self.znode is not None, "nothing to watch"
        if self._change is not None and self._touched is None:
            return True
        try:
            (_, stat), change = await self._client.get_and_watch(self.znode)
        except NoNode:
            self.forget()
            return False
        self._change, self._touched = change, None
        change.on_fire = self._touch
        self.token, self.version = stat.czxid, stat.version
        return True

    async def _create(self) -> None:
        """Create the znode, unless an earlier try has."""
        while self.znode is None:
            await self._client.session.wait_connected()
            # The create goes out in just this session, or not at all: there is no pause before it is queued,
            # and what waits for a connection does not outlive a session.
            self.session_id = self._client.session_id
            try:
                self.znode = await self._request()
            except NoNode as error:
                if self._checks and error.op_index == 0:
                    self.forget()
                    raise
                await until_answered(lambda: self._client.ensure_path(self._parent))
            except NodeExists:
                self.forget()  # somebody else's: had an earlier try of ours been done, we would have found it
                raise
            except (ConnectionLost, RequestTimeout) as error:
                if error.definite:
                    raise
                await self.find()

    async def _request(self) -> str:
        data = self.name.encode()
        if not self._checks:
            return await self._client.create(self.path, data, ephemeral=True, sequence=self._sequence)
        results = await self._client.multi([*self._checks, Create(self.path, data, ephemeral=True)])
        return str(results[-1])

    async def find(self) -> None:
        """Look for the znode of a create whose answer was lost."""
        # The new server may lag behind what the old one has passed on; after the sync it does not.
        await self._client.sync(self._parent)
        try:
            if not self._sequence:
                data, stat = await self._client.get(self.path)
                if data == self.name.encode() and stat.ephemeral_owner == self.session_id:
                    self.znode = self.path
                return
            children = await self._client.get_children(self._parent)
        except NoNode:
            return
        ours = [child for child in children if child.startswith(self._prefix)]
        if ours:
            self.znode = join(self._parent, ours[0])

    def forget(self) -> None:
        """The znode is gone: the next `stand` makes another, and `leave` has nothing to do."""
        self.znode = None
        self.session_id = 0
        self.unwatch()

    def unwatch(self) -> None:
        """What happens to the znode from now on is our own doing."""
        if self._change is not None:
            self._change.cancel()
            self._change = None

    # Somebody else's hands on it.

    @contextmanager
    def telling(self, call: Callable[[str], object]) -> Iterator[None]:
        """Within it, `call` is told when somebody changes or deletes the znode, also if that was before."""
        self._on_touched = call
        if self._touched is not None:
            call(self._touched)
        try:
            yield
        finally:
            self._on_touched = None

    async def wait_for(self, change: Change) -> bool:
        """Wait for the change of another znode. False if somebody touches ours before."""
        try:
            with anyio.CancelScope() as scope, self.telling(lambda _: scope.cancel()):
                await change.wait()
                return True
            return False
        finally:
            change.cancel()

    def _touch(self, event: WatchEvent) -> None:
        self._touched = f"somebody touched its znode: {event.type.name}"
        if self._on_touched is not None:
            self._on_touched(self._touched)

    # Giving it up.

    async def leave(self) -> None:
        """Take the znode away: now if possible, else as soon as possible."""
        self.unwatch()
        if self.session_id == 0:
            return
        with anyio.move_on_after(LEAVE_TIMEOUT, shield=True):
            if self._client.state is SessionState.CONNECTED and await self._try_leave():
                self.forget()
                return
        self._client.start_soon(self._leave_later)

    async def _leave_later(self) -> None:
        while not await self._try_leave():
            await anyio.lowlevel.checkpoint()

    async def _try_leave(self) -> bool:
        """True if there is no more to do. Waits for a connection, within the session's patience."""
        try:
            if self._client.session_id != self.session_id:
                return True  # it went with its session, or was never created
            if self.znode is None:
                await self.find()
            if self.znode is not None:
                await self.remove()
        except (ConnectionLost, RequestTimeout):
            return False
        except CoordError:
            return True  # gone, or not ours to delete: the session's end removes it in any case
        return True

    async def _delete(self) -> None:
        assert self.znode is not None, "nothing to delete"
        await self._client.delete(self.znode)
