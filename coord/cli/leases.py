"""`coord lease`: who holds which lease, and the end of those whose holders do not let go."""

import click

from coord.cli.cluster import Cluster, cluster_options, json_option
from coord.cli.lease_documents import end_one, id_argument, look_up, print_lease, print_leases


@click.group()
def lease() -> None:
    """Look at leases, and end those of others.

    Needs coord: ZooKeeper has none. Paths are the servers' own, whatever ROOT --servers names.
    """


@lease.command(name="list")
@json_option
@cluster_options
def list_(cluster: Cluster, *, as_json: bool) -> None:
    """Show all leases, the oldest first."""
    print_leases(cluster.run(lambda client: client.leases("lease")), "lease", as_json=as_json)


@lease.command()
@id_argument
@json_option
@cluster_options
def show(cluster: Cluster, *, lease_id: int, as_json: bool) -> None:
    """Show all that is known of a lease or session, with the znodes that end with it.

    Exits with 1 if there is none with this id.
    """
    print_lease(cluster.run(lambda client: look_up(client, lease_id)), as_json=as_json)


@lease.command()
@id_argument
@cluster_options
def revoke(cluster: Cluster, *, lease_id: int) -> None:
    """End a lease, whoever holds it; its znodes are gone at once.

    The holder, if it lives, hears of it with its next keep-alive, up to a third of the ttl later. Exits with 1 if there
    is no such lease, with 4 if you are no operator: run it on the server's own machine, or, if the servers have a
    super_digest, with --auth digest:super:PASSWORD.
    """
    end_one(cluster, lease_id, "lease")
