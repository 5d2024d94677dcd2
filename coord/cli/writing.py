"""`coord set` and `coord create`: one write each."""

import json
import sys
from typing import IO

import click

from coord.cli.cluster import Cluster, cluster_options, json_option
from coord.cli.znode_documents import parse_acl, stat_document
from coord.cli.znode_paths import ZnodePath, path_argument
from coord.replica.config import MAX_FRAME_BYTES
from coord_client import ACL, OPEN_ACL_UNSAFE
from coord_protocol.errors import BadArguments
from coord_protocol.paths import validate_path
from coord_protocol.requests import ANY_VERSION


class AclEntry(click.ParamType[ACL]):
    """`scheme:id:permissions`."""

    name = "SCHEME:ID:PERMISSIONS"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> ACL:
        if isinstance(value, ACL):
            return value
        try:
            return parse_acl(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class NewPath(ZnodePath):
    """A path that need not be complete: of a sequential znode the name may be empty, as its number follows."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        path = str(value)
        try:
            validate_path(f"{path}0" if path.endswith("/") else path)
        except BadArguments as error:
            self.fail(str(error), param, ctx)
        return path


file_option = click.option(
    "--file", type=click.File("rb"), help="Take the value from there; - is stdin, as it is for VALUE."
)


def _value_of(value: str | None, file: IO[bytes] | None) -> bytes | None:
    data = _read_value(value, file)
    if data is not None and len(data) > MAX_FRAME_BYTES:
        # A server that refuses it can but close the connection, so the error would not tell.
        click.echo(f"{len(data):,} bytes: servers take up to {MAX_FRAME_BYTES:,}, unless configured", err=True)
    return data


def _read_value(value: str | None, file: IO[bytes] | None) -> bytes | None:
    if value is not None and file is not None:
        raise click.UsageError("give VALUE or --file, not both")
    if file is not None:
        return file.read()
    if value == "-":
        return sys.stdin.buffer.read()
    return value.encode(errors="surrogateescape") if value is not None else None


@click.command(name="set")
@path_argument
@click.argument("value", required=False)
@file_option
@click.option("--version", type=click.IntRange(min=0), help="Only if it has this version; else exits with 1.")
@json_option
@cluster_options
def set_(
    cluster: Cluster, *, path: str, value: str | None, file: IO[bytes] | None, version: int | None, as_json: bool
) -> None:
    """Write a znode's data, and print its new version.

    Exits with 1 if there is no such znode, or it has another --version.
    """
    data = _value_of(value, file)
    if data is None:
        raise click.UsageError("give a VALUE, - for stdin, or --file")
    expected = ANY_VERSION if version is None else version
    stat = cluster.run(lambda client: client.set(path, data, expected), writes=True)
    click.echo(json.dumps({"path": path, **stat_document(stat)}) if as_json else stat.version)


@click.command()
@click.argument("path", type=NewPath())
@click.argument("value", required=False)
@file_option
@click.option("-p", "--parents", is_flag=True, help="Create what is missing above it, too.")
@click.option("-s", "--sequence", is_flag=True, help="Append a number that grows with each of these in one place.")
@click.option("-e", "--ephemeral", is_flag=True, hidden=True)
@click.option(
    "--acl", type=AclEntry(), multiple=True, help="Who may do what; several times for several.  [default: everybody]"
)
@json_option
@cluster_options
def create(
    cluster: Cluster,
    *,
    path: str,
    value: str | None,
    file: IO[bytes] | None,
    parents: bool,
    sequence: bool,
    ephemeral: bool,
    acl: tuple[ACL, ...],
    as_json: bool,
) -> None:
    """Create a znode, and print its path.

    Exits with 1 if it exists already, or its parent does not.
    """
    if ephemeral:
        raise click.UsageError(
            "an ephemeral znode would end with this command. Hold one while something runs with `coord lock`; "
            "programs hold one with coord_client, in a session or under a lease"
        )
    if path.endswith("/") and not sequence:
        path = path.rstrip("/") or "/"
    data = _value_of(value, file) or b""
    created, stat = cluster.run(
        lambda client: client.create(
            path,
            data,
            sequence=sequence,
            acl=acl or OPEN_ACL_UNSAFE,
            make_parents=parents,
            include_stat=True,
        ),
        writes=True,
    )
    click.echo(json.dumps({"path": created, **stat_document(stat)}) if as_json else created)
