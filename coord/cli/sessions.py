"""`coord session`: who is connected, or may come back, and the end of sessions that should not."""

import click

from coord.cli.cluster import Cluster, cluster_options, json_option
from coord.cli.lease_documents import end_one, id_argument, print_leases
from coord_client import Client, LeaseInfo


@click.group()
def session() -> None:
    """Look at sessions, and close those of others.

    Needs coord: ZooKeeper does not tell.
    """


@session.command(name="list")
@json_option
@cluster_options
def list_(cluster: Cluster, *, as_json: bool) -> None:
    """Show all sessions, the oldest first, but for the one that asks."""

    async def others(client: Client) -> list[LeaseInfo]:
        return [info for info in await client.leases("session") if info.lease_id != client.session_id]

    print_leases(cluster.run(others), "session", as_json=as_json)


@session.command()
@id_argument
@cluster_options
def close(cluster: Cluster, *, lease_id: int) -> None:
    """Close a session, whoever's it is; its ephemeral znodes are gone at once.

    Its client is told that the session has expired. Exits with 1 if there is no such session, with 4 if you are no
    operator: run it on the server's own machine, or, if the servers have a super_digest, with
    --auth digest:super:PASSWORD.
    """
    end_one(cluster, lease_id, "session")
