"""What `coord doctor` asks the servers of a cluster, and how it judges their answers."""

import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from coord.cli.doctor_configuration import check_voters
from coord.cli.doctor_findings import Finding, bad, ok, unknown, warn
from coord.cli.doctor_machine import judge_syncs
from coord.cli.side_by_side import for_each
from coord.version import __version__
from coord_client import Client, connect
from coord_client.addresses import Address, parse_hosts
from coord_protocol.errors import CoordError, ExtensionUnavailable

PATIENCE: Final = 2.0  # seconds for each step with one server
ROUND_TRIPS: Final = 7
SLOW_ROUND_TRIP: Final = 0.1  # seconds; to win and leave a lock takes four of them
SKEWED: Final = 1.0  # seconds between wall clocks, from which on logs of two machines cannot be read together
LAGGING: Final = 1000  # log entries; more than a server is behind for a moment
SILENT_MS: Final = 1000  # some twenty heartbeats
NEARLY_FULL: Final = 0.8


@dataclass(slots=True)
class Probe:
    """What one server told, and how long that took."""

    address: Address
    problem: str = ""
    """Why there is no session with it."""

    is_listening: bool = False
    words: dict[str, str] = field(default_factory=dict)
    """Of `mntr`; empty if the server does not answer that."""

    round_trip: float | None = None
    skew: float | None = None
    """Seconds by which its wall clock is ahead of ours."""

    status: dict[str, Any] | None = None
    """None of a plain ZooKeeper."""

    @property
    def version(self) -> str | None:
        if self.status is not None:
            return f"coord {self.status['version']}"
        told = self.words.get("zk_version")
        return f"ZooKeeper {told.partition('-')[0]}" if told else None


async def probe_cluster(servers: Sequence[Address]) -> list[Probe]:
    """The servers given, and the members that they know of."""
    probes = {address: Probe(address) for address in servers}
    await for_each(list(probes.values()), _probe)
    known = [
        parse_hosts(member["client"])[0][0]
        for probe in list(probes.values())
        if probe.status is not None
        for number, member in probe.status["members"].items()
        if member["client"] and int(number) not in _members(probes.values())
    ]
    others = {address: Probe(address) for address in known if address not in probes}
    await for_each(list(others.values()), _probe)
    return [*probes.values(), *others.values()]


def _members(probes: Iterable[Probe]) -> dict[int, dict[str, Any]]:
    return {probe.status["member"]: probe.status for probe in probes if probe.status is not None}


async def _probe(probe: Probe) -> None:
    text = await _ask(probe, "mntr")
    probe.words = dict(line.split("\t", 1) for line in text.splitlines() if "\t" in line)
    if not probe.is_listening:
        return
    try:
        async with connect(str(probe.address), session_timeout=2 * PATIENCE, connect_timeout=PATIENCE) as client:
            probe.round_trip = await _round_trip(client)
            with trio.fail_after(PATIENCE):
                before = time.time()
                probe.status = await client.status()
                after = time.time()
            if "wall_ms" in probe.status:
                probe.skew = probe.status["wall_ms"] / 1000 - (before + after) / 2
    except ExtensionUnavailable:
        return
    except trio.TooSlowError:
        probe.problem = f"no answer in {PATIENCE:g} s"
    except CoordError as error:
        probe.problem = str(error)


async def _ask(probe: Probe, word: str) -> str:
    """The answer to a four-letter word. Tells whether anybody listens, too."""
    answer = b""
    try:
        with trio.move_on_after(PATIENCE):
            async with await trio.open_tcp_stream(probe.address.host, probe.address.port) as stream:
                probe.is_listening = True
                await stream.send_all(word.encode())
                async for data in stream:
                    answer += data
    except (OSError, trio.BrokenResourceError) as error:
        if not probe.is_listening:
            probe.problem = f"nobody listens: {error}"
    if not probe.is_listening and not probe.problem:
        probe.problem = f"no connection in {PATIENCE:g} s"
    return answer.decode(errors="replace")


async def _round_trip(client: Client) -> float:
    taken = []
    with trio.fail_after(PATIENCE):
        for _ in range(ROUND_TRIPS):
            begin = trio.current_time()
            await client.exists("/")
            taken.append(trio.current_time() - begin)
    return statistics.median(taken)


# The judgement.


def check_servers(probes: Sequence[Probe]) -> Iterator[Finding]:
    yield from _check_reachability(probes)
    yield from _check_versions(probes)
    statuses = list(_members(probes).values())
    if statuses:
        yield _check_leader(statuses)
        yield _check_identity(statuses)
        yield check_voters(sum(known["part"] == "voter" for known in statuses[0]["members"].values()))
        yield from _check_members(statuses)
        yield _check_lag(statuses)
    elif any(probe.round_trip is not None for probe in probes):
        yield unknown(
            "members", "a plain ZooKeeper does not tell who leads, what its disk does, or what its clock says",
            "ask each server: echo srvr | nc HOST PORT",
        )  # fmt: skip
    for probe in probes:
        yield from _check_resources(probe)
    yield from _check_clocks(probes)


def _check_reachability(probes: Sequence[Probe]) -> Iterator[Finding]:
    for probe in probes:
        check = f"server {probe.address}"
        if not probe.is_listening:
            yield bad(check, probe.problem, "start it, or see whether a firewall is between")
        elif probe.problem:
            yield bad(
                check,
                f"it listens, but gives no session: {probe.problem}",
                "it may know no leader: see that a majority of members runs and reaches each other's peer addresses",
            )
        elif probe.round_trip is not None and probe.round_trip >= SLOW_ROUND_TRIP:
            yield warn(
                check,
                f"a round trip takes {probe.round_trip * 1000:.1f} ms; to win and leave a lock takes four",
                "see the network between, and how busy the server is",
            )
        else:
            assert probe.round_trip is not None, "a session was had"
            yield ok(check, f"a round trip takes {probe.round_trip * 1000:.1f} ms")


def _check_versions(probes: Sequence[Probe]) -> Iterator[Finding]:
    versions = sorted({probe.version for probe in probes if probe.version is not None})
    if len(versions) > 1:
        told = "; ".join(f"{probe.address} runs {probe.version}" for probe in probes if probe.version is not None)
        yield warn("versions", told, "finish the upgrade: all members the same")
    elif versions and versions[0].startswith("coord ") and versions[0] != f"coord {__version__}":
        yield warn("versions", f"servers run {versions[0]}, this is {__version__}", "upgrade the older of them")
    elif versions:
        yield ok("versions", f"{versions[0]} everywhere")
    elif any(probe.is_listening for probe in probes):
        yield unknown("versions", "not told", "on ZooKeeper, 4lw.commands.whitelist must have mntr")


def _check_leader(statuses: Sequence[dict[str, Any]]) -> Finding:
    said = {status["member"]: status["leader"] for status in statuses}
    leaders = set(said.values())
    told = ", ".join(f"member {member}: {leader or 'nobody'}" for member, leader in sorted(said.items()))
    remedy = "ask again, as an election may be under way; if it stays, see the links between the members"
    if leaders == {None}:
        return bad("leader", "nobody knows one: nothing can be written", remedy)
    if len(leaders) > 1:
        return bad("leader", f"members disagree who leads ({told})", remedy)
    return ok("leader", f"member {leaders.pop()} in term {max(status['term'] for status in statuses)}, as all say")


def _check_identity(statuses: Sequence[dict[str, Any]]) -> Finding:
    clusters = {status["cluster_id"] for status in statuses}
    if len(clusters) > 1:
        return bad("cluster", f"servers of different clusters: {', '.join(map(str, clusters))}", "correct --servers")
    return ok("cluster", f"{clusters.pop()}")


def _check_members(statuses: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """As the leader sees them, for it hears each of them all the time."""
    leader = next((status for status in statuses if status["role"] == "leader"), None)
    for number, member in (leader or {"members": {}})["members"].items():
        silent = member.get("silent_ms")
        if silent is not None and silent > SILENT_MS:
            yield bad(
                f"member {number}",
                f"the leader has not heard it for {silent / 1000:.1f} s",
                "start it, or see whether its peer address can be reached from the leader",
            )


def _check_lag(statuses: Sequence[dict[str, Any]]) -> Finding:
    committed = max(status["commit_index"] for status in statuses)
    behind = {status["member"]: committed - status["applied_index"] for status in statuses}
    most = max(behind, key=lambda member: behind[member])
    if behind[most] > LAGGING:
        return warn(
            "lag",
            f"member {most} is {behind[most]:,} entries behind",
            "it is catching up after a start, or its disk or processor is too slow for the load",
        )
    return ok("lag", f"at most {behind[most]} entries")


def _check_resources(probe: Probe) -> Iterator[Finding]:
    where = f"of {probe.address}"
    disk = (probe.status or {}).get("disk") or {}
    if disk.get("p50_ms") is not None and disk.get("p99_ms") is not None:
        yield judge_syncs(f"disk {where}", "its last syncs", disk["p50_ms"], disk["p99_ms"])
    elif probe.status is not None:
        yield unknown(f"disk {where}", "it has synced nothing yet, or does not tell")
    opened, limit = (int(probe.words.get(f"zk_{name}_file_descriptor_count", 0)) for name in ("open", "max"))
    if limit > 0 and opened > limit * NEARLY_FULL:
        yield bad(
            f"open files {where}",
            f"{opened:,} of {limit:,}: soon it can take no more clients",
            "raise its limit (LimitNOFILE in its systemd unit), or find who connects so often: echo cons | nc",
        )
    elif limit > 0:
        yield ok(f"open files {where}", f"{opened:,} of {limit:,}")


def _check_clocks(probes: Sequence[Probe]) -> Iterator[Finding]:
    skews = {probe.address: probe.skew for probe in probes if probe.skew is not None}
    if not skews:
        return
    worst = max(skews, key=lambda address: abs(skews[address]))
    says = f"{worst} is {abs(skews[worst]):.2f} s {'ahead of' if skews[worst] > 0 else 'behind'} this machine"
    if abs(skews[worst]) >= SKEWED:
        yield warn(
            "clocks",
            f"{says}; leases do not depend on it, but times in logs and znodes do",
            "run an NTP client (chrony, systemd-timesyncd) on both",
        )
    else:
        yield ok("clocks", says)
