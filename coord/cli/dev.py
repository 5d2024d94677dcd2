"""`coord dev`: a cluster on this machine to develop against, in one terminal."""

import subprocess
from pathlib import Path
from typing import Final

import click
import trio
from rich.console import Console
from rich.text import Text

from coord.cli.groups import leaves
from coord.cli.interruption import cancelled_by_signals
from coord.local.cluster import LocalCluster, MemberEnded
from coord.local.processes import lines_of

PEER_PORT_OFFSET: Final = 100  # members speak to each other on 2281 … if clients do on 2181 …
COLOURS: Final = ("cyan", "magenta", "green", "yellow", "blue", "red", "white")


@click.command(name="dev")
@click.option(
    "--first-port", type=click.IntRange(1, 65_000), default=2181, show_default=True,
    help="Of the first member, for clients; the others follow it.",
)  # fmt: skip
@click.option("--members", type=click.IntRange(1, len(COLOURS)), default=3, show_default=True, help="How many.")
@click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), default=Path("coord-data/dev"), show_default=True,
    help="Their directory; what is there is used again.",
)  # fmt: skip
def dev(*, first_port: int, members: int, data: Path) -> None:
    """Run a cluster on this machine until Ctrl-C, and print what its members log.

    A member that ends, or that you kill, is not started again: see how the others go on.
    """
    client_ports = range(first_port, first_port + members)
    cluster = LocalCluster(data, client_ports, [port + PEER_PORT_OFFSET for port in client_ports])
    problems: list[Exception] = []
    try:
        trio.run(_run, cluster, Console(highlight=False, soft_wrap=True))
    except* MemberEnded as ended:
        problems = leaves(ended)
    if problems:
        raise click.ClickException("\n".join(str(problem) for problem in problems))


async def _run(cluster: LocalCluster, console: Console) -> None:
    # The readers are outside of what is cancelled: members log how they stop, too.
    async with trio.open_nursery() as readers, cancelled_by_signals(), cluster:
        for member in cluster.members:
            process = await cluster.start_soon(member, output=subprocess.PIPE)
            readers.start_soon(_print_log, member, process, console)
        for member in cluster.members:
            await cluster.wait_serving(member)
        console.print(f"[bold]connect to {cluster.servers}[/]; data in {cluster.directory}; Ctrl-C stops all")
        for process in cluster.processes.values():
            await process.wait()


async def _print_log(member: int, process: trio.Process, console: Console) -> None:
    assert process.stdout is not None, "started with a pipe"
    prefix = (f"{member} │ ", COLOURS[member - 1])
    async for line in lines_of(process.stdout):
        console.print(Text.assemble(prefix, line))
    console.print(Text.assemble(prefix, (f"ended with exit code {await process.wait()}", "bold")))
