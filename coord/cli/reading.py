"""`coord get` and `coord stat`: one znode."""

import json
import sys
from typing import Final

import click

from coord.cli.cluster import Cluster, cluster_options, json_option
from coord.cli.exit_codes import ExitCode, Failure
from coord.cli.tables import plain_table, print_table
from coord.cli.znode_documents import data_document, iso_time, stat_document
from coord.cli.znode_paths import path_argument
from coord_client import Stat

BYTES_A_LINE: Final = 16


@click.command()
@path_argument
@json_option
@cluster_options
def get(cluster: Cluster, *, path: str, as_json: bool) -> None:
    """Write a znode's data to stdout, byte for byte.

    On a terminal: text with an end of line, other data in hexadecimal. Exits with 1 if there is no such znode.
    """
    data, stat = cluster.run(lambda client: client.get(path))
    if as_json:
        click.echo(json.dumps({"path": path, **data_document(data), "stat": stat_document(stat)}))
    elif sys.stdout.isatty():
        click.echo(for_people(data), nl=False)
    else:
        sys.stdout.buffer.write(data)


def for_people(data: bytes) -> str:
    r"""The data as a terminal can show it.

    >>> for_people(b"on")
    'on\n'
    >>> " ".join(for_people(b"\x1b\xff!").split())
    '00000000 1b ff 21 ..!'
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return _hexadecimal(data)
    if all(character.isprintable() or character in "\n\t" for character in text):
        return text if not text or text.endswith("\n") else f"{text}\n"
    return _hexadecimal(data)


def _hexadecimal(data: bytes) -> str:
    lines = []
    for offset in range(0, len(data), BYTES_A_LINE):
        part = data[offset : offset + BYTES_A_LINE]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        lines.append(f"{offset:08x}  {part.hex(' '):<{3 * BYTES_A_LINE - 1}}  {text}\n")
    return "".join(lines)


@click.command()
@path_argument
@json_option
@cluster_options
def stat(cluster: Cluster, *, path: str, as_json: bool) -> None:
    """Show what is known of a znode beside its data.

    Exits with 1 if there is no such znode.
    """
    found = cluster.run(lambda client: client.exists(path))
    if found is None:
        raise Failure(f"{path}: no such znode", ExitCode.NO)
    if as_json:
        click.echo(json.dumps({"path": path, **stat_document(found)}))
        return
    shown = plain_table("field", "value", "meaning")
    for row in _explained(found):
        shown.add_row(*row)
    print_table(shown)


def _explained(stat: Stat) -> list[tuple[str, str, str]]:
    owner = f"{stat.ephemeral_owner & (1 << 64) - 1:#x}" if stat.ephemeral_owner else "none"
    return [
        ("version", str(stat.version), "writes of the data; for --version of set and rm"),
        ("data_length", str(stat.data_length), "bytes"),
        ("num_children", str(stat.num_children), "children now"),
        ("ephemeral_owner", owner, "session or lease with which it ends"),
        ("ctime", iso_time(stat.ctime), "created"),
        ("mtime", iso_time(stat.mtime), "data last written"),
        ("czxid", str(stat.czxid), "change that created it; of a lock's znode: the fencing token"),
        ("mzxid", str(stat.mzxid), "last change of the data"),
        ("pzxid", str(stat.pzxid), "last change of the list of children"),
        ("cversion", str(stat.cversion), "children that came and went"),
        ("aversion", str(stat.aversion), "writes of the ACL; for --version of acl set"),
    ]
