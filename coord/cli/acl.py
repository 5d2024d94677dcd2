"""`coord acl`: who may do what with a znode."""

import json

import click

from coord.cli.cluster import Cluster, cluster_options, json_option
from coord.cli.writing import AclEntry
from coord.cli.znode_documents import acl_documents, format_acl, stat_document
from coord.cli.znode_paths import path_argument
from coord_client import ACL
from coord_protocol.requests import ANY_VERSION


@click.group()
def acl() -> None:
    """Show or replace a znode's ACL: who may do what with it.

    Entries look like ZooKeeper's: SCHEME:ID:PERMISSIONS, where permissions are letters of cdrwa: create and delete
    children, read, write, administer the ACL. Examples:

    \b
        world:anyone:r            everybody may read
        auth::cdrwa               whoever you are by --auth may do everything
        ip:10.0.0.0/8:rw          by address
        digest:ann:HASH:cdrwa     by password
    """


@acl.command()
@path_argument
@json_option
@cluster_options
def get(cluster: Cluster, *, path: str, as_json: bool) -> None:
    """Print the entries, one a line, as `acl set` takes them."""
    entries, stat = cluster.run(lambda client: client.get_acl(path))
    if as_json:
        click.echo(json.dumps({"path": path, "acl": acl_documents(entries), "aversion": stat.aversion}))
    else:
        for entry in entries:
            click.echo(format_acl(entry))


@acl.command(name="set")
@path_argument
@click.argument("entries", type=AclEntry(), nargs=-1, required=True, metavar="SCHEME:ID:PERMISSIONS…")
@click.option(
    "--version",
    type=click.IntRange(min=0),
    help="Only if the ACL has this version (`aversion` of stat); else exits with 1.",
)
@json_option
@cluster_options
def set_(cluster: Cluster, *, path: str, entries: tuple[ACL, ...], version: int | None, as_json: bool) -> None:
    """Replace all entries, and print the ACL's new version. Children keep theirs."""
    expected = ANY_VERSION if version is None else version
    stat = cluster.run(lambda client: client.set_acl(path, entries, expected), writes=True)
    click.echo(json.dumps({"path": path, **stat_document(stat)}) if as_json else stat.aversion)
