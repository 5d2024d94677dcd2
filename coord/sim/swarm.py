"""What a seed is: which cluster, on which machines and network, with which clients, and what befalls it when.

Swarm testing (Groce et al. 2012): a run in which everything can happen is a run in which most things never
get far. So each seed draws which kinds of faults there are at all, and how often; some have none, and show
what is wrong without.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from coord.sim.faults import (
    LEADER,
    TURN_POINTS,
    BreakClient,
    BreakLink,
    ChangeRate,
    CutClient,
    DamageSnapshot,
    FailSync,
    FalseAlarm,
    Fault,
    FillDisk,
    Freeze,
    Isolate,
    Kill,
    KillAll,
    Retire,
    SetWall,
    SlowDisk,
    Split,
    Upgrade,
)
from coord.sim.links import Weather
from coord.sim.migration import draw_moves
from coord.sim.server import Machinery

CALM_SHARE = 0.15
"""Seeds without any fault."""

UPGRADE_SHARE = 0.3
"""Of the others: a cluster of the level before is upgraded while other faults happen."""

MOVING_SHARE = 0.5
"""Of those without an upgrade: members come and go."""

UNHINDERED_SHARE = 0.2
"""Of these: those without other faults."""

GENTLE_DELAY = 0.01
GENTLE_WINDOW = 4096
"""See `Profile.is_gentle`. In seconds and bytes."""

NEVER = 1 << 40
"""Bytes that no run of the simulator writes."""

LEASE_DRIFT = 0.1
"""Leases promise exclusivity as long as no two clocks run apart by more than this part of the time."""


@dataclass(frozen=True, slots=True)
class Profile:
    """All that is fixed for a run, but its faults. Times in seconds."""

    seed: int
    members: int
    duration: float
    """How long faults happen; then everything heals."""

    weather: Weather
    machinery: Machinery
    heartbeat: float
    election_timeout: float
    append_bytes: int
    appends_in_flight: int
    entries_per_turn: int
    tick: float
    outstanding_bytes: int
    """Commands of a member's clients on their way to the log before it reads no more from them."""

    handshake_deadline: float
    client_delay: float
    cut_chance: float
    """Chance that a chunk of a client's stream is cut once more."""

    rates: tuple[float, float]
    """Slowest and fastest clock."""

    keeps_drift: bool
    """Clocks run apart by no more than leases allow for."""

    session_timeout: tuple[float, float]
    workloads: tuple[str, ...]
    """One client each."""

    think: float
    keys: int
    snapshot_log_bytes: int
    """After so much of the log there is a new snapshot. A run has 100 bytes, as a rule."""

    snapshot_piece_znodes: int
    snapshot_piece_bytes: int
    is_lost: bool
    """All power fails in the middle of the faults, and a new cluster is made of some of the disks."""
    lease_reads: bool
    """Only where clocks keep the bound."""
    change_patience: float
    """A member that is to get a vote and does not come on for so long is given up."""

    retained_log_bytes: int
    """So much of the log stays for members that are a little behind; further behind, they need a snapshot."""

    early: tuple[int, ...] = ()
    """Members that run the release of the level before, until they are upgraded."""

    @property
    def is_gentle(self) -> bool:
        """Machines and network are good enough to keep up with the clients at all times, but for faults."""
        return (
            self.keeps_drift
            and self.weather.is_stream
            and not self.weather.spike
            and self.weather.slowest <= GENTLE_DELAY
            and self.appends_in_flight * self.append_bytes >= GENTLE_WINDOW
        )

    @property
    def clients(self) -> int:
        return len(self.workloads)


def draw(seed: int, duration: float, chance: Random) -> tuple[Profile, list[Fault]]:
    """The same seed and duration give the same run."""
    is_calm = chance.random() < CALM_SHARE
    keeps_drift = chance.random() < 0.85
    slowest = chance.uniform(0.9, 1.0)
    heartbeat = chance.choice((0.05, 0.1, 0.1, 0.15))
    timeout = chance.choice((1.0, 2.0, 3.0))
    profile = Profile(
        seed=seed,
        members=chance.choice((1, 3, 3, 3, 3, 3, 5)),
        duration=duration,
        weather=Weather(delay=0.001) if is_calm else _draw_weather(chance),
        machinery=Machinery(
            turn=chance.choice((0.0003, 0.001, 0.005)),
            disk=chance.choice((0.0002, 0.001, 0.01)),
            disk_is_inline=chance.random() < 0.3,
            segment_bytes=chance.choice((2048, 8192, 65536)),
        ),
        heartbeat=heartbeat,
        election_timeout=heartbeat * chance.choice((4, 6, 10)),
        append_bytes=chance.choice((200, 4096, 1 << 20)),
        appends_in_flight=chance.choice((1, 4, 64)),
        entries_per_turn=chance.choice((1, 20, 10_000)),
        tick=chance.choice((0.02, 0.1, 0.2)),
        outstanding_bytes=chance.choice((1000, 1 << 24, 1 << 24)),
        handshake_deadline=chance.choice((1.0, 10.0)),
        client_delay=chance.choice((0.0002, 0.002, 0.02)),
        cut_chance=chance.choice((0.0, 0.1, 0.5)),
        rates=(slowest, slowest * (1 + LEASE_DRIFT)) if keeps_drift else (0.5, 2.0),
        keeps_drift=keeps_drift,
        session_timeout=(timeout * 0.7, timeout * 1.3),
        workloads=_draw_workloads(chance),
        think=chance.choice((0.06, 0.15, 0.4)),
        keys=chance.choice((1, 2, 4)),
        snapshot_log_bytes=chance.choice((300, 300, 1000, 5000, 20_000, NEVER)),
        snapshot_piece_znodes=chance.choice((1, 10, 1000)),
        snapshot_piece_bytes=chance.choice((100, 2000, 1 << 17)),
        is_lost=seed % 12 == 11 and not is_calm,
        lease_reads=keeps_drift and seed % 3 == 0,  # not by chance, so that old seeds keep what they drew
        change_patience=chance.choice((0.5, 1.0, 2.0)),
        retained_log_bytes=chance.choice((0, 0, 1000, 10_000)),
    )
    if is_calm:
        return profile, []
    faults = _draw_faults(chance, profile)
    if chance.random() < UPGRADE_SHARE:
        upgrades = _draw_upgrades(chance, profile)
        early = tuple(sorted(upgrade.member for upgrade in upgrades))
        return replace(profile, early=early), sorted([*faults, *upgrades], key=lambda fault: fault.at)
    if chance.random() < MOVING_SHARE:
        hindrances = [] if chance.random() < UNHINDERED_SHARE else faults
        return profile, sorted([*hindrances, *draw_moves(chance, duration)], key=lambda fault: fault.at)
    return profile, faults


def _draw_weather(chance: Random) -> Weather:
    delay = 10 ** chance.uniform(-3.5, -2.0)
    slowest = delay * chance.choice((1, 2, 10))
    spike = chance.choice((0.0, 0.0, 0.01))
    if chance.random() < 0.6:
        return Weather(delay, slowest, spike, hints_lost=chance.choice((0.0, 0.0, 0.2)))
    return Weather(
        delay=delay,
        slowest=slowest,
        spike=spike,
        loss=chance.choice((0.0, 0.02, 0.2)),
        duplicate=chance.choice((0.0, 0.05, 0.3)),
        overtake=chance.choice((0.01, 0.1, 0.5)),
        hints_lost=chance.choice((0.0, 0.5, 1.0)),
    )


def _draw_workloads(chance: Random) -> tuple[str, ...]:
    names = [name for name in ("queue", "pair", "watch", "ephemeral", "lock", "lease") if chance.random() < 0.4]
    if chance.random() < 0.7 or not names:
        names.append("register")
    clients = [name for name in names for _ in range(chance.randint(2, 3))]
    return (*clients, *["probe"] * 3) if chance.random() < 0.5 else tuple(clients)


# -- faults

Maker = Callable[["_Draw"], Fault]


@dataclass(frozen=True, slots=True)
class _Draw:
    """The chance for one fault of a profile."""

    chance: Random
    profile: Profile
    at: float

    def member(self) -> int:
        return LEADER if self.chance.random() < 0.6 else self.any_member()

    def any_member(self) -> int:
        return self.chance.randint(1, self.profile.members)

    def client(self) -> int:
        return self.chance.randint(1, self.profile.clients)

    def lasts(self) -> float:
        """Mostly around an election timeout, at times longer than any session."""
        short = self.profile.election_timeout * self.chance.uniform(0.2, 4.0)
        return self.chance.uniform(2.0, 6.0) if self.chance.random() < 0.2 else short


def _kill(draw: _Draw) -> Fault:
    chance = draw.chance
    point = chance.choice(TURN_POINTS) if chance.random() < 0.75 else None
    doom = chance.randint(0, 30) if chance.random() < 0.15 else None
    return Kill(draw.at, draw.member(), draw.lasts(), chance.random() < 0.6, point, doom)


def _isolate(draw: _Draw) -> Fault:
    deaf, mute = draw.chance.choice(((True, True), (True, False), (False, True)))
    return Isolate(draw.at, draw.member(), draw.lasts(), deaf, mute, holds=draw.chance.random() < 0.3)


def _split(draw: _Draw) -> Fault:
    members = list(range(1, draw.profile.members + 1))
    draw.chance.shuffle(members)
    size = draw.chance.randint(0, len(members) // 2)
    bridge = draw.chance.choice(members[size:]) if draw.chance.random() < 0.3 else None
    return Split(draw.at, draw.lasts(), tuple(members[:size]), bridge, draw.chance.random() < 0.5)


def _two(draw: _Draw) -> tuple[int, int]:
    one, other = draw.chance.sample(range(1, draw.profile.members + 1), 2)
    return one, other


def _break_client(draw: _Draw) -> Fault:
    tells_client, tells_server = draw.chance.choice(((True, True), (True, False), (False, True), (False, False)))
    return BreakClient(draw.at, draw.client(), tells_client, tells_server)


MAKERS: dict[str, Maker] = {
    "kill": _kill,
    "kill all": lambda draw: KillAll(draw.at, draw.lasts()),
    "retire": lambda draw: Retire(
        draw.at, draw.member(), draw.lasts(), draw.chance.random() < 0.4, draw.chance.random() < 0.5
    ),
    "freeze": lambda draw: Freeze(draw.at, draw.member(), draw.lasts()),
    "isolate": _isolate,
    "split": _split,
    "break link": lambda draw: BreakLink(draw.at, *_two(draw)),
    "false alarm": lambda draw: FalseAlarm(draw.at, *_two(draw)),
    "slow disk": lambda draw: SlowDisk(draw.at, draw.member(), draw.lasts(), 10 ** draw.chance.uniform(-2, 0.5)),
    "fail sync": lambda draw: FailSync(draw.at, draw.member(), draw.lasts()),
    "fill disk": lambda draw: FillDisk(draw.at, draw.member(), draw.lasts()),
    "change rate": lambda draw: ChangeRate(draw.at, draw.any_member(), draw.chance.uniform(*draw.profile.rates)),
    "set wall": lambda draw: SetWall(draw.at, draw.any_member(), draw.chance.randint(-10_000_000, 10_000_000)),
    "cut client": lambda draw: CutClient(
        draw.at, draw.client(), draw.chance.choice((0, draw.any_member())), draw.lasts()
    ),
    "break client": _break_client,
    "damage snapshot": lambda draw: DamageSnapshot(draw.at, draw.any_member(), draw.lasts()),
}
"""Every kind of fault by name. New kinds go to the end, so that old seeds keep what they drew."""

NEED_TWO = frozenset({"isolate", "split", "break link", "false alarm"})


OFTEN = {"kill": 3, "isolate": 3, "freeze": 2, "split": 2, "retire": 2, "slow disk": 2}
"""What changes leaders is drawn more often than the rest, which has weight 1."""


def _draw_upgrades(chance: Random, profile: Profile) -> list[Upgrade]:
    """Of all members, or of some, for a cluster may have been left half done; one by one, in any order."""
    members = chance.sample(
        range(1, profile.members + 1), chance.choice((profile.members, max(1, profile.members - 1)))
    )
    moments = sorted(chance.uniform(0.5, profile.duration) for _ in members)
    lasts = profile.election_timeout * chance.uniform(0.2, 2.0)
    return [Upgrade(at, member, lasts) for at, member in zip(moments, members, strict=True)]


def _draw_faults(chance: Random, profile: Profile) -> list[Fault]:
    kinds = [kind for kind in MAKERS if profile.members > 1 or kind not in NEED_TWO]
    share = chance.choice((0.15, 0.3, 0.6))
    chosen = [kind for kind in kinds if chance.random() < share]
    chosen.append(chance.choice(("kill", "isolate", "retire") if profile.members > 1 else ("kill", "freeze")))
    weights = [OFTEN.get(kind, 1) for kind in chosen]
    gap = 10 ** chance.uniform(-0.7, 0.4)
    faults: list[Fault] = []
    at = chance.uniform(0.0, 2.0)
    while at < profile.duration:
        (kind,) = chance.choices(chosen, weights)
        faults.append(MAKERS[kind](_Draw(chance, profile, at)))
        at += chance.expovariate(1 / gap)
    return faults
