"""A cluster that was seen for a while, in the words that its servers use: what the tests of the screen show."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from coord.tui.history import History
from coord.tui.model import Answer, Detail, Model, Sample
from coord_protocol.extensions import LeaseInfo

NOON_MS: Final = 43_200_000  # of the first day of 1970, in UTC
ADDRESSES: Final = {1: "10.0.0.1:2181", 2: "10.0.0.2:2181", 3: "10.0.0.3:2181"}


def event(at_s: float, what: str, text: str, why: str = "") -> dict[str, Any]:
    return {"id": 1, "at_ms": NOON_MS + round(at_s * 1000), "what": what, "text": text, "why": why, "lease": 0}


def status(
    member: int,
    at: float = 0.0,
    *,
    leader: int | None = 2,
    term: int = 7,
    applied: int = 48_213,
    received: int = 0,
    writes: int = 0,
    write_ms: float = 0.0,
    events: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """As `coord.replica.status` makes it, `at` seconds after noon."""
    leads = member == leader
    return {
        "member": member,
        "role": "leader" if leads else "follower" if leader is not None else "candidate",
        "leader": leader,
        "term": term,
        "commit_index": applied,
        "applied_index": applied,
        "last_index": applied,
        "sessions": 9,
        "leases": 2,
        "lease_keys": 11,
        "znodes": 1734,
        "connections": 2 + member,
        "watches": 3 * member,
        "uptime_s": 3600.0 + at,
        "wall_ms": NOON_MS + round(at * 1000),
        "requests": {"received": received, "sent": received, "outstanding": 0},
        "latency": {
            "samples": writes,
            "total_ms": write_ms,
            "max_ms": 31.0,
            "p50_ms": 0.8 + member / 10,
            "p99_ms": 4.0 + member,
        },
        "version": "0.1.0",
        "cluster_id": "639d3f19cf3acab9",
        "members": {
            str(each): {
                "client": address,
                "match_index": applied if leads else None,
                "round_trip_ms": (0.3 * each if each != member else 0.0) if leads else None,
                "silent_ms": 20 if leads else None,
            }
            for each, address in ADDRESSES.items()
        },
        "events": list(events),
        "disk": {"syncs": 5000, "p50_ms": 0.2 * member, "p99_ms": 2.0 * member},
    }


def right(
    lease_id: int, name: str, *keys: str, remaining: float = 6.0, ttl: float = 10.0, kind: str = "session"
) -> LeaseInfo:
    """A session or lease. Times in seconds."""
    address = f"10.0.1.{lease_id % 250}" if kind == "session" else ""
    return LeaseInfo(lease_id, kind, name, round(ttl * 1000), round(remaining * 1000), list(keys), b"", address)


def kazoo(path: str, number: int, pattern: str = "__lock__") -> str:
    return f"{path}/{number:032x}{pattern}{number:010d}"


def curator(path: str, number: int, pattern: str = "-lock-") -> str:
    return f"{path}/_c_6a1f1e62-0a5c-4c3b-8a53-{number:012x}{pattern}{number:010d}"


RIGHTS: Final = [
    right(0x21, "w1", "/pool/workers/w1", kazoo("/pool/leader", 3), remaining=9.2),
    right(0x22, "w2", "/pool/workers/w2", kazoo("/pool/leader", 4), remaining=8.8),
    right(0x23, "w3", "/pool/workers/w3", kazoo("/pool/leader", 5), remaining=4.1),
    right(0x24, "nightly report", kazoo("/locks/reports/2026-11-25", 1), remaining=1.4),
    right(0x25, "", curator("/billing/invoice-run", 12), remaining=27.0, ttl=30.0),
    right(0x26, "billing-b", curator("/billing/invoice-run", 13), remaining=29.5, ttl=30.0),
    right(0x27, "reader 1", kazoo("/catalogue", 8, "__rlock__"), remaining=7.0),
    right(0x28, "reader 2", kazoo("/catalogue", 9, "__rlock__"), remaining=7.5),
    right(0x29, "writer", kazoo("/catalogue", 10), remaining=9.9),
    right(0x2A, "watcher of nothing", remaining=9.0),
    right(0x30, "maintenance window", remaining=512.0, ttl=900.0, kind="lease"),
    right(0x31, "api-7", "/services/api/10.0.2.7:8080", remaining=2.9, ttl=15.0, kind="lease"),
]

OLD_EVENTS: Final = [
    event(-64, "member-lost", "member 1 is gone", "the connection broke"),
    event(-63.4, "election", "member 2 leads term 7", "member 1 was silent for 0.61 s"),
    event(-58, "session-expired", 'session 0x1f "w4" expired, with it /pool/workers/w4', "no sign of life for 10 s"),
    event(-41, "member-back", "member 1 is back"),
]


def samples(count: int = 12) -> list[Sample]:
    """Once a second, with more to do each time."""
    made = []
    for second in range(count):
        done = sum(40 * step * step for step in range(second + 1))
        answers = [
            Answer(
                ADDRESSES[member],
                status(
                    member,
                    second,
                    applied=48_213 + done - (3 if member == 3 else 0),
                    received=done * member,
                    writes=done,
                    write_ms=done * (0.7 + second % 4 / 5),
                    events=OLD_EVENTS if member != 1 else OLD_EVENTS[-1:],
                ),
            )
            for member in ADDRESSES
        ]
        made.append(Sample(float(second), answers, RIGHTS))
    return made


def model(
    *, rights: Sequence[LeaseInfo] | None = None, lost: Mapping[int, str] | None = None, looks_at: str = ""
) -> Model:
    """After twelve seconds. `lost`: members that do not answer since the fifth, with their excuse."""
    history = History()
    seen = Model(0.0, 0)
    for sample in samples():
        answers = [
            Answer(answer.address, samples(5)[-1].answers[member - 1].status, (lost or {})[member], 4.0)
            if member in (lost or {}) and sample.at > 4
            else answer
            for member, answer in enumerate(sample.answers, 1)
        ]
        details = {
            znode: Detail(48_000 + number, NOON_MS - 60_000 * number, name.encode())
            for number, (znode, name) in enumerate((key, each.name) for each in RIGHTS for key in each.keys)
            if looks_at and znode.startswith(looks_at)
        }
        everybody_is_lost = all(answer.excuse for answer in answers)
        held = None if everybody_is_lost else RIGHTS if rights is None else rights
        seen = history.observe(Sample(sample.at, answers, held, details))
    return seen
