"""Who wants to be the only one: a lock in the manner of the SDK, and leadership by a plain lease.

    lock    an ephemeral sequential child each; who has the lowest holds; the others watch the one before.
            The token is the czxid of the own child. Held until released, or until the own clock says that the
            session may be over (`Client.believes`), whichever comes first; an orphan of a lost reply is found
            again by its unique name.
    lease   a lease of its own by opcodes 1010-1012, and one key that is created under it: who creates it,
            leads. Held until the last confirmed keep-alive was sent, plus the ttl less the drift, by the own
            clock.

What each believes is told to `exclusivity` the moment it begins to believe it.
"""

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial

from coord.sim.client import Client
from coord.sim.exclusivity import Belief, Claim
from coord.sim.session import Call, News, Script, Session, Wait
from coord.sim.world import World, children, create, ensure, exists
from coord_protocol.errors import Code
from coord_protocol.extensions import (
    CreateWithLeaseRequest,
    LeaseAndSecret,
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseRevokeRequest,
)
from coord_protocol.records import OPEN_ACL_UNSAFE, Stat
from coord_protocol.requests import (
    Create2Response,
    CreateMode,
    DeleteRequest,
    ExistsResponse,
    GetChildren2Response,
    OpCode,
)


def lock(client: Client, world: World) -> Script:
    yield from ensure(client, "/l")
    count = 0
    while not client.is_stopping:
        yield world.pause()
        directory = f"/l/{world.chance.randrange(2)}"
        yield from ensure(client, directory)
        yield from client.connected()
        session = client.session
        if session is None or client.is_stopping:
            continue
        count += 1
        contender = Contender(client, world, session, directory, f"{client.number}.{count}-")
        if (yield from contender.enqueue()) and (yield from contender.wait_for_turn()):
            yield from contender.hold()
        yield from contender.leave()


class Contender:
    """One try of one session for one lock."""

    def __init__(self, client: Client, world: World, session: Session, directory: str, prefix: str) -> None:
        self.client = client
        self.world = world
        self.session = session
        self.directory = directory
        self.prefix = prefix
        self.name = ""
        self.token = 0
        self.claim: Claim | None = None

    @property
    def is_alive(self) -> bool:
        return self.client.session is self.session

    @property
    def path(self) -> str:
        return f"{self.directory}/{self.name}"

    def enqueue(self) -> Generator[Wait, None, bool]:
        """Create our child; after a lost reply look whether it is there before trying again."""
        client = self.client
        call = client.call(
            OpCode.CREATE2, create(f"{self.directory}/{self.prefix}", b"", CreateMode.EPHEMERAL_SEQUENTIAL)
        )
        yield call
        if call.is_ok:
            response = Create2Response.decode(call.body)
            self.name, self.token = response.path.rpartition("/")[2], response.stat.czxid
            return True
        while call.was_sent and not client.is_stopping:
            yield from client.connected()
            if not self.is_alive:
                return False
            names = yield from self._names()
            if names is not None:
                mine = [name for name in names if name.startswith(self.prefix)]
                if not mine:
                    return False
                self.name = mine[0]
                return (yield from self._read_token())
        return False

    def _read_token(self) -> Generator[Wait, None, bool]:
        while self.is_alive:
            yield from self.client.connected()
            call = exists(self.client, self.path, watch=False)
            yield call
            if call.is_ok:
                self.token = ExistsResponse.decode(call.body).stat.czxid
                return True
            if call.error == Code.NO_NODE:
                return False
        return False

    def _names(self) -> Generator[Wait, None, list[str] | None]:
        call = children(self.client, self.directory)
        yield call
        return GetChildren2Response.decode(call.body).children if call.is_ok else None

    def wait_for_turn(self) -> Generator[Wait, None, bool]:
        """Until ours is the lowest; False if the session ended, or its time is over."""
        while self.is_alive and not self.client.is_stopping:
            names = yield from self._names()
            if names is None:
                yield News(0.5)
                yield from self.client.connected()
                continue
            before = [name for name in names if name[-10:] < self.name[-10:]]
            if self.name not in names:
                return False
            if not before:
                return self._begin()
            predecessor = f"{self.directory}/{max(before, key=lambda name: name[-10:])}"
            call = exists(self.client, predecessor, watch=True)
            yield call
            while call.is_ok and self.is_alive and predecessor in self.session.sight.data_watches:
                if self.client.is_stopping:
                    return False
                yield News(1.0)
        return False

    def _begin(self) -> bool:
        client, session = self.client, self.session
        if not client.believes(session):
            return False
        self.claim = Claim(client.who, self.token, lambda: self.claim is not None and client.believes(session))
        self.world.exclusivity.begin(self.directory, self.claim)
        return True

    def hold(self) -> Script:
        """Some time of work, cancelled when the belief ends."""
        client = self.client
        until = client.timeline.now + self.world.chance.uniform(0.0, 0.6)
        while client.timeline.now < until and client.believes(self.session) and self.is_alive:
            yield 0.05
        claim, self.claim = self.claim, None
        if claim is not None:
            self.world.exclusivity.end(self.directory, claim)

    def leave(self) -> Script:
        """Take our child away, if the session still lives."""
        while self.is_alive:
            yield from self.client.connected()
            if not self.is_alive:
                return
            if not self.name:
                names = yield from self._names()
                if names is None:
                    continue
                mine = [name for name in names if name.startswith(self.prefix)]
                if not mine:
                    return
                self.name = mine[0]
            call = self.client.call(OpCode.DELETE, DeleteRequest(self.path, -1))
            yield call
            if call.error is not None:
                return


# -- leases


@dataclass(slots=True)
class Grant:
    """A lease as its holder knows it."""

    id: int
    secret: bytes
    ttl: float
    believed_until: float
    """By the client's own clock."""

    is_given_up: bool = False


def lease(client: Client, world: World) -> Script:
    yield from ensure(client, "/x")
    while not client.is_stopping:
        yield world.pause()
        yield from client.connected()
        grant = yield from _granted(client, world)
        if grant is None:
            continue
        key = f"/x/{world.chance.randrange(2)}"
        stat = yield from _contend(client, grant, key)
        if stat is not None and _believes(client, grant):
            claim = Claim(f"{client.who} by lease {grant.id}", stat.czxid, partial(_believes, client, grant))
            world.exclusivity.begin(key, claim)
            yield from _lead(client, world, grant)
            world.exclusivity.end(key, claim)
        grant.is_given_up = True
        if world.chance.random() < 0.7:  # the others wait until it has run out
            yield client.call(OpCode.LEASE_REVOKE, LeaseRevokeRequest(grant.id, grant.secret))


def _believes(client: Client, grant: Grant) -> bool:
    return not grant.is_given_up and client.clock.now() < grant.believed_until


def _granted(client: Client, world: World) -> Generator[Wait, None, Grant | None]:
    request = LeaseGrantRequest(world.chance.randint(1000, 2500), f"holder {client.number}", b"", 0)
    grants: list[Grant] = []

    def on_answer(call: Call) -> None:
        if call.is_ok:
            response = LeaseGrantResponse.decode(call.body)
            assert response.secret is not None
            length = response.ttl_ms / 1000
            until = call.sent_at + length * (1 - client.habits.drift)
            grant = Grant(response.lease_id, response.secret, length, until)
            grants.append(grant)
            world.book.granted(
                grant.id, Belief(client.who, lambda: _believes(client, grant), lambda: grant.is_given_up)
            )

    yield client.call(OpCode.LEASE_GRANT, request, on_answer)
    return grants[0] if grants else None


def _contend(client: Client, grant: Grant, key: str) -> Generator[Wait, None, Stat | None]:
    """Try to create the key under our lease until it is ours; None if the lease's time is over."""
    request = CreateWithLeaseRequest(key, b"", OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL, grant.id, grant.secret)
    while _believes(client, grant) and not client.is_stopping:
        yield from client.connected()
        call = client.call(OpCode.CREATE_WITH_LEASE, request)
        yield call
        if call.is_ok:
            return Create2Response.decode(call.body).stat
        found = exists(client, key, watch=call.error == Code.NODE_EXISTS)
        yield found
        if found.is_ok:
            stat = ExistsResponse.decode(found.body).stat
            if stat.ephemeral_owner == grant.id:
                return stat
            yield News(0.3)
        if call.error not in (None, Code.NODE_EXISTS, Code.SESSION_EXPIRED, Code.SESSION_MOVED):
            return None
        if not _keep_alive(client, grant):
            yield News(0.2)
    return None


def _lead(client: Client, world: World, grant: Grant) -> Script:
    until = client.timeline.now + world.chance.uniform(0.0, 1.5)
    while client.timeline.now < until and _believes(client, grant) and not client.is_stopping:
        _keep_alive(client, grant)
        yield min(grant.ttl / 4, 0.3)


def _keep_alive(client: Client, grant: Grant) -> bool:
    """Send a keep-alive; its confirmation, if one comes, counts from now. False if it was not even sent."""

    def on_answer(call: Call) -> None:
        if call.is_ok and LeaseKeepAliveResponse.decode(call.body).remaining_ms == [-1]:
            grant.believed_until = 0.0
        elif call.is_ok and client.clock.now() < grant.believed_until:
            until = call.sent_at + grant.ttl * (1 - client.habits.drift)
            grant.believed_until = max(grant.believed_until, until)

    request = LeaseKeepAliveRequest([LeaseAndSecret(grant.id, grant.secret)])
    return client.call(OpCode.LEASE_KEEP_ALIVE, request, on_answer).was_sent
