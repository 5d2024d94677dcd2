"""`coord restore`: a new cluster that goes on from a backup."""

from pathlib import Path

import click

from coord.backup.archive import SavedBackup
from coord.backup.founding import load
from coord.cli.backup import problems_told
from coord.cli.cluster import json_option
from coord.cli.founding import Plan, founding_options, tell
from coord.cli.progress import shown_progress
from coord.storage.files import StoppedFiles


@click.command()
@click.argument("backup", type=click.Path(file_okay=False, path_type=Path))
@json_option
@founding_options
def restore(plan: Plan, *, backup: Path, as_json: bool) -> None:
    """Make the data directory of one member of a new cluster from the backup in the directory BACKUP.

    Do so for each member, from copies of the same backup: for the first without --founded, and for the others with
    what that printed. Those that were made of another backup, or with other --members, are of another cluster, and
    refuse each other. Then start all of them with `coord serve`; none on an empty directory, for it would know nothing
    of this cluster and might found one of its own.

    It is a new cluster even if the old one lives: neither servers nor sessions of one are taken by the other. Sessions
    and leases have ended, with their znodes. Zxids, lease ids and fencing tokens go on above any that the old cluster
    ever gave out; and so do the numbers of sequential znodes, unless since the backup it gave out more of them below
    one parent than a million, and than ever before.

    Exits with 1 if the backup is damaged, and names the place, or if --data is not empty.
    """
    with problems_told():
        files = StoppedFiles(str(backup))
        try:
            saved = SavedBackup.open(files)
            with shown_progress() as report:
                machine = load(saved, report)
                reborn = plan.carry_out(machine, saved, report)
        finally:
            files.close()
    tell(plan, reborn, len(machine.znodes), ["coord", "restore", str(backup)], as_json=as_json)
