"""What the four-letter words tell, gathered from the replica and the hub at the moment they are asked."""

from collections.abc import Iterator

from coord.admin.descriptors import max_file_descriptors, open_file_descriptors
from coord.admin.words import ConnectionStatistics, Leading, Mode, Statistics
from coord.raft.leader import Leader
from coord.replica.replica import Replica
from coord.server.hub import Hub


def statistics_of(replica: Replica, hub: Hub) -> Statistics:
    raft, machine = replica.raft, replica.machine
    sessions, leases, keys = machine.leases.count()
    received, sent = replica.clients.count_traffic()
    latency = replica.requests.latency
    return Statistics(
        mode=_mode(replica),
        leading=_leading(replica),
        voters=len(raft.configuration.voters),
        uptime_ms=_ms(replica.now - replica.started_at),
        zxid=machine.applied_index,
        term=raft.term,
        commit_index=raft.commit_index,
        znode_count=len(machine.znodes),
        approximate_data_size=machine.tree.data_bytes(),
        ephemerals=keys,
        watch_count=replica.watches.count().watches,
        sessions=sessions,
        leases=leases,
        connection_count=hub.connections,
        connections=_connections(replica, hub),
        rejected_connections=hub.refused_connections,
        dropped_connections=hub.dropped_connections,
        min_latency_ms=latency.least * 1000,
        avg_latency_ms=latency.total / max(latency.count, 1) * 1000,
        max_latency_ms=latency.greatest * 1000,
        received=received,
        sent=sent,
        outstanding=len(replica.outbox.slots),
        open_file_descriptors=open_file_descriptors(),
        max_file_descriptors=max_file_descriptors(),
    )


def _mode(replica: Replica) -> Mode | None:
    if not replica.is_serving:
        return None
    configuration = replica.raft.configuration
    if configuration.members == (replica.member,):
        return Mode.STANDALONE
    if not configuration.has_vote(replica.member):
        return Mode.OBSERVER
    return Mode.LEADER if replica.raft.is_leader else Mode.FOLLOWER


def _leading(replica: Replica) -> Leading | None:
    raft = replica.raft
    if not isinstance(raft.role, Leader) or raft.configuration.members == (raft.member,):
        return None
    others = raft.role.progress.values()
    synced = [peer.member for peer in others if peer.match_index >= raft.commit_index]
    return Leading(
        followers=sum(peer.is_reachable for peer in others),
        synced_followers=sum(member in raft.configuration.voters for member in synced),
        synced_observers=sum(member in raft.configuration.learners for member in synced),
        uptime_ms=_ms(replica.now - replica.led_since),
    )


def _connections(replica: Replica, hub: Hub) -> Iterator[ConnectionStatistics]:
    for connection in replica.clients.table.values():
        yield ConnectionStatistics(
            address=hub.endpoint(connection.id),
            queued=len(connection.pending),
            received=connection.received,
            sent=connection.sent,
        )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
