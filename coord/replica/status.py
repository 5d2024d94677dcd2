"""What a server tells about itself: one document for `coord status`, the four-letter words and whoever asks (1001)."""

from typing import TYPE_CHECKING, Any

from coord import __version__
from coord.raft.candidate import Candidate
from coord.raft.leader import Leader

if TYPE_CHECKING:
    from coord.replica.replica import Replica


def role_of(replica: "Replica") -> str:
    """leader, follower or candidate; the last also for whoever knows of no leader."""
    match replica.raft.role:
        case Leader():
            return "leader"
        case Candidate():
            return "candidate"
        case _:
            return "follower" if replica.raft.leader is not None else "candidate"


def status_of(replica: "Replica") -> dict[str, Any]:
    """Ready for JSON. `match_index` is known to the leader only: how far each log is equal to its own, and durable."""
    raft, machine = replica.raft, replica.machine
    sessions, leases, keys = machine.leases.count()
    cluster = machine.cluster
    return {
        "member": raft.member,
        "role": role_of(replica),
        "leader": raft.leader,
        "term": raft.term,
        "commit_index": raft.commit_index,
        "applied_index": machine.applied_index,
        "last_index": raft.last_index,
        "sessions": sessions,
        "leases": leases,
        "lease_keys": keys,
        "znodes": len(machine.znodes),
        "connections": len(replica.clients.table),
        "watches": replica.watches.count().watches,
        "uptime_s": round(replica.now - replica.started_at, 3),
        "version": __version__,
        "cluster_id": f"{cluster.id:016x}" if cluster is not None else None,
        "members": {
            str(member): {
                "client": machine.members[member].client if member in machine.members else "",
                "match_index": _match_index(replica, member),
            }
            for member in raft.config.voters
        },
    }


def _match_index(replica: "Replica", member: int) -> int | None:
    raft = replica.raft
    role = raft.role
    if not isinstance(role, Leader):
        return None
    if member == raft.member:
        return raft.last_index
    return role.progress[member].match_index  # type: ignore[index]
