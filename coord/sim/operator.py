"""The operator of a simulated cluster: sees moves through, one after another, with the requests that real ones make.

It asks again what got no answer, waits while another change is under way, and takes no for an answer: a change that is
given up was given up. Only a server whose disk was lost has to come back properly, however often it takes.
"""

from collections import deque
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from coord.raft.types import MemberId
from coord.sim.moves import Add, Mistype, Order, Remove, Replace, ReplaceAll, Return, SwapPart, Wipe
from coord.sim.session import Script, Wait
from coord_protocol.errors import Code
from coord_protocol.extensions import ChangeMembersRequest, ExtensionFailure, JoiningMember
from coord_protocol.requests import OpCode

if TYPE_CHECKING:
    from coord.sim.client import Client
    from coord.sim.cluster import Cluster
    from coord.sim.world import World

LOOK_EVERY = 0.05
ASK_AGAIN = 0.2

MOST_VOTERS = 7
MOST_SERVERS = 12
"""More only make a run slow."""

Steps = Generator[Wait, None, bool]
"""Returns whether it was done."""


class Operator:
    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._orders: deque[tuple[float, Order]] = deque()
        """With the time from which they may be seen to."""
        self.is_busy = False
        """With a change of members, which costs clients of those that leave their connections."""

        self.wanted: tuple[MemberId, ...] = ()
        """The voters that there are to be when the present change is done."""

    def take(self, order: Order, not_before: float) -> None:
        self._orders.append((not_before, order))

    def script(self, client: "Client", world: "World") -> Script:
        while self._orders or not client.is_stopping:
            yield LOOK_EVERY
            if client.is_stopping:
                self._orders = deque(entry for entry in self._orders if isinstance(entry[1], Wipe))
            due = next((entry for entry in self._orders if entry[0] <= self._cluster.timeline.now), None)
            if due is not None:
                self._orders.remove(due)
                self.is_busy = True
                yield from self._carry_out(client, due[1])
                self.is_busy = False
                self._cluster.disturbed(0.0)

    def _carry_out(self, client: "Client", order: Order) -> Script:
        cluster = self._cluster
        match order:
            case Add(count=count, as_learners=as_learners, late=late):
                yield from self._add(client, count, as_learners, late)
            case Mistype():
                yield from self._change(client, [JoiningMember(cluster.unused(), "nowhere:2281", False)])
            case SwapPart():
                yield from self._swap_part(client)
            case Remove(member=number, stops=stops):
                yield from self._remove(client, cluster.member_at(number), stops)
            case Replace(member=number, is_dead=is_dead):
                yield from self._replace(client, [cluster.member_at(number)], is_dead)
            case ReplaceAll():
                yield from self._replace(client, list(cluster.configuration.voters), False)
            case Return(is_wiped=is_wiped):
                yield from self._return(client, is_wiped)
            case Wipe(member=number):
                yield from self._readmit(client, MemberId(number))

    # -- the moves

    def _add(self, client: "Client", count: int, as_learners: bool, late: float) -> Script:
        cluster = self._cluster
        if len(cluster.servers) + count > MOST_SERVERS or len(cluster.configuration.voters) + count > MOST_VOTERS:
            return
        new = [cluster.build(late) for _ in range(count)]
        is_done = yield from self._change(client, [_joining(member, as_learners) for member in new])
        if is_done:
            cluster.trace.mark("learner added" if as_learners else "voter added")
        self._leave(new)

    def _swap_part(self, client: "Client") -> Script:
        configuration = self._cluster.configuration
        if configuration.learners:
            yield from self._change(client, [_joining(configuration.learners[0], False)])
        elif self._cluster.can_spare(configuration.voters[-1:]):
            yield from self._change(client, [_joining(configuration.voters[-1], True)])

    def _remove(self, client: "Client", member: MemberId, stops: bool) -> Script:
        if not self._cluster.can_spare([member]):
            return
        is_done = yield from self._change(client, leaving=[member])
        if is_done:
            self._cluster.trace.mark("member removed")
            if stops:
                self._leave([member])

    def _replace(self, client: "Client", old: list[MemberId], is_dead: bool) -> Script:
        cluster = self._cluster
        if len(cluster.servers) + len(old) > MOST_SERVERS or cluster.lost(old):
            return
        if is_dead:
            if not cluster.may_lose(old[0]):
                return
            cluster.servers[old[0]].switch_off()
        is_done = False
        while not is_done:
            new = [cluster.build(0.0) for _ in old]
            joining = [_joining(member, old[0] in cluster.configuration.learners) for member in new]
            is_done = yield from self._change(client, joining, old)
            self._leave([*old, *new])
            if not is_dead:
                break
        if is_done:
            cluster.trace.mark("all replaced" if len(old) > 1 else "member replaced")

    def _return(self, client: "Client", is_wiped: bool) -> Script:
        cluster = self._cluster
        former = [member for member in cluster.servers if member not in cluster.configuration.members]
        if not former or len(cluster.configuration.voters) >= MOST_VOTERS:
            return
        member = former[0]
        server = cluster.servers[member]
        if is_wiped:
            cluster.give_new_disk(server)
        server.is_off = False
        server.start()
        is_done = yield from self._change(client, [_joining(member, False)])
        if is_done:
            cluster.trace.mark("member returned wiped" if is_wiped else "member returned")
        self._leave([member])

    def _readmit(self, client: "Client", member: MemberId) -> Script:
        cluster = self._cluster
        server = cluster.servers[member]
        is_learner = member in cluster.configuration.learners
        while member in cluster.configuration.members:
            yield from self._change(client, leaving=[member])
        cluster.give_new_disk(server)
        server.is_off = False
        while member not in cluster.configuration.members:
            if server.is_lost:  # once more, on its way
                cluster.give_new_disk(server)
            server.start()
            yield from self._change(client, [_joining(member, is_learner)])
        cluster.trace.mark("wiped member readmitted")

    def _leave(self, members: Sequence[MemberId]) -> None:
        """Machines that are members no more, or did not come to be, are switched off."""
        for member in members:
            if member in self._cluster.servers and member not in self._cluster.configuration.members:
                self._cluster.servers[member].switch_off()

    # -- one change

    def _change(
        self, client: "Client", joining: Sequence[JoiningMember] = (), leaving: Sequence[MemberId] = ()
    ) -> Steps:
        """Ask until there is an answer, and wait for the end."""
        cluster = self._cluster
        present, new = cluster.configuration.voters, [one.member for one in joining if not one.is_learner]
        gone = {*leaving, *[one.member for one in joining if one.is_learner]}
        self.wanted = tuple([MemberId(voter) for voter in {*present, *new} if voter not in gone])
        request = ChangeMembersRequest(list(joining), list(leaving), -1)
        while True:
            yield from client.connected()
            call = client.call(OpCode.CHANGE_MEMBERS, request)
            yield call
            if call.is_ok:
                break
            if call.error == Code.CHANGE_REFUSED:
                text = str(ExtensionFailure.decode(call.body).text)
                if cluster.members.desired is None and "ask again" not in text and "one change" not in text:
                    cluster.trace.tell(cluster.timeline.now, f"operator is refused: {text}")
                    break
            yield ASK_AGAIN
        while cluster.members.desired is not None:
            yield LOOK_EVERY
        self.wanted = ()
        members = cluster.configuration.members
        is_done = all(one.member in members for one in joining) and not any(one in members for one in leaving)
        failure = "" if is_done else cluster.members.failure
        cluster.trace.mark("change done" if is_done else "change given up")
        cluster.trace.tell(cluster.timeline.now, f"operator: members are {members} {failure}")
        return is_done


def _joining(member: MemberId, is_learner: bool) -> JoiningMember:
    return JoiningMember(member, address_of(member), is_learner)


def address_of(member: MemberId) -> str:
    """Where other members reach it; nobody dials it by that here."""
    return f"10.2.0.{member}:2281"
