"""`coord demo`: three servers, four workers, three leaders that come to grief; and each job is done exactly once."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
import trio
from rich.console import Console
from rich.live import Live

from coord.cli.demo_pool import open_pool
from coord.cli.demo_state import DemoFailed, Member, State
from coord.cli.demo_story import RESULTS, Story
from coord.cli.demo_view import summary, view
from coord.cli.groups import leaves
from coord.cli.interruption import cancelled_by_signals
from coord.local.cluster import LocalCluster, MemberEnded
from coord.local.ports import free_ports
from coord_client import Client, connect
from coord_protocol.errors import CoordError

MEMBERS: Final = 3
JOBS: Final = 120
LOOK_EVERY: Final = 0.1  # seconds
SESSION_TIMEOUT: Final = 10.0  # of those who only look on


@click.command(name="demo")
def demo() -> None:
    """Watch a cluster and a pool of workers survive the deaths of their leaders.

    Starts three servers and four workers (examples/worker_pool.py) on this machine, kills and stops those that lead,
    and counts what was done. Takes half a minute. Exits with 1 if any job was not done exactly once.
    """
    console = Console()
    faults: Sequence[str] | None = None
    problems: list[Exception] = []
    try:
        with tempfile.TemporaryDirectory(prefix="coord-demo-", ignore_cleanup_errors=True) as directory:
            faults = trio.run(_run, Path(directory), console)
    except* (DemoFailed, MemberEnded, CoordError) as failed:
        problems = leaves(failed)
    if problems:
        raise click.ClickException("\n".join(str(problem) for problem in problems))
    if faults is None:
        raise click.Abort
    if faults:
        raise SystemExit(1)


async def _run(directory: Path, console: Console) -> Sequence[str] | None:
    """What went wrong with the jobs; None if a signal cut it short."""
    ports = free_ports(2 * MEMBERS)
    cluster = LocalCluster(directory, ports[:MEMBERS], ports[MEMBERS:])
    members = {number: Member(cluster.address(number)) for number in cluster.members}
    state = State(members, JOBS, _ignore if console.is_terminal else click.echo)
    try:
        return await _play(cluster, state, console)
    except* (DemoFailed, CoordError):
        for number in cluster.members:
            click.echo(f"member {number} logged last:\n{cluster.last_words(number)}", err=True)
        raise


async def _play(cluster: LocalCluster, state: State, console: Console) -> Sequence[str] | None:
    faults: Sequence[str] | None = None
    async with cancelled_by_signals(), cluster, trio.open_nursery() as onlookers:
        with _shown(state, console, onlookers):
            state.note(f"{MEMBERS} servers start")
            await cluster.start()
            state.note("a majority has a leader, and each of them serves")
            for member in state.members.values():
                onlookers.start_soon(_watch_member, member)
            onlookers.start_soon(_watch_processes, cluster)
            async with connect(cluster.servers, session_timeout=SESSION_TIMEOUT, name="demo") as client:
                onlookers.start_soon(_watch_results, state, client)
                async with open_pool(cluster.servers, state) as pool:
                    faults = await Story(state, cluster, pool, client).play()
                onlookers.cancel_scope.cancel()
    if faults is not None:
        console.print(summary(state, faults))
    return faults


def _ignore(line: str) -> None:
    """The live view shows it."""


@contextmanager
def _shown(state: State, console: Console, onlookers: trio.Nursery) -> Iterator[None]:
    if not console.is_terminal:
        yield
        return
    with Live(view(state), console=console, auto_refresh=False) as live:

        async def draw() -> None:
            while True:
                live.update(view(state), refresh=True)
                await trio.sleep(LOOK_EVERY)

        onlookers.start_soon(draw)
        yield
        live.update(view(state), refresh=True)


async def _watch_member(member: Member) -> None:
    while True:
        try:
            async with connect(member.address, session_timeout=SESSION_TIMEOUT, retry_timeout=LOOK_EVERY) as client:
                while True:
                    member.status = await client.status()
                    await trio.sleep(LOOK_EVERY)
        except CoordError:
            member.status = None


async def _watch_processes(cluster: LocalCluster) -> None:
    while True:
        cluster.check()
        await trio.sleep(LOOK_EVERY)


async def _watch_results(state: State, client: Client) -> None:
    while True:
        stat = await client.exists(RESULTS)
        state.results = stat.num_children if stat is not None else 0
        await trio.sleep(LOOK_EVERY)
