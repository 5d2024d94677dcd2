"""`coord ls` and `coord tree`: which znodes there are."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import click
from rich.table import Table

from coord.cli.cluster import Cluster, cluster_options, json_option
from coord.cli.side_by_side import for_each
from coord.cli.tables import plain_table, print_table
from coord.cli.znode_documents import iso_time, stat_document
from coord.cli.znode_paths import ZnodePath
from coord_client import Client, Stat
from coord_protocol.errors import NoAuth, NoNode
from coord_protocol.paths import join


@click.command()
@click.argument("path", type=ZnodePath(), default="/")
@click.option("-l", "--long", "is_long", is_flag=True, help="Also version, size, children, owner and time of change.")
@json_option
@cluster_options
def ls(cluster: Cluster, *, path: str, is_long: bool, as_json: bool) -> None:
    """List the children of a znode, one a line, in order of name.

    Exits with 1 if there is no such znode.
    """
    if not is_long:
        names = sorted(cluster.run(lambda client: client.get_children(path)))
        click.echo(json.dumps(names) if as_json else "".join(f"{name}\n" for name in names), nl=as_json)
        return
    children = cluster.run(lambda client: _children_with_stats(client, path))
    if as_json:
        click.echo(json.dumps([{"name": name, **stat_document(stat)} for name, stat in children]))
    else:
        print_table(_table(children))


async def _children_with_stats(client: Client, path: str) -> list[tuple[str, Stat]]:
    names = await client.get_children(path)
    found: dict[str, Stat] = {}

    async def look(name: str) -> None:
        stat = await client.exists(join(path, name))
        if stat is not None:  # else it went meanwhile
            found[name] = stat

    await for_each(names, look)
    return sorted(found.items())


def _table(children: list[tuple[str, Stat]]) -> Table:
    shown = plain_table("version", "bytes", "children", "owner", "modified", "name", numbers=3)
    for name, stat in children:
        owner = f"{stat.ephemeral_owner & (1 << 64) - 1:#x}" if stat.ephemeral_owner else "-"
        numbers = (str(stat.version), str(stat.data_length), str(stat.num_children))
        shown.add_row(*numbers, owner, iso_time(stat.mtime), name)
    return shown


DEEPEST: Final = 100  # levels that `tree` shows; nobody reads more, and Python's stack is not made for it


@dataclass(slots=True)
class Branch:
    """A znode and what was found below it."""

    name: str
    path: str
    children: list["Branch"] = field(default_factory=list)
    hidden: int = 0
    """Children that are not shown, because of --depth, --max or the ACL; -1 if not even their number is known."""


@click.command()
@click.argument("path", type=ZnodePath(), default="/")
@click.option("--depth", type=click.IntRange(1, DEEPEST), default=DEEPEST, show_default=True, help="Levels below PATH.")
@click.option(
    "--max", "most", type=click.IntRange(min=1), default=1000, show_default=True,
    help="Znodes to show; what is left out is counted.",
)  # fmt: skip
@json_option
@cluster_options
def tree(cluster: Cluster, *, path: str, depth: int, most: int, as_json: bool) -> None:
    """Show a znode and what is below it, level by level until --max is reached.

    Exits with 1 if there is no such znode.
    """
    root = cluster.run(lambda client: grow(client, path, depth, most))
    if as_json:
        click.echo(json.dumps(_document(root)))
    else:
        click.echo(root.path)
        for line in _lines(root, ""):
            click.echo(line)


async def grow(client: Client, path: str, depth: int, most: int) -> Branch:
    """What is below `path`. Raises `NoNode` if it is not there itself."""
    root = Branch(path, path)
    level = [root]
    left = most - 1
    reached = 0
    names = {path: await client.get_children(path)}

    async def look(branch: Branch) -> None:
        try:
            names[branch.path] = await client.get_children(branch.path)
        except NoNode:
            names[branch.path] = []
        except NoAuth:
            branch.hidden = -1

    while level:
        below: list[Branch] = []
        for branch in level:
            found = sorted(names.pop(branch.path, ()))
            shown = found[:left] if reached < depth else []
            left -= len(shown)
            branch.hidden = branch.hidden or len(found) - len(shown)
            branch.children = [Branch(name, join(branch.path, name)) for name in shown]
            below += branch.children
        reached += 1
        await for_each(below, look)
        level = below
    return root


def _lines(branch: Branch, indent: str) -> Iterator[str]:
    more = {0: [], -1: ["(not permitted)"]}.get(branch.hidden, [f"… {branch.hidden} more"])
    count = len(branch.children) + len(more)
    for position, child in enumerate(branch.children, 1):
        is_last = position == count
        yield f"{indent}{'└── ' if is_last else '├── '}{child.name}"
        yield from _lines(child, indent + ("    " if is_last else "│   "))
    for text in more:
        yield f"{indent}└── {text}"


def _document(branch: Branch) -> dict[str, Any]:
    return {
        "name": branch.name,
        "path": branch.path,
        "children": [_document(child) for child in branch.children],
        "hidden": branch.hidden,
    }
