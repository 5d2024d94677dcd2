"""Random schedules: a cluster in bad weather, drawn from a seed, and what it must do when the sky clears.

Every member works in turns like the real driver: what arrives waits in its inbox, and a turn takes all of it.
The weather decides how long messages, disks and turns take, what is lost or repeated, who crashes with all
that was not durable, which directions of which links are cut, and what the transport reports, true or not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from random import Random

from coord.raft import UNTOLD, Config, Configuration, MemberId, Place, Raft, Seat
from coord.raft.follower import Follower

from .cluster import Cluster, Letter

NEVER = float("inf")
MOST_VOTERS = 5
MOST_MEMBERS = 9
"""That ever were."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad it is: probabilities per message, rates per second, the longest times of each draw."""

    loss: float = 0.0
    repeats: float = 0.0
    delay: float = 0.002
    turn: float = 0.001
    disk: float = 0.003
    crashes: float = 0.0
    cuts: float = 0.0
    coups: float = 0.0
    pauses: float = 0.0
    false_alarms: float = 0.0
    transfers: float = 0.0
    snapshots: float = 0.0
    cuts_of_logs: float = 0.0
    fetch: float = 0.01
    damage: float = 0.0
    proposals: float = 50.0
    reads: float = 20.0
    changes: float = 0.0
    retirements: float = 0.0

    @classmethod
    def draw(cls, rng: Random) -> "Weather":
        """Each kind of trouble is on or off, and at another strength, in each seed."""

        def some(chance: float, strongest: float) -> float:
            return rng.random() * strongest if rng.random() < chance else 0.0

        return cls(
            loss=some(0.5, 0.3),
            repeats=some(0.5, 0.5),
            delay=rng.choice((0.002, 0.02, 0.2, 1.5)),
            turn=rng.choice((0.0005, 0.005, 0.05)),
            disk=rng.choice((0.001, 0.02, 0.3)),
            crashes=some(0.6, 1.5),
            cuts=some(0.5, 3.0),
            coups=some(0.5, 2.0),
            pauses=some(0.3, 1.0),
            false_alarms=some(0.3, 3.0),
            transfers=some(0.3, 1.0),
            snapshots=some(0.7, 100.0),
            cuts_of_logs=some(0.9, 100.0),
            fetch=rng.choice((0.001, 0.05, 1.0)),
            damage=some(0.3, 0.5),
            proposals=rng.choice((5.0, 50.0, 300.0)),
            reads=rng.choice((5.0, 50.0)),
            changes=some(0.6, 20.0),
            retirements=some(0.5, 5.0),
        )


CLEAR = Weather(snapshots=2.0, cuts_of_logs=2.0)


class Storm:
    """One cluster, one seed, virtual time."""

    def __init__(
        self,
        seed: int,
        size: int | None = None,
        weather: Weather | None = None,
        limits: Config | None = None,
        rates: Mapping[MemberId, float] | None = None,
    ) -> None:
        self.rng = rng = Random(seed)
        size = size or rng.choice((1, 2, 3, 3, 3, 3, 4, 5, 5))
        self.weather = weather or Weather.draw(rng)
        self.cluster = Cluster(size, rng.random, limits or _draw_limits(rng, self.weather), rates=rates)
        self.members: list[MemberId] = []
        self.stopped: set[MemberId] = set()
        """Members that were retired; they start again only if they are added again, with the disk they had."""
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._inboxes: dict[MemberId, list[Callable[[], None]]] = {}
        self._turns: dict[MemberId, float] = {}
        """When each member's next turn is due."""
        self._paused_until: dict[MemberId, float] = {}
        self._disk_busy: dict[MemberId, int] = {}
        """The life in which each member's disk works on something; 0 for none."""
        self.cuts: set[tuple[MemberId, MemberId]] = set()
        """Directions in which nothing gets through."""
        self._fetching: dict[MemberId, tuple[MemberId, Place] | None] = {}
        """What each member fetches or loads."""
        self.installed = 0
        """How many snapshots were installed."""
        for member in self.cluster.members:
            self._admit(member)
        for member in self.members:
            self._after_turn(member)
        for rate, act in (
            ("crashes", self._crash_somebody),
            ("cuts", self._cut_something),
            ("coups", self._cut_off_leader),
            ("pauses", self._pause_somebody),
            ("false_alarms", self._alarm_somebody),
            ("transfers", self._transfer),
            ("snapshots", self._take_snapshot),
            ("cuts_of_logs", self._cut_logs),
            ("proposals", self._propose),
            ("reads", self._read),
            ("changes", self._change_members),
            ("retirements", self._retire_somebody),
        ):
            self._repeat(rate, act)

    @property
    def now(self) -> float:
        """Virtual time in seconds."""
        return self.cluster.now

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass; returns whether `until` became true, at once when it does."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.cluster.now, _, act = heappop(self._events)
            act()
            if until is not None and until():
                return True
        self.cluster.now = end
        return False

    def clear_up(self) -> None:
        """From now on everything works; what is on its way still arrives."""
        self.weather = CLEAR
        self.cuts.clear()
        for member in self.members:
            self._paused_until[member] = 0.0
            self._restart_if_down(member)
            self._wake(member, self.now)
        for member in sorted(self.stopped & self.wanted()):
            self.restart(member)

    def wanted(self) -> set[MemberId]:
        """Who is a member by anything that may still count."""
        return self._wanted_by_others(None)

    def _wanted_by_others(self, but: MemberId | None) -> set[MemberId]:
        """Who is one by anything that others than `but` know."""
        logs = [raft.log for raft in self.cluster.alive.values() if raft.member != but]
        return {member for log in logs for one in log.memberships for member in one.configuration.members}

    # Turns.

    def post(self, member: MemberId, act: Callable[[], None]) -> None:
        """Something arrives at a member; its next turn takes it in."""
        if self.cluster.members[member].raft is not None:
            self._inboxes[member].append(act)
            self._wake(member, self.now + self.rng.random() * self.weather.turn)

    def at(self, time: float, act: Callable[[], None]) -> None:
        """Let something happen at that time."""
        self._number += 1
        heappush(self._events, (time, self._number, act))

    def _wake(self, member: MemberId, time: float) -> None:
        time = max(time, self._paused_until[member], self.now)
        if time < self._turns[member]:
            self._turns[member] = time
            self.at(time, lambda: self._turn(member, time))

    def _turn(self, member: MemberId, time: float) -> None:
        if self._turns[member] != time:
            return  # an earlier turn came between
        self._turns[member] = NEVER
        if self._paused_until[member] > time:
            self._wake(member, time)
            return
        inbox, self._inboxes[member] = self._inboxes[member], []
        self.cluster.advance(member)
        for act in inbox:
            act()
        self.cluster.end_turn(member)
        self._after_turn(member)

    def _after_turn(self, member: MemberId) -> None:
        raft = self.cluster.members[member].raft
        if raft is None:
            return
        for letter in self.cluster.wire:
            self._send(letter)
        self.cluster.wire.clear()
        self._work_disk(member)
        self._fetch(member, raft)
        self._wake(member, self.cluster.time_of(member, raft.next_deadline()))

    def _send(self, letter: Letter) -> None:
        if (letter.sender, letter.to) in self.cuts or self.rng.random() < self.weather.loss:
            return
        copies = 1
        while self.rng.random() < self.weather.repeats:
            copies += 1
        for _ in range(copies):
            arrival = self.now + self.rng.random() * self.weather.delay
            self.at(arrival, lambda: self.post(letter.to, lambda: self.cluster.deliver(letter)))

    def _work_disk(self, number: MemberId) -> None:
        member = self.cluster.members[number]
        life = member.config.incarnation
        if not member.disk.queue or self._disk_busy[number] == life:
            return
        self._disk_busy[number] = life

        def finish() -> None:
            if member.config.incarnation == life and member.raft is not None:
                self._disk_busy[number] = 0
                self.cluster.write(number)
                self.at(self.now + self.rng.random() * self.weather.turn, answer)
                self._work_disk(number)

        def answer() -> None:
            if member.config.incarnation == life:
                self.post(number, lambda: self.cluster.answer(number))

        self.at(self.now + self.rng.random() * self.weather.disk, finish)

    # Snapshots.

    def _take_snapshot(self) -> None:
        """Somebody writes its state down, in its own time; it learns about it some time after that."""
        number = self.rng.choice(self.members + self._leaders())
        member = self.cluster.members[number]
        if member.raft is None or member.applied <= member.raft.snapshot.index:
            return
        life, place = member.config.incarnation, self.cluster.snapshot_place(number)

        def finish() -> None:
            if member.config.incarnation == life and member.raft is not None:
                member.disk.save_snapshot(place)
                self.at(self.now + self.rng.random() * self.weather.turn, answer)

        def answer() -> None:
            if member.config.incarnation == life:
                self.post(number, lambda: self.cluster.snapshot_saved(number, place))

        self.at(self.now + self.rng.random() * self.weather.fetch, finish)

    def _cut_logs(self) -> None:
        """Somebody forgets runs in memory, somebody on its disk."""
        number, chance = self.rng.choice(self.members + self._leaders()), self.rng.choice((0.5, 1.0, 1.0))
        self.post(number, lambda: self.cluster.compact(number, chance))
        self.cluster.members[self.rng.choice(self.members)].disk.cut()

    def _fetch(self, number: MemberId, raft: Raft) -> None:
        """Fetch what is on offer, one at a time, to the end: the offer may be another or none by then."""
        if not isinstance(raft.role, Follower) or raft.role.offer is None or self._fetching[number] is not None:
            return
        member = self.cluster.members[number]
        life = member.config.incarnation
        self._fetching[number] = offer = raft.role.offer
        leader, place = offer

        def arrive() -> None:
            if self._fetching[number] is not offer:
                return
            if (leader, number) in self.cuts or self.rng.random() < self.weather.loss:
                self._fetching[number] = None  # the offer is still there, or comes again
                return
            self.cluster.fetched(number, place)
            self.at(self.now + self.rng.random() * self.weather.fetch, load)

        def load() -> None:
            if member.config.incarnation == life and self._fetching[number] is offer:
                self._fetching[number] = None
                for _ in range(1 + (self.rng.random() < self.weather.repeats)):
                    self.post(number, install)

        def install() -> None:
            self.installed += self.cluster.install(number, place)

        self.at(self.now + self.rng.random() * self.weather.fetch, arrive)

    # Trouble.

    def crash(self, number: MemberId) -> None:
        """Kill a member; the others' transports notice, or not."""
        self.cluster.crash(number, torn=self.rng.randrange(3))
        self._fetching[number] = None
        if self.rng.random() < self.weather.damage:
            self.cluster.members[number].disk.damage_snapshot()
        self._inboxes[number].clear()
        self._turns[number] = NEVER
        for other in self.members:
            if other != number and self.rng.random() < 0.7:
                self._report(other, number, self.cluster.lose_connection)

    def kill(self, number: MemberId) -> None:
        """Kill a member so that all others notice; its last words may arrive before that or after."""
        self.cluster.crash(number)
        self._fetching[number] = None
        self._inboxes[number].clear()
        self._turns[number] = NEVER
        for other in self.cluster.alive:
            self._report(other, number, self.cluster.lose_connection)

    def hand_over(self, number: MemberId) -> None:
        """Tell a leader to find a successor."""
        raft = self.cluster.alive[number]
        self.post(number, lambda: raft.transfer_leadership(self.cluster.clock(number)))

    def restart(self, number: MemberId) -> None:
        """Start a member that is down; the others' transports notice, or not."""
        self.stopped.discard(number)
        self.cluster.start(number)
        self._greet(number)

    def _greet(self, number: MemberId) -> None:
        self._after_turn(number)
        for other in self.members:
            if other != number and self.rng.random() < 0.7:
                self._report(other, number, self.cluster.get_connection)
                self._report(number, other, self.cluster.get_connection)

    def _report(self, to: MemberId, peer: MemberId, what: Callable[[MemberId, MemberId], None]) -> None:
        delay = self.rng.random() * self.weather.delay
        self.at(self.now + delay, lambda: self.post(to, lambda: what(to, peer)))

    def _repeat(self, kind: str, act: Callable[[], None]) -> None:
        """Act at random times, as often as the weather says now."""

        def once() -> None:
            if getattr(self.weather, kind):
                act()
                self._repeat(kind, act)

        rate: float = getattr(self.weather, kind)
        if rate:
            self.at(self.now + self.rng.expovariate(rate), once)

    def _crash_somebody(self) -> None:
        number = self.rng.choice(self.members)
        if self.cluster.members[number].raft is not None:
            self.crash(number)
            self.at(self.now + self.rng.random(), lambda: self._restart_if_down(number))

    def _restart_if_down(self, number: MemberId) -> None:
        if self.cluster.members[number].raft is None and number not in self.stopped:
            self.restart(number)

    # Members.

    def _change_members(self) -> None:
        """Whoever believes to lead is asked for another configuration; sometimes at a time when it must refuse."""
        for number in self._leaders():
            configuration = self._draw_configuration(number, self.cluster.alive[number].configuration)
            if configuration is not None and self.cluster.change(number, configuration):
                self._wake(number, self.now)

    def _draw_configuration(self, leader: MemberId, present: Configuration) -> Configuration | None:
        """One step from here: small or large, wise or not, but not so that nobody is left."""
        voters, learners = set(present.voters), set(present.learners)
        rng = self.rng
        match rng.choice(("add", "add", "promote", "promote", "remove", "demote", "replace", "dismiss", "forget")):
            case "add":
                learners |= set(self._newcomers(1, present))
            case "promote":
                voters |= learners
                learners = set()
            case "remove" if len(voters) > 1:
                voters.remove(rng.choice(sorted(voters)))
            case "demote" if len(voters) > 1:
                learners.add(demoted := rng.choice(sorted(voters)))
                voters.remove(demoted)
            case "replace":
                voters -= set(rng.sample(sorted(voters), min(2, len(voters))))
                voters |= set(self._newcomers(2, present))
            case "dismiss" if len(voters) > 1:
                voters.discard(leader)
            case "forget":
                learners = set()
        if not voters or len(voters) > MOST_VOTERS:
            return None
        seats = tuple(Seat(member, f"host{member}:9000") for member in sorted(voters | learners))
        return Configuration(tuple(sorted(voters)), learners=tuple(sorted(learners - voters)), seats=seats)

    def _newcomers(self, count: int, present: Configuration) -> list[MemberId]:
        """Members that were removed, as they were then, or new ones."""
        outside = [member for member in self.members if member not in present.members]
        chosen: list[MemberId] = []
        for _ in range(count):
            if outside and (self.rng.random() < 0.5 or len(self.members) >= MOST_MEMBERS):
                chosen.append(member := outside.pop(self.rng.randrange(len(outside))))
                if member in self.stopped:
                    self.restart(member)
            elif len(self.members) < MOST_MEMBERS:
                chosen.append(member := self.cluster.join())
                self._admit(member)
                self._greet(member)
        return chosen

    def _admit(self, member: MemberId) -> None:
        self.members.append(member)
        self._inboxes[member] = []
        self._turns[member] = NEVER
        self._paused_until[member] = 0.0
        self._disk_busy[member] = 0
        self._fetching[member] = None

    def _retire_somebody(self) -> None:
        """Stop a member that is one no more, as far as anybody knows; others are left running."""
        decided = self.cluster.witness.newest_membership
        if decided == UNTOLD:
            return
        outside = [
            member
            for member in self.cluster.alive
            if member not in decided.configuration.members and member not in self._wanted_by_others(member)
        ]
        if outside:
            number = self.rng.choice(outside)
            self.crash(number)
            self.stopped.add(number)

    def _cut_something(self) -> None:
        """One direction of one link, or one member's ears, mouth, or both."""
        one = self.rng.choice(self.members)
        others = [other for other in self.members if other != one]
        mouth = {(one, other) for other in others}
        ears = {(other, one) for other in others}
        cut = self.rng.choice((set(sorted(mouth)[:1]), mouth, ears, mouth | ears))
        self._cut(cut, self.rng.random() * 2, is_noticed=self.rng.random() < 0.5)

    def _cut_off_leader(self) -> None:
        """The others notice at once and elect another, while the old one still believes in itself."""
        for one in self._leaders():
            links = {link for other in self.members if other != one for link in ((one, other), (other, one))}
            self._cut(links, self.rng.random(), is_noticed=True)

    def _cut(self, links: set[tuple[MemberId, MemberId]], seconds: float, *, is_noticed: bool) -> None:
        self.cuts |= links

        def mend() -> None:
            self.cuts.difference_update(links)
            for one, other in sorted(links) if is_noticed else ():
                self._report(one, other, self.cluster.get_connection)

        for one, other in sorted(links) if is_noticed else ():
            self._report(one, other, self.cluster.lose_connection)
        self.at(self.now + seconds, mend)

    def _leaders(self) -> list[MemberId]:
        """Everyone who believes to lead."""
        return [raft.member for raft in self.cluster.alive.values() if raft.is_leader]

    def _pause_somebody(self) -> None:
        self._paused_until[self.rng.choice(self.members)] = self.now + self.rng.random() * 2

    def _alarm_somebody(self) -> None:
        if len(self.members) > 1:
            one, other = self.rng.sample(self.members, 2)
            self._report(one, other, self.cluster.lose_connection)

    def _transfer(self) -> None:
        for raft in self.cluster.alive.values():
            if raft.is_leader:
                raft.transfer_leadership(self.cluster.clock(raft.member))
                self._wake(raft.member, self.now)

    def _propose(self) -> None:
        count, size = self.rng.randrange(1, 4), self.rng.choice((8, 8, 40))
        for raft in self.cluster.alive.values():
            if raft.can_propose:
                self.cluster.propose(raft.member, count, size)
                self._wake(raft.member, self.now)

    def _read(self) -> None:
        followed = [raft.member for raft in self.cluster.alive.values() if raft.leader is not None]
        number = self.rng.choice(self.rng.choice((self.members, followed or self.members)))
        self.cluster.read(number)
        self._wake(number, self.now)


def _draw_limits(rng: Random, weather: Weather) -> Config:
    """Windows and slices so small that they are always full, or the usual ones; a slow pulse, or not."""
    me = MemberId(1)
    usual = Config(member=me, voters=(me,), incarnation=0, heartbeat_interval=rng.choice((0.05, 0.05, 0.2)))
    if rng.random() < 0.5 or weather.proposals > 100:
        return usual
    return replace(
        usual,
        max_append_bytes=rng.choice((1, 30, 100)),
        max_inflight_appends=rng.choice((1, 2, 5)),
        max_inflight_bytes=rng.choice((1, 50, 200)),
        max_committed_entries=rng.choice((1, 2, 5)),
    )


def weather_the_storm(seed: int, seconds: float = 5.0, storm: Storm | None = None) -> Storm:
    """Trouble first; then, in clear weather, the cluster must do its work again, and keep the peace."""
    storm = storm or Storm(seed)
    storm.run(seconds)
    late = storm.weather.delay  # appends of a leader that died may arrive until then, and keep others loyal
    storm.clear_up()
    cluster = storm.cluster
    timeout = cluster.members[storm.members[0]].config.election_timeout

    def has_one_leader() -> bool:
        leader = cluster.leader
        return leader is not None and all(
            raft.leader == leader.member and raft.term == leader.term for raft in members_alive(leader)
        )

    def members_alive(leader: Raft) -> list[Raft]:
        return [cluster.alive[member] for member in leader.configuration.members]

    assert storm.run(late + 4 * timeout, has_one_leader), f"seed {seed}: no leader after the storm"
    before = cluster.committed
    progress = storm.run(6 * timeout, lambda: cluster.committed > before)
    assert progress, f"seed {seed}: nothing is committed after the storm"
    storm.run(late + 2 * timeout)

    # What was late has arrived by now; from here on nobody has a reason to disturb anybody.
    # (Whoever is no member may have got to a later term, where nobody follows.)
    assert cluster.leader is not None, f"seed {seed}: no leader in peace"
    term, sent = cluster.leader.term, cluster.sent
    answered = len(cluster.answers)
    storm.run(4 * timeout)
    raise_if_troubled(storm, seed, term, sent, answered)
    return storm


def raise_if_troubled(storm: Storm, seed: int, term: int, sent: int, answered: int) -> None:
    """Peace: no term moves, everybody has everything, reads are answered, and messages stay few."""
    cluster = storm.cluster
    end = cluster.committed
    leader = cluster.leader
    assert leader is not None
    assert not leader.configuration.is_joint, f"seed {seed}: a change that nobody ends"
    for raft in [cluster.alive[member] for member in leader.configuration.members]:
        assert raft.configuration == leader.configuration, f"seed {seed}: member {raft.member} knows other members"
        assert raft.term == term, f"seed {seed}: member {raft.member} went to term {raft.term}, in peace"
        lag = [run for run in cluster.witness.history if run.last > raft.commit_index]
        assert len(lag) < 10, f"seed {seed}: member {raft.member} is {len(lag)} runs behind {end}"
    assert len(cluster.answers) > answered + 3, f"seed {seed}: reads are not answered"
    per_peer = (cluster.sent - sent) / max(1, len(storm.members) - 1)
    assert per_peer < 2.0 * 10 * (CLEAR.proposals + CLEAR.reads + 20), f"seed {seed}: {per_peer} messages a peer"
