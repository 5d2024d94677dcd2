"""`coord bench`: how much servers that speak ZooKeeper's protocol do in a second, and how fast."""

import json
import socket
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from coord.cli.bench_load import Address, LoadError, Measured
from coord.cli.bench_scenario import Scenario, run_scenario
from coord.cli.bench_workloads import is_mix
from coord_protocol.errors import Code


class AddressList(click.ParamType[list[Address]]):
    """`host:port,host:port`, resolved."""

    name = "HOST:PORT,…"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> list[Address]:
        addresses = []
        for text in str(value).split(","):
            host, _, port = text.strip().rpartition(":")
            if not host or not port.isdigit():
                self.fail(f"{text!r} is not an address such as 127.0.0.1:2181", param, ctx)
            try:
                found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
            except OSError as error:
                self.fail(f"{text!r}: {error.strerror}", param, ctx)
            addresses.append((str(found[0][4][0]), int(port)))
        return addresses


class Mix(click.ParamType[str]):
    """What the operations are."""

    name = "MIX"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not is_mix(str(value)):
            self.fail(f"{value!r} is not set, get, sync+get, create, or a share such as 90/10", param, ctx)
        return str(value)


@click.command(name="bench")
@click.option(
    "--hosts", type=AddressList(), default="127.0.0.1:2181", show_default=True,
    help="Servers; sessions are spread over them.",
)  # fmt: skip
@click.option(
    "--mix", type=Mix(), default="set", show_default=True,
    help="set, get, sync+get, create, or percent of reads/writes such as 90/10.",
)  # fmt: skip
@click.option("--sessions", type=click.IntRange(1, 50_000), default=64, show_default=True, help="Each on a connection.")
@click.option(
    "--outstanding", type=click.IntRange(1, 4096), default=1, show_default=True,
    help="Operations under way per session.",
)  # fmt: skip
@click.option("--size", type=click.IntRange(0, 1_000_000), default=100, show_default=True, help="Bytes of a value.")
@click.option("--keys", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="Znodes to set and get.")
@click.option(
    "--duration", type=click.FloatRange(0.1, 3600), default=5.0, show_default=True, help="Seconds to measure."
)
@click.option(
    "--warmup", type=click.FloatRange(0, 3600), default=1.0, show_default=True,
    help="Seconds of load before that.",
)  # fmt: skip
@click.option(
    "--survive-loss", "survives_loss", is_flag=True,
    help="Sessions that lose their connection connect again, to the next server.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
def bench(
    *,
    hosts: list[Address],
    mix: str,
    sessions: int,
    outstanding: int,
    size: int,
    keys: int,
    duration: float,
    warmup: float,
    survives_loss: bool,
    as_json: bool,
) -> None:
    """Load servers that speak ZooKeeper's protocol, and measure them.

    Works below a znode of its own, which it removes. Exits with 1 if an answer was wrong: an error, a reply
    out of order, a zxid that went back, no answer at all.
    """
    scenario = Scenario(mix, sessions, outstanding, size, keys)
    try:
        measured = run_scenario(hosts, scenario, warmup=warmup, duration=duration, survives_loss=survives_loss)
    except LoadError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        servers = [f"{host}:{port}" for host, port in hosts]
        click.echo(json.dumps({"hosts": servers, **report(scenario, measured)}))
    else:
        Console().print(table(scenario, measured))
    if faults(measured):
        raise SystemExit(1)


def report(scenario: Scenario, measured: Measured) -> dict[str, Any]:
    """Everything, with units in the names."""
    latencies = measured.latencies
    return {
        "mix": scenario.mix,
        "sessions": scenario.sessions,
        "outstanding": scenario.outstanding,
        "size": scenario.size,
        "keys": scenario.keys,
        "seconds": round(measured.seconds, 3),
        "operations": latencies.count,
        "operations_per_second": round(latencies.count / measured.seconds, 1),
        "latency_ms": {
            "mean": round(latencies.mean / 1e6, 4),
            **{name: round(latencies.quantile(share) / 1e6, 4) for name, share in QUANTILES.items()},
            "max": round(latencies.highest / 1e6, 4),
        },
        "longest_gap_ms": round(measured.longest_gap_ns / 1e6, 1),
        "longest_gap_at_seconds": round(measured.gap_started, 3),
        "faults": faults(measured),
        "lost": measured.lost,
        "reconnects": measured.reconnects,
        "expired": measured.expired,
        "generator_cpu_share": round(measured.generator_cpu / measured.seconds, 3),
    }


QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}


def faults(measured: Measured) -> dict[str, int]:
    """What a correct and healthy server does not do, with how often; empty if there was nothing."""
    counted = {_name(code): count for code, count in measured.errors.items()}
    counted["replies out of order"] = measured.out_of_order
    counted["zxid went back"] = measured.went_back
    counted["unanswered"] = measured.unanswered
    return {what: count for what, count in counted.items() if count}


def _name(code: int) -> str:
    return f"error {Code(code).name if code in set(Code) else code}"


def table(scenario: Scenario, measured: Measured) -> Table:
    values = report(scenario, measured)
    shown = Table(
        title=f"{scenario.mix}, {scenario.sessions} × {scenario.outstanding}, {scenario.size} bytes",
        show_header=False,
    )
    shown.add_column(justify="left")
    shown.add_column(justify="right")
    shown.add_row("operations/s", f"[bold]{values['operations_per_second']:,.0f}")
    for name, milliseconds in values["latency_ms"].items():
        shown.add_row(f"latency {name}", f"{milliseconds:,.2f} ms")
    shown.add_row("longest time without a success", f"{values['longest_gap_ms']:,.1f} ms")
    if measured.reconnects:
        shown.add_row("connections lost", f"{measured.reconnects:,}")
        shown.add_row("operations lost with them", f"{measured.lost:,}")
        shown.add_row("sessions expired", f"{measured.expired:,}")
    for what, count in values["faults"].items():
        shown.add_row(f"[red]{what}", f"[red]{count:,}")
    shown.add_row("processor share of this generator", f"{values['generator_cpu_share']:.0%} of a core")
    return shown
