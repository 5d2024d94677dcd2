"""Leases and sessions as the commands take and show them: ids in hexadecimal, one document for both kinds."""

import json
from collections.abc import Sequence
from typing import Any, Final, Literal

import click

from coord.cli.cluster import Cluster
from coord.cli.exit_codes import ExitCode, Failure
from coord.cli.tables import plain_table, print_table
from coord.cli.znode_documents import data_document
from coord_client import Client, LeaseInfo
from coord_protocol.errors import NoLease

Kind = Literal["lease", "session"]

_MAX_ID: Final = 2**63 - 1
_COMMAND_TO_END: Final[dict[str, str]] = {"lease": "coord lease revoke", "session": "coord session close"}


class LeaseId(click.ParamType[int]):
    """Of a lease or session, as every command and log prints it (0x1a2b), or in decimal."""

    name = "ID"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = parse_id(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return number


id_argument = click.argument("lease_id", type=LeaseId(), metavar="ID")


def parse_id(text: str) -> int:
    """Raises ValueError for what cannot be one.

    >>> parse_id("0x1A"), parse_id("26")
    (26, 26)
    """
    try:
        number = int(text, 16 if text.lower().startswith("0x") else 10)
    except ValueError:
        number = 0
    if not 0 < number <= _MAX_ID:
        raise ValueError(f"{text!r} is no id: expected a hexadecimal number like 0x1a2b, or a decimal one")
    return number


def format_id(lease_id: int) -> str:
    """ZooKeeper gives out ids whose highest bit is set: negative, as the wire has them.

    >>> format_id(26), format_id(-1)
    ('0x1a', '0xffffffffffffffff')
    """
    return f"{lease_id & (1 << 64) - 1:#x}"


def lease_document(info: LeaseInfo) -> dict[str, Any]:
    """What `--json` prints. The id is text: as a number it could be more than JavaScript's are exact for."""
    return {
        "id": format_id(info.lease_id),
        "kind": info.kind,
        "name": info.name,
        "ttl_ms": info.ttl_ms,
        "remaining_ms": info.remaining_ms,
        "keys": info.keys,
        "meta": data_document(info.meta or b""),
        "address": info.address,
    }


def print_leases(infos: Sequence[LeaseInfo], kind: Kind, *, as_json: bool) -> None:
    """Those of one kind, the oldest first, on stdout; for people, a word on stderr if there are none."""
    if as_json:
        click.echo(json.dumps([lease_document(info) for info in infos]))
    elif not infos:
        click.echo(f"There are no {kind}s.", err=True)
    else:
        last = ("address",) if kind == "session" else ()
        table = plain_table("id", "ttl", "remaining", "keys", "name", *last, numbers=4)
        for info in infos:
            cells = format_id(info.lease_id), seconds(info.ttl_ms), seconds(info.remaining_ms), str(len(info.keys))
            table.add_row(*cells, printable(info.name), *([info.address] if last else []))
        print_table(table)


def print_lease(info: LeaseInfo, *, as_json: bool) -> None:
    """All that is known of one."""
    if as_json:
        click.echo(json.dumps(lease_document(info)))
        return
    table = plain_table("field", "value")
    table.add_row("id", format_id(info.lease_id))
    table.add_row("kind", info.kind)
    table.add_row("name", printable(info.name))
    if info.address:
        table.add_row("address", info.address)
    table.add_row("ttl", seconds(info.ttl_ms))
    table.add_row("remaining", seconds(info.remaining_ms))
    if info.meta:
        table.add_row("meta", printable(info.meta.decode(errors="backslashreplace")))
    for position, key in enumerate(info.keys):
        table.add_row("" if position else "keys", key)
    print_table(table)


async def look_up(client: Client, lease_id: int) -> LeaseInfo:
    """A lease or session. Raises `Failure`."""
    try:
        return await client.lease_info(lease_id)
    except NoLease:
        raise Failure(f"{format_id(lease_id)}: no such lease or session", ExitCode.NO) from None


def end_one(cluster: Cluster, lease_id: int, kind: Kind) -> None:
    """End it as an operator, if it is of this kind: whoever mistakes one id for another should not end a session."""

    async def end(client: Client) -> None:
        found = (await look_up(client, lease_id)).kind
        if found != kind:
            shown = format_id(lease_id)
            raise Failure(f"{shown} is a {found}: to end it, use {_COMMAND_TO_END[found]} {shown}", ExitCode.NO)
        await client.end_lease(lease_id)

    cluster.run(end, writes=True)


def seconds(milliseconds: int) -> str:
    """For people.

    >>> seconds(10_000), seconds(7_312)
    ('10.0 s', '7.3 s')
    """
    return f"{milliseconds / 1000:.1f} s"


def printable(text: str) -> str:
    r"""What others chose, so that it cannot steer a terminal.

    >>> printable("worker é\x1b[2J")
    'worker é\\x1b[2J'
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
