"""`coord recover`: a new cluster of what is left when a majority of the old one is lost."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from coord.backup.founding import load
from coord.backup.survivors import Survivor, losses, most_up_to_date
from coord.cli.backup import problems_told
from coord.cli.cluster import json_option
from coord.cli.founding import Plan, founding_options, tell
from coord.cli.progress import shown_progress
from coord.raft.types import MemberId
from coord.storage.files import StoppedFiles
from coord.tree.machine import Machine


@click.command()
@click.argument(
    "directories", metavar="DIRECTORY…", nargs=-1, required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)  # fmt: skip
@click.option("-y", "--yes", is_flag=True, help="Do not ask; needed where nobody can be asked.")
@json_option
@founding_options
def recover(plan: Plan, *, directories: tuple[Path, ...], yes: bool, as_json: bool) -> None:
    """Make the data directory of one member of a new cluster from the directories of members that are left.

    For when a majority is lost for good. Name all directories that are left, or copies of them; their servers must be
    stopped. The one that has most is used, and none is changed. Says what may be lost, and asks. Then do the same for
    the other members of the new cluster, as for `coord restore`, of which all else holds here, too. Members of the old
    cluster that come back are refused.

    Exits with 1 if a directory is in use or damaged, and names the place: recover without it if you must.
    """
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("--yes is needed where nobody can be asked")
    with problems_told(), _opened(directories) as survivors:
        best = most_up_to_date(survivors)
        with shown_progress() as report:
            machine = load(best, report)
        _tell_losses(survivors, best, machine)
        if not yes:
            click.confirm("Make a new cluster of it?", abort=True, err=True)
        with shown_progress() as report:
            reborn = plan.carry_out(machine, best, report)
    again = ["coord", "recover", *map(str, directories)]
    tell(plan, reborn, len(machine.znodes), again, as_json=as_json)


@contextmanager
def _opened(directories: Sequence[Path]) -> Iterator[list[Survivor]]:
    """Locked, so that none of their servers is started meanwhile."""
    with ExitStack() as stack:
        survivors = []
        for directory in directories:
            click.echo(f"reading {directory}", err=True)
            survivor = Survivor(StoppedFiles(str(directory)))
            stack.callback(survivor.close)
            survivors.append(survivor)
        yield survivors


def _tell_losses(survivors: Sequence[Survivor], best: Survivor, machine: Machine) -> None:
    lost = losses(survivors, machine)
    moment = datetime.fromtimestamp(machine.wall_ms / 1000, UTC).isoformat(sep=" ", timespec="seconds")
    for survivor in survivors:
        click.echo(
            f"{survivor.directory}: member {survivor.member} up to zxid {survivor.end.index:#x} of term"
            f" {survivor.end.term}",
            err=True,
        )
    click.echo(f"{best.directory} has most. Its last entry is of {moment}.", err=True)
    click.echo(f"Members were {_listed(lost.members)}; missing: {_listed(lost.missing) or 'none'}.", err=True)
    if lost.is_complete:
        click.echo(
            "A majority is here, so nothing that was acknowledged is missing; and nothing need be recovered: start"
            " these members again, and replace the others.",
            err=True,
        )
    else:
        click.echo(
            "Whatever the members that are missing acknowledged after that entry is lost. Its clients were told that it"
            " was done.",
            err=True,
        )


def _listed(members: Sequence[MemberId]) -> str:
    return ", ".join(map(str, members))
