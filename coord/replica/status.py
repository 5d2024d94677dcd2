"""What a server tells about itself: one document for `coord status`, `coord top` and whoever asks (1001).

Counts of sessions, leases, keys and znodes are the cluster's; connections, watches, requests, latency, disk, snapshot
and events are this server's own. `requests` counts since the start: a rate is a difference by the difference of
`uptime_s`. `log_start`: the index that the log in memory follows. `snapshot`: the newest on this server's disk; its
index is 0 if there is none yet, its bytes if this server did not write it since it was started. `level`: what is done
by all members, and what this server's release knows; `waits_for`: the members that keep it from being done (the leader
knows; the list of others is empty).
"""

from typing import TYPE_CHECKING, Any

from coord.raft.candidate import Candidate
from coord.raft.leader import Leader
from coord.raft.types import MemberId
from coord.replica.durations import Durations
from coord.version import __version__

if TYPE_CHECKING:
    from coord.replica.replica import Replica


def role_of(replica: "Replica") -> str:
    """leader, follower, learner or candidate; the last also for a voter that knows of no leader. joining and removed:
    the newest configuration that it knows does not list it."""
    raft = replica.raft
    configuration = raft.configuration
    if isinstance(raft.role, Leader):
        return "leader"
    if raft.member not in configuration.members:
        return "removed" if configuration.members else "joining"
    if not configuration.has_vote(raft.member):
        return "learner"
    return "candidate" if isinstance(raft.role, Candidate) or raft.leader is None else "follower"


def status_of(replica: "Replica") -> dict[str, Any]:
    """Ready for JSON. Of `members` only the leader knows all: see `_as_leader_sees`."""
    raft, machine = replica.raft, replica.machine
    sessions, leases, keys = machine.leases.count()
    received, sent = replica.clients.count_traffic()
    latency = replica.requests.latency
    cluster = machine.cluster
    return {
        "member": raft.member,
        "role": role_of(replica),
        "leader": raft.leader,
        "term": raft.term,
        "commit_index": raft.commit_index,
        "applied_index": machine.applied_index,
        "last_index": raft.last_index,
        "log_start": raft.log.start.index,
        "snapshot": {"index": replica.snapshots.newest.index, "bytes": replica.snapshots.size},
        "sessions": sessions,
        "leases": leases,
        "lease_keys": keys,
        "znodes": len(machine.znodes),
        "connections": len(replica.clients.table),
        "watches": replica.watches.count().watches,
        "uptime_s": round(replica.now - replica.started_at, 3),
        "wall_ms": replica.wall_ms,
        "requests": {"received": received, "sent": sent, "outstanding": len(replica.outbox.slots)},
        "latency": {
            "samples": latency.count,
            "total_ms": round(latency.total * 1000, 3),
            "max_ms": round(latency.greatest * 1000, 3),
            **quantiles_ms(latency),
        },
        "version": __version__,
        "level": {
            "in_force": machine.levels.in_force,
            "known": machine.levels.known,
            "waits_for": machine.levels.behind(raft.configuration.members) if raft.is_leader else [],
        },
        "cluster_id": f"{cluster.id:016x}" if cluster is not None else None,
        "members": {
            str(member): {
                **_as_configured(replica, member),
                **_as_leader_sees(replica, member),
            }
            for member in raft.configuration.members
        },
        "is_handing_over": raft.is_leader and not raft.can_propose,
        "change": {
            "doing": machine.members.doing(),
            "failure": machine.members.failure,
            "index": machine.members.membership.index,
        },
        "events": replica.chronicle.documents(),
    }


def quantiles_ms(durations: Durations) -> dict[str, float | None]:
    """What is usual of late; None if there was nothing yet."""
    p50, p99 = (None if each is None else round(each * 1000, 3) for each in durations.quantiles(0.5, 0.99))
    return {"p50_ms": p50, "p99_ms": p99}


def _as_configured(replica: "Replica", member: MemberId) -> dict[str, Any]:
    """`part`: voter, learner, or, while a change is under way, leaving. `peer`: where other members reach it. `level`:
    the highest that it knows; None if this server has not heard."""
    configuration = replica.raft.configuration
    seat = configuration.seat_of(member)
    announced = replica.machine.members.announced.get(member)
    part = "learner" if member in configuration.learners else "leaving"
    return {
        "client": announced.client if announced is not None else "",
        "peer": seat.address if seat is not None else announced.peer if announced is not None else "",
        "part": "voter" if member in configuration.voters else part,
        "level": replica.machine.levels.announced.get(member),
    }


def _as_leader_sees(replica: "Replica", member: int) -> dict[str, Any]:
    """`match_index`: how far the member's log is equal to ours, and durable. `round_trip_ms`: of the newest heartbeat
    that it answered. `silent_ms`: since it last answered. All None if we do not lead."""
    raft = replica.raft
    role = raft.role
    if not isinstance(role, Leader):
        return {"match_index": None, "round_trip_ms": None, "silent_ms": None}
    if member == raft.member:
        return {"match_index": raft.last_index, "round_trip_ms": 0.0, "silent_ms": 0}
    peer = role.progress[MemberId(member)]
    round_trip = peer.round_trip
    return {
        "match_index": peer.match_index,
        "round_trip_ms": None if round_trip is None else round(round_trip * 1000, 3),
        "silent_ms": round((replica.now - peer.contact) * 1000),
    }
