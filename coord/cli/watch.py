"""`coord watch`: what happens to a znode, or to all below it, as it happens."""

import json
from datetime import UTC, datetime

import click
import trio

from coord.cli.cluster import Cluster, cluster_options, json_option
from coord.cli.znode_paths import path_argument
from coord_client import Client, SessionState, WatchEvent
from coord_protocol.errors import SessionExpired, WatchOverflow


@click.command()
@path_argument
@click.option("-r", "--recursive", is_flag=True, help="Also all that is below it, now and later.")
@click.option("-n", "--count", type=click.IntRange(min=1), help="End after this many lines.  [default: Ctrl-C]")
@json_option
@cluster_options
def watch(cluster: Cluster, *, path: str, recursive: bool, count: int | None, as_json: bool) -> None:
    """Print a line for each change of a znode, until Ctrl-C: when, what, and where.

    The znode need not exist. An event does not say what the znode is now: read that. A line with GAP says that the
    connection was renewed, or that events came too fast: some may be missing before it, so read anew what you keep.

    Works with servers from ZooKeeper 3.6 on.
    """
    cluster.run(lambda client: _follow(client, path, recursive, count, as_json), endless=True)


async def _follow(client: Client, path: str, recursive: bool, count: int | None, as_json: bool) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_tell_states, client)
        left = count
        is_first = True
        while left is None or left > 0:
            try:
                async with client.watch(path, recursive=recursive) as events:
                    if is_first:
                        click.echo(f"watching {path}", err=True)
                    else:
                        left = _print_event("GAP", path, -1, left, as_json)
                    is_first = False
                    async for event in events:
                        left = _print_event(_kind(event), event.path, event.zxid, left, as_json)
                        if left == 0:
                            break
            except (SessionExpired, WatchOverflow):
                continue  # a new watch; what came in between is the gap
        nursery.cancel_scope.cancel()


async def _tell_states(client: Client) -> None:
    """What it does not see meanwhile."""
    with client.states() as states:
        async for state in states:
            if state is not SessionState.CONNECTED:
                click.echo(f"{state.value}: looking for a server", err=True)


def _kind(event: WatchEvent) -> str:
    return "GAP" if event.is_gap else event.type.name


def _print_event(kind: str, path: str, zxid: int, left: int | None, as_json: bool) -> int | None:
    """How many are left to print after this one."""
    time = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
    if as_json:
        line = json.dumps({"time": time, "type": kind, "path": path, "zxid": zxid if zxid >= 0 else None})
    else:
        line = f"{time} {kind} {path}"
    click.echo(line)
    return None if left is None else left - 1
