"""`coord import`: a new cluster that goes on from ZooKeeper's data."""

from pathlib import Path

import click

from coord.cli.backup import problems_told
from coord.cli.cluster import json_option
from coord.cli.founding import Plan, founding_options, tell
from coord.cli.progress import shown_progress
from coord.moving.arrival import arrive, made_plain
from coord.moving.files import Found, ServerFiles


@click.command("import")
@click.argument("data_dir", metavar="DATADIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--log-dir", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The server's dataLogDir, if it has one.",
)  # fmt: skip
@json_option
@founding_options
def import_(plan: Plan, *, data_dir: Path, log_dir: Path | None, as_json: bool) -> None:
    """Make the data directory of one member of a new cluster from the data of a ZooKeeper server, 3.4 to 3.9.

    DATADIR is the server's dataDir, and nothing in it is changed. Stop the clients, then all servers, and take the one
    that stopped last, or a copy of its directories. Do so for each new member, from the same files: for the first
    without --founded, and for the others with what that printed. Then start all of them with `coord serve`, and the
    clients, with the addresses of the new servers.

    All znodes come with their data, ACLs and numbers; quotas are znodes, and come too. Containers and znodes with a TTL
    become plain ones. Sessions have ended, with their ephemeral znodes. Zxids go on above ZooKeeper's, sequence numbers
    where they were. ZooKeeper's members do not come: coord has its own.

    All checksums are verified, and what ZooKeeper noted as the digest of its tree is compared. What ZooKeeper passes
    over when it starts (a snapshot that was not finished, a last transaction that was not) is passed over and told.
    Exits with 1 if anything else is damaged or missing, and names the place, or if --data is not empty.
    """
    with problems_told():
        files = ServerFiles(data_dir, log_dir)
        with shown_progress() as report:
            found = files.read(report)
            machine, arrived = arrive(found.tree, found.zxid, found.fingerprint.digest())
            znodes, data_bytes = len(machine.znodes), sum(len(one.data or b"") for one in machine.znodes.values())
            reborn = plan.carry_out(machine, arrived, report)
    if plain := made_plain(found.tree):
        found.warnings.append(
            f"{plain:,} containers and znodes with a TTL have become plain ones: nothing deletes them but a client"
        )
    for warning in found.warnings:
        click.echo(f"Warning: {warning}", err=True)
    click.echo(_told(found, znodes, data_bytes), err=as_json)
    again = ["coord", "import", str(data_dir), *(["--log-dir", str(log_dir)] if log_dir is not None else [])]
    tell(plan, reborn, len(machine.znodes), again, as_json=as_json)


def _told(found: Found, znodes: int, data_bytes: int) -> str:
    sound = {True: "; ZooKeeper's digest of it is the same", False: "", None: ""}[found.digest]
    return (
        f"read {found.snapshot.name} and {found.transactions:,} transactions after it, up to zxid {found.zxid:#x}:"
        f" {znodes:,} znodes with {data_bytes:,} bytes{sound}"
    )
