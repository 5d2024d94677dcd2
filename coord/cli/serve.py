"""`coord serve`: one member of a cluster."""

import logging
import sys
from pathlib import Path
from typing import Any

import click
import trio

from coord.cli.groups import leaves
from coord.replica.replica import AddedAgain
from coord.server.config import load_settings, parse_members
from coord.server.process import serve_until_signal
from coord.server.server import CannotListen
from coord.server.settings import ConfigError
from coord.storage.errors import StorageError
from coord.tree.commands import UnreadableLog
from coord.tree.snapshots import DamagedState


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="TOML file with any of these keys; flags win.")
@click.option("--id", type=int, help="This member's number.  [default: 1]")
@click.option("--data", help="Its own directory, locked while it runs.  [default: coord-data]")
@click.option("--client", metavar="HOST:PORT", help="Where to listen for clients.  [default: 127.0.0.1:2181]")
@click.option("--peer", metavar="HOST:PORT", help="Where to listen for other members.  [default: as in --members]")
@click.option("--members", metavar="1=HOST:PEERPORT,…", help="Who found a cluster together, the same on each of them.")
@click.option("--join", metavar="HOST:PORT", help="Peer address of any member of a cluster to join.")
@click.option("--advertise-client", metavar="HOST:PORT", help="What clients are told, if not --client.")
@click.option("--super-digest", metavar="super:BASE64", help="Whoever proves to know it passes every ACL.")
@click.option("--sasl-users", metavar="FILE", help="JSON of passwords by name: who may authenticate by SASL.")
@click.option("--log-level", help="debug, info, warning or error.  [default: info]")
@click.option("--heartbeat", "timing__heartbeat", type=float, help="Seconds between a leader's signs of life.")
@click.option("--election", "timing__election", type=float, help="Seconds of a leader's silence before an election.")
@click.option(
    "--lease-reads/--no-lease-reads",
    "timing__lease_reads",
    default=None,
    help="Linearizable reads without a round, by leases that rely on clocks.  [default: no]",
)
@click.option(
    "--max-clock-drift",
    "timing__max_clock_drift",
    type=float,
    help="What part those clocks may differ by.  [default: 0.1]",
)
@click.option("--tick", "timing__tick", type=float, help="Seconds for which keep-alives gather.")
@click.option("--min-session", "timing__min_session", type=float, help="Shortest session timeout, in seconds.")
@click.option("--max-session", "timing__max_session", type=float, help="Longest session timeout, in seconds.")
@click.option(
    "--change-patience",
    "timing__change_patience",
    type=float,
    help="Seconds until a new member that does not come on is given up.",
)
@click.option("--reconfig/--no-reconfig", default=None, help="Serve ZooKeeper's reconfig.  [default: no]")
@click.option("--max-frame-bytes", "limits__max_frame_bytes", type=int, help="Largest request.")
@click.option("--max-connections", "limits__max_connections", type=int, help="Clients at a time.")
@click.option(
    "--max-connections-per-address", "limits__max_connections_per_address", type=int, help="Clients from one host."
)
@click.option("--max-output-bytes", "limits__max_output_bytes", type=int, help="What a client may leave unread.")
@click.option("--snapshot-log-bytes", "snapshots__log_bytes", type=int, help="Growth of the log between snapshots.")
def serve(config: Path | None, **flags: Any) -> None:
    """Run one member until SIGTERM, which hands leadership over first.

    With nothing at all: a cluster of one on 127.0.0.1:2181 with its data in ./coord-data. With --join: one more member
    of a cluster that runs, once `coord member add` has told the cluster so.
    """
    problems: list[Exception] = []
    try:
        if flags["members"] is not None:
            flags["members"] = parse_members(flags["members"])
        # Keys of tables: click wants names that are identifiers.
        settings = load_settings(config, {name.replace("__", "."): value for name, value in flags.items()})
        logging.basicConfig(
            level=settings.log_level.upper(),
            format=f"%(asctime)s member {settings.id} %(levelname)s %(name)s: %(message)s",
            stream=sys.stderr,
        )
        trio.run(serve_until_signal, settings)
    except* (ConfigError, CannotListen, StorageError, UnreadableLog, DamagedState, AddedAgain) as group:
        problems = leaves(group)
    if problems:
        raise click.ClickException("\n".join(str(problem) for problem in problems))
