"""What a server says of itself to other members, and goes by when it judges them."""

from coord.replica.replica import Replica
from coord.storage.store import Store
from coord.transport.handshake import Standpoint


def standpoint_of(replica: Replica, store: Store) -> Standpoint:
    """As it is now."""
    machine = replica.machine
    announced = machine.members.announced
    return Standpoint(
        replica.member,
        store.incarnation,
        store.directory_id,
        machine.cluster.id if machine.cluster is not None else store.cluster_id,
        replica.raft.log.memberships[-1],
        lambda member: announced[member].directory if member in announced else 0,
    )
