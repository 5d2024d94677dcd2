"""`coord snapshot`: a server's state on its disk, now."""

import json

import click

from coord.cli.cluster import Cluster, cluster_options, json_option
from coord_client import Client
from coord_protocol.extensions import SnapshotResponse


@click.command()
@json_option
@cluster_options
def snapshot(cluster: Cluster, *, as_json: bool) -> None:
    """Have the first server that answers write a snapshot of its state to its disk, and wait until it is there.

    Servers do so by themselves as their logs grow. Name one server with --servers to choose which. Exits with 4 if you
    are no operator: run it on the server's own machine, or, if the servers have a super_digest, with
    --auth digest:super:PASSWORD. A large state takes longer than the usual --timeout.
    """

    async def ask(client: Client) -> SnapshotResponse:
        return await client.snapshot()

    taken = cluster.run(ask)
    if as_json:
        click.echo(json.dumps({"zxid": taken.zxid, "bytes": taken.file_bytes}))
    else:
        size = f", {taken.file_bytes:,} bytes" if taken.file_bytes else ""
        click.echo(f"snapshot of zxid {taken.zxid:#x} is on the disk{size}")
