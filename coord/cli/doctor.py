"""`coord doctor`: is all well with a cluster, a configuration or a machine, and what to do if not."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click
import trio

from coord.cli.cluster import DEFAULT_SERVERS, ServerList
from coord.cli.doctor_configuration import check_configuration
from coord.cli.doctor_findings import Finding, Verdict
from coord.cli.doctor_machine import check_data, check_machine
from coord.cli.doctor_servers import check_servers, probe_cluster
from coord.cli.exit_codes import ExitCode, errors_as_exit_codes
from coord_client.addresses import parse_hosts

WORDS: Final = {Verdict.OK: "ok", Verdict.UNKNOWN: "?", Verdict.WARN: "warn", Verdict.BAD: "BAD"}
COLOURS: Final = {Verdict.OK: "green", Verdict.UNKNOWN: "white", Verdict.WARN: "yellow", Verdict.BAD: "red"}


@click.command()
@click.option(
    "--servers", type=ServerList(), envvar="COORD_SERVERS", show_envvar=True,
    help=f"Those to ask, and the members they know.  [default: {DEFAULT_SERVERS}; none with --config or --data]",
)  # fmt: skip
@click.option("--config", type=click.Path(path_type=Path), help="A server's configuration file; its data, too.")
@click.option("--data", type=click.Path(path_type=Path), help="Where a server keeps its data, or shall do so.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
def doctor(*, servers: str | None, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Check a cluster from here, or a machine on which a server is to run; say what to do.

    Of the servers: whether they are reached, who leads, versions, lag, disks, clocks. Of this machine: Python and its
    limits; with --config, the configuration file; with --data, the directory, on which 400 writes of 4 KiB are
    synced, and removed again.

    Exits with 1 if anything is BAD; a warning is not.
    """
    findings = list(check_machine())
    if config is not None:
        found, settings = check_configuration(config)
        findings += found
        if data is None and settings is not None:
            data = settings.data
    if data is not None:
        findings += check_data(data)
    if servers is None and config is None and data is None:
        servers = DEFAULT_SERVERS
    if servers is not None:
        with errors_as_exit_codes():
            probes = trio.run(probe_cluster, parse_hosts(servers)[0])
        findings += check_servers(probes)
    worst = max(finding.verdict for finding in findings)
    if as_json:
        click.echo(json.dumps({"verdict": worst.name.lower(), "findings": _documents(findings)}))
    else:
        _print(findings)
    if worst is Verdict.BAD:
        raise SystemExit(ExitCode.NO)


def _documents(findings: Iterable[Finding]) -> list[dict[str, str]]:
    return [
        {"check": each.check, "verdict": each.verdict.name.lower(), "says": each.says, "remedy": each.remedy}
        for each in findings
    ]


def _print(findings: list[Finding]) -> None:
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        word = click.style(f"{WORDS[finding.verdict]:<4}", fg=COLOURS[finding.verdict], bold=True)
        click.echo(f"{word}  {finding.check:<{width}}  {finding.says}")
        if finding.remedy:
            click.echo(f"{'':<4}  {'':<{width}}  → {finding.remedy}")
