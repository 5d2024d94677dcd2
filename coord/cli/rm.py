"""`coord rm`: znodes, and whole subtrees from their leaves up."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import click

from coord.cli.cluster import Cluster, cluster_options, json_option
from coord.cli.side_by_side import for_each
from coord.cli.znode_paths import ZnodePath
from coord_client import Client, Delete
from coord_client.transaction import Op
from coord_protocol.errors import CoordError, NoNode, NotEmpty
from coord_protocol.paths import join
from coord_protocol.requests import ANY_VERSION

BATCH: Final = 500  # deletes in one transaction …
BATCH_BYTES: Final = 256 * 1024  # … whose paths stay well below the largest request that servers take
MOST: Final = 1_000_000  # znodes in one call; more are a mistake, or a job to be done in parts
ROUNDS: Final = 10  # times that others may come in between with new znodes


@click.command()
@click.argument("paths", type=ZnodePath(), nargs=-1, required=True, metavar="PATH…")
@click.option("-r", "--recursive", is_flag=True, help="With all that is below; asks first on a terminal.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask; with -r, needed where nobody can be asked.")
@click.option("-f", "--force", is_flag=True, help="A znode that is not there is no error.")
@click.option("--version", type=click.IntRange(min=0), help="Only if it has this version; else exits with 1.")
@json_option
@cluster_options
def rm(
    cluster: Cluster,
    *,
    paths: tuple[str, ...],
    recursive: bool,
    yes: bool,
    force: bool,
    version: int | None,
    as_json: bool,
) -> None:
    """Remove znodes.

    A subtree goes from its leaves up, in transactions of up to 500: when this is interrupted, what is left is still a
    tree. Exits with 1 if a znode is not there or not empty, or has another --version.
    """
    if recursive and version is not None:
        raise click.UsageError("--version is for a single znode, not for -r")
    if "/" in paths:
        raise click.UsageError("the root cannot be removed; name what is below it")
    if recursive and not yes:
        _ask(cluster, paths)
    removed: list[str] = []

    async def remove(client: Client) -> None:
        for path in paths:
            try:
                if recursive:
                    await remove_subtree(client, path, removed)
                else:
                    await client.delete(path, ANY_VERSION if version is None else version)
                    removed.append(path)
            except NoNode:
                if not force:
                    raise

    try:
        # A subtree takes as long as it takes.
        cluster.run(remove, writes=True, endless=recursive)
    finally:
        if as_json:
            click.echo(json.dumps({"removed": removed}))


def _ask(cluster: Cluster, paths: Sequence[str]) -> None:
    """Not within the session that removes: who knows how long a person thinks."""
    if not sys.stdin.isatty():
        raise click.UsageError("-r needs --yes where nobody can be asked")

    async def count(client: Client) -> int:
        total = 0
        for path in paths:
            try:
                total += len(await _subtree(client, path))
            except NoNode:
                continue
        return total

    click.confirm(f"Remove {cluster.run(count):,} znodes?", abort=True, err=True)


async def remove_subtree(client: Client, path: str, removed: list[str]) -> None:
    """Adds what was removed to `removed`. Others may remove and create below `path` at the same time.

    Raises `NoNode` if `path` is not there at first, `NotEmpty` if others create faster than we remove.
    """
    found = await _subtree(client, path)
    for _ in range(ROUNDS):
        try:
            for batch in _batches(reversed(found)):
                deletes: list[Op] = [Delete(each) for each in batch]
                await client.multi(deletes)
                removed += batch
            return
        except (NoNode, NotEmpty):  # others came in between, so we look again
            try:
                found = await _subtree(client, path)
            except NoNode:
                return
    raise NotEmpty(path, "others keep creating below it")


async def _subtree(client: Client, path: str) -> list[str]:
    """`path` and all below it, parents before children. Raises `NoNode` if `path` is not there."""
    found = [path]
    level = {path: await client.get_children(path)}

    async def look(each: str) -> None:
        try:
            below[each] = await client.get_children(each)
        except NoNode:
            below[each] = []

    while level:
        names = [join(parent, name) for parent, children in level.items() for name in children]
        found += names
        if len(found) > MOST:
            raise CoordError(f"{path}: more than {MOST:,} znodes; remove them in parts")
        below: dict[str, list[str]] = {}
        await for_each(names, look)
        level = below
    return found


def _batches(paths: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for path in paths:
        if batch and (len(batch) == BATCH or size + len(path.encode()) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(path)
        size += len(path.encode())
    if batch:
        yield batch
