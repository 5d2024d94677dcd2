"""A queue of contenders, for a right that is handed on in the order in which they came.

Each contender has a znode below the queue's path, ephemeral and sequential, whose name is
`<unique><infix><number>`. Which infixes a contender waits for makes the recipe: a lock waits for all before
it, a reader only for the writers before it. It watches the last one of these alone, so that a release wakes
one contender, and not all.

When that one is gone, one look at the queue (a round trip) decides, and it cannot be saved. Somebody before it
may be there still: then it has merely given up waiting. Nor is it enough that it was alone before us, though
nobody is ever put in before others: one transaction may have taken it and us out, as handing over does, and
the news of its end comes before that of ours. But nothing else is left to do then: a contender watches its own
znode from the start, so it has its token already, and hears at once of being taken out.

Two layouts, for the libraries that others use. They do not mix on one path:

    kazoo    <32 hex digits>__lock__<number>       readers: …__rlock__<number>
    curator  _c_<uuid>-lock-<number>               readers: …__READ__<number>, writers: …__WRIT__<number>

kazoo overlooks children with other names. Go's `zk.Lock` has Curator's names. Curator (5.x) counts every child
of the path as a contender, sorted by what follows the infix, or by the whole name if there is no infix: keep
nothing else there. Curator's readers watch the first writer before them and look again after each, we watch
the last one; its locks are re-entrant within a thread, ours are not. A `Revoker` of Curator's that asks for
the lock changes the holder's znode, which ends our right at once.
"""

import os
import re
import uuid
from typing import Final, Literal, NamedTuple

import anyio

from coord_client.client import Client
from coord_client.recipes.claims import Claim
from coord_client.transaction import Delete
from coord_protocol.errors import ApiError, LockTimeout, NoNode
from coord_protocol.paths import join, split

Layout = Literal["kazoo", "curator"]

READER_INFIXES: Final = ("__rlock__", "__READ__")


class Contender(NamedTuple):
    """Who stands in the queue, as everybody can see it."""

    name: str
    token: int
    """The fencing token that it has, or will have, as the holder: tokens of one queue only grow."""
    znode: str
    session_id: int

    @property
    def is_reader(self) -> bool:
        """Whether it wants to share a read/write lock with other readers."""
        _, name = split(self.znode)
        return any(infix in name for infix in READER_INFIXES)


class Rules(NamedTuple):
    """What a contender is called, and for whom it waits."""

    layout: Layout
    infix: str
    waits_for: tuple[str, ...]

    def new_prefix(self) -> str:
        """All of a name but its number; never the same again."""
        match self.layout:
            case "kazoo":
                return os.urandom(16).hex() + self.infix
            case "curator":
                return f"_c_{uuid.uuid4()}-{self.infix}"


LOCK_RULES: Final[dict[Layout, Rules]] = {
    "kazoo": Rules("kazoo", "__lock__", ("__lock__",)),
    "curator": Rules("curator", "lock-", ("lock-",)),
}
READ_RULES: Final[dict[Layout, Rules]] = {
    "kazoo": Rules("kazoo", "__rlock__", ("__lock__",)),
    "curator": Rules("curator", "__READ__", ("__WRIT__",)),
}
WRITE_RULES: Final[dict[Layout, Rules]] = {
    "kazoo": Rules("kazoo", "__lock__", ("__lock__", "__rlock__")),
    "curator": Rules("curator", "__WRIT__", ("__WRIT__", "__READ__")),
}


class Queue:
    """The queue below `path`, for contenders of one kind."""

    def __init__(self, client: Client, path: str, rules: Rules) -> None:
        self.path = path
        self._client = client
        self._rules = rules
        infixes = "|".join(re.escape(infix) for infix in sorted({rules.infix, *rules.waits_for}))
        self._parse = re.compile(rf"({infixes})(-?\d{{10}})$").search

    # Standing in it.

    def new_claim(self, name: str) -> Claim:
        """A contender that does not stand in the queue yet."""
        return Claim(self._client, self.path, self._rules.new_prefix(), name)

    async def win(self, claim: Claim, timeout: float | None) -> None:
        """Queue up, and wait for our turn.

        `timeout` 0: do not wait; None: for as long as it takes. Raises `LockTimeout`.
        """
        is_won = False
        with anyio.CancelScope() as scope:
            if timeout:
                scope.deadline = anyio.current_time() + timeout
            is_won = await self.wait_for_turn(claim, is_patient=timeout != 0)
        if not is_won:
            raise LockTimeout(f"{self.path}: not won in {timeout:g} s")

    async def wait_for_turn(self, claim: Claim, *, is_patient: bool = True) -> bool:
        """False if it is not our turn, and we will not wait. See the module's head."""
        while True:
            _, ours = split(await claim.stand())
            queue = await self._read()
            if ours not in queue:
                claim.forget()  # somebody took us out, so we queue up again
                continue
            names = list(queue)
            ahead = [name for name in names[: names.index(ours)] if queue[name] in self._rules.waits_for]
            if not ahead:
                return True
            if not is_patient:
                return False
            try:
                _, change = await self._client.get_and_watch(join(self.path, ahead[-1]))
            except NoNode:
                continue
            await claim.wait_for(change)

    async def _read(self) -> dict[str, str]:
        """Names of the contenders in order, and the infix of each."""
        try:
            children = await self._client.get_children(self.path)
        except NoNode:
            return {}
        numbered = sorted((int(match[2]), match.string, match[1]) for match in map(self._parse, children) if match)
        return {name: infix for _, name, infix in numbered}

    async def leave_to(self, claim: Claim, successor: str) -> None:
        """Leave the queue so that the contender with the znode `successor` is first in it.

        One transaction takes out us and all in between, who queue up anew when they see it; none of them was
        ever first. Those behind the successor keep their places. If it is gone, or may not be preferred, we
        just leave.
        """
        assert claim.znode is not None, "left without a place"
        while True:
            znodes = [join(self.path, name) for name in await self._read()]
            if claim.znode not in znodes:
                return
            behind = znodes[znodes.index(claim.znode) + 1 :]
            if successor not in behind:
                break
            skipped = behind[: behind.index(successor)]
            deletes = [Delete(znode) for znode in skipped]
            try:
                await self._client.transaction(Delete(claim.znode), *deletes).check(successor).commit()
                return
            except NoNode as error:
                if error.op_index == 0:
                    return
                # Otherwise one of the others has left meanwhile: look again.
            except ApiError:
                break
        await self._client.delete(claim.znode)

    # Looking at it.

    async def contenders(self) -> list[Contender]:
        """All in the queue, the holder first. Empty if nobody wants the right."""
        return await look_at(self._client, self.path, list(await self._read()))

    async def first(self) -> Contender | None:
        """The first in the queue, if there is one."""
        for name in await self._read():
            for contender in await look_at(self._client, self.path, [name]):
                return contender
        return None


async def look_at(client: Client, path: str, names: list[str]) -> list[Contender]:
    """Who the children `names` of `path` are; without those that are gone."""
    found = []
    for name in names:
        znode = join(path, name)
        try:
            data, stat = await client.get(znode)
        except NoNode:
            continue
        found.append(Contender(data.decode(errors="replace"), stat.czxid, znode, stat.ephemeral_owner))
    return found
