"""`coord backup`: a cluster, saved while it serves."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from coord.backup.archive import Archive, SavedBackup
from coord.backup.download import Done, back_up
from coord.backup.errors import BackupError, Interrupted
from coord.backup.founding import load
from coord.backup.manifest import Manifest
from coord.cli.cluster import Cluster, cluster_options, json_option
from coord.cli.exit_codes import ExitCode, Failure
from coord.cli.progress import shown_progress
from coord.storage.errors import StorageError
from coord.storage.files import StoppedFiles
from coord_client import Client


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--full", is_flag=True, help="All of it, even if what is new would do.")
@click.option("--verify", is_flag=True, help="Save nothing: read all that was saved, and load it as a restore would.")
@json_option
@cluster_options
def backup(cluster: Cluster, *, directory: Path, full: bool, verify: bool, as_json: bool) -> None:
    """Save the state of a cluster in DIRECTORY, from the first server that answers, while it serves.

    The first backup is the whole state; later ones in the same directory add what is new. Each is as of one moment,
    has all that was acknowledged before it was begun, and is read again and checked before it counts: whatever happens
    on the way, what was there before stays good. Where a server's log does not reach back to the last backup, or the
    log would become larger than the state, the whole state is saved anew.

    A backup has everything, whatever its ACL, and the cluster's secret: keep it where the servers' own data might be.
    Exits with 4 if you are no operator: run it on a server's own machine, or, if the servers have a super_digest, with
    --auth digest:super:PASSWORD. With 1 if DIRECTORY holds something else, another cluster's backup or a damaged one.
    """
    if verify:
        with problems_told():
            _verify(directory, as_json=as_json)
        return
    with problems_told():
        archive = Archive(str(directory))
        try:
            with shown_progress() as report:

                async def work(client: Client) -> Done:
                    return await back_up(client, archive, report, is_whole=full)

                done = cluster.run(work, endless=True)
        finally:
            archive.close()
    if as_json:
        saved = "nothing" if not done.size else "new" if done.whole is None else "all"
        click.echo(json.dumps(_document(done.manifest) | {"saved": saved, "saved_bytes": done.size}))
    else:
        click.echo(_told(done))


@contextmanager
def problems_told() -> Iterator[None]:
    """What is wrong with backups and directories becomes a message, and the command's exit code 1."""
    try:
        yield
    except Interrupted as error:
        raise Failure(str(error), ExitCode.UNREACHABLE) from None
    except (BackupError, StorageError) as error:
        raise Failure(str(error), ExitCode.NO) from None
    except OSError as error:
        raise Failure(f"{error.filename or 'the disk'}: {error.strerror or error}", ExitCode.NO) from None


def _verify(directory: Path, *, as_json: bool) -> None:
    files = StoppedFiles(str(directory))
    try:
        saved = SavedBackup.open(files)
        with shown_progress() as report:
            machine = load(saved, report)
    finally:
        files.close()
    znodes, manifest = len(machine.znodes), saved.manifest
    if as_json:
        click.echo(json.dumps(_document(manifest) | {"znodes": znodes}))
    else:
        click.echo(
            f"sound: cluster {manifest.cluster:016x} up to zxid {manifest.end.index:#x}, {znodes:,} znodes, saved at"
            f" {_moment(manifest)}"
        )


def _document(manifest: Manifest) -> dict[str, object]:
    return {
        "cluster": f"{manifest.cluster:016x}",
        "zxid": manifest.end.index,
        "saved_at": _moment(manifest),
        "bytes": manifest.size,
        "files": [part.name for part in manifest.parts],
    }


def _moment(manifest: Manifest) -> str:
    return datetime.fromtimestamp(manifest.saved_ms / 1000, UTC).isoformat(timespec="seconds")


def _told(done: Done) -> str:
    manifest = done.manifest
    where = f"cluster {manifest.cluster:016x} up to zxid {manifest.end.index:#x}"
    if not done.size:
        return f"nothing new: {where} was saved before"
    if done.whole is None:
        return f"saved what is new, {done.size:,} bytes: {where}"
    return f"saved all, {done.size:,} bytes ({done.whole.value}): {where}"
