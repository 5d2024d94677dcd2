"""From one sample to the next: rates, what locks went to whom, and since when; each sample gives a model.

A server tells counters since its start. Their differences are rates; where there is no earlier sample, or the server
was started in between, there is none.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from coord.tui.claims import Claim, claims_of
from coord.tui.events import Events, hand_overs
from coord.tui.model import Answer, Member, Model, Sample

KEPT: Final = 240  # samples; wider sparklines than this fit on no terminal

NEVER_SEEN: Final = "never seen"
"""The excuse of a member that is in the configuration and has not started yet."""


@dataclass(frozen=True, slots=True)
class Counters:
    """Of one server, as it told them."""

    uptime_s: float
    received: int
    writes: int
    write_ms: float

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> "Counters":
        latency = status["latency"]
        return cls(status["uptime_s"], status["requests"]["received"], latency["samples"], latency["total_ms"])


@dataclass(slots=True)
class Rates:
    """What a server did of late."""

    last: Counters | None = None
    requests: deque[float | None] = field(default_factory=lambda: deque(maxlen=KEPT))

    def add(self, counters: Counters | None) -> tuple[float | None, int, float]:
        """Requests per second, writes, and their milliseconds since the sample before; None if that is not known."""
        last, self.last = self.last, counters
        rate, writes, write_ms = None, 0, 0.0
        if last is not None and counters is not None and counters.uptime_s > last.uptime_s:
            rate = (counters.received - last.received) / (counters.uptime_s - last.uptime_s)
            writes = counters.writes - last.writes
            write_ms = counters.write_ms - last.write_ms
        self.requests.append(rate)
        return rate, writes, write_ms


class History:
    """All samples so far, as far as they still matter."""

    def __init__(self) -> None:
        self._rates: dict[str, Rates] = {}
        """By address."""
        self._requests: deque[float | None] = deque(maxlen=KEPT)
        self._latency_ms: deque[float | None] = deque(maxlen=KEPT)
        self._events = Events()
        self._claims: Sequence[Claim] = ()
        self._wall_ms = 0

    def observe(self, sample: Sample) -> Model:
        """Samples come in the order of time."""
        statuses = [answer.status for answer in sample.answers if answer.status is not None and not answer.excuse]
        self._wall_ms = max([self._wall_ms, *(status["wall_ms"] for status in statuses)])
        self._add_rates(sample.answers)
        for status in statuses:
            self._events.add_documents(status["events"])
        if sample.rights is not None:
            claims = claims_of(sample.rights)
            for event in hand_overs(self._claims, claims, self._wall_ms):
                self._events.add(event)
            self._claims = claims
        known = _freshest(sample.answers)
        return Model(
            at=sample.at,
            wall_ms=self._wall_ms,
            cluster_id=known.get("cluster_id") or "",
            version=known.get("version", ""),
            leader=_leader_of(statuses),
            term=known.get("term", 0),
            members=self._members(sample),
            sessions=known.get("sessions", 0),
            leases=known.get("leases", 0),
            keys=known.get("lease_keys", 0),
            znodes=known.get("znodes", 0),
            watches=sum(status["watches"] for status in statuses),
            claims=self._claims,
            are_claims_old=sample.rights is None,
            requests=tuple(self._requests),
            latency_ms=tuple(self._latency_ms),
            events=self._events.newest(),
            details=sample.details,
        )

    def _add_rates(self, answers: Sequence[Answer]) -> None:
        rates: list[float] = []
        writes, write_ms = 0, 0.0
        for answer in answers:
            counters = Counters.of(answer.status) if answer.status is not None and not answer.excuse else None
            rate, more_writes, more_ms = self._rates.setdefault(answer.address, Rates()).add(counters)
            if rate is not None:
                rates.append(rate)
                writes += more_writes
                write_ms += more_ms
        self._requests.append(sum(rates) if rates else None)
        self._latency_ms.append(write_ms / writes if writes else None)

    def _members(self, sample: Sample) -> list[Member]:
        """One for each, by number; of several addresses of one member the one that answers."""
        answers = sample.answers
        committed = max((answer.status["commit_index"] for answer in answers if answer.status), default=0)
        numbers = _numbers_of(answers)
        round_trips = _round_trips(answers)
        members: dict[int | str, Member] = {}
        for answer in sorted(answers, key=lambda answer: bool(answer.excuse)):
            number = numbers.get(answer.address)
            if (number or answer.address) not in members:
                members[number or answer.address] = self._member(answer, number, committed, round_trips, sample.at)
        for stranger in _strangers(answers) - members.keys():
            members[stranger] = Member(stranger, "", NEVER_SEEN)
        return sorted(members.values(), key=lambda member: (member.number or 1 << 32, member.address))

    def _member(
        self, answer: Answer, number: int | None, committed: int, round_trips: Mapping[int, float | None], at: float
    ) -> Member:
        status = answer.status
        if status is None:
            return Member(number, answer.address, answer.excuse, at - answer.since)
        return Member(
            number=number,
            address=answer.address,
            excuse=answer.excuse,
            silent=at - answer.since if answer.excuse else 0.0,
            role=status["role"],
            term=status["term"],
            commit_index=status["commit_index"],
            applied_index=status["applied_index"],
            lag=committed - status["applied_index"],
            round_trip_ms=round_trips.get(status["member"]),
            p50_ms=status["latency"]["p50_ms"],
            p99_ms=status["latency"]["p99_ms"],
            disk_p50_ms=status.get("disk", {}).get("p50_ms"),
            disk_p99_ms=status.get("disk", {}).get("p99_ms"),
            connections=status["connections"],
            watches=status["watches"],
            version=status["version"],
            requests=tuple(self._rates[answer.address].requests),
        )


def _freshest(answers: Sequence[Answer]) -> Mapping[str, Any]:
    """What the one that is furthest says of the cluster, or what was said last if nobody answers; else nothing."""
    said = [(not answer.excuse, answer.status) for answer in answers if answer.status is not None]
    _, status = max(said, key=lambda one: (one[0], one[1]["term"], one[1]["applied_index"]), default=(False, {}))
    return status


def _leader_of(statuses: Sequence[Mapping[str, Any]]) -> int | None:
    """By those who answer: of the newest term in which anybody knows one, if nobody is in a newer one already."""
    newest = max(statuses, key=lambda status: (status["term"], status["leader"] is not None), default=None)
    leader: int | None = None if newest is None else newest["leader"]
    return leader


def _numbers_of(answers: Sequence[Answer]) -> dict[str, int]:
    """Members by address: as they say of themselves, or as others say of them."""
    numbers = {
        known["client"]: int(member)
        for answer in answers
        if answer.status is not None
        for member, known in answer.status["members"].items()
        if known["client"]
    }
    return numbers | {answer.address: answer.status["member"] for answer in answers if answer.status is not None}


def _strangers(answers: Sequence[Answer]) -> set[int]:
    """Members that have not told anybody yet where clients reach them."""
    return {
        int(member)
        for answer in answers
        if answer.status is not None
        for member, known in answer.status["members"].items()
        if not known["client"] and int(member) != answer.status["member"]
    }


def _round_trips(answers: Sequence[Answer]) -> dict[int, float | None]:
    """To each member and back, as the newest leader measured it."""
    leaders = [a.status for a in answers if a.status is not None and not a.excuse and a.status["role"] == "leader"]
    newest = max(leaders, key=lambda status: int(status["term"]), default=None)
    if newest is None:
        return {}
    return {
        int(member): known["round_trip_ms"]
        for member, known in newest["members"].items()
        if int(member) != newest["member"]
    }
