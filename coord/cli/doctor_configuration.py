"""What `coord doctor` reads in a server's configuration file."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from coord.admin.descriptors import max_file_descriptors
from coord.cli.doctor_findings import Finding, bad, ok, warn
from coord.server.config import load_settings
from coord.server.settings import WILDCARDS, ConfigError, Settings

BUSY_STALL: Final = (
    0.3  # seconds for which a busy machine, or a garbage collection, stops a healthy leader now and then
)
SPARE_DESCRIPTORS: Final = 64  # for the log, the peers, and what connects and is refused


def check_configuration(path: Path) -> tuple[list[Finding], Settings | None]:
    """The settings are None if they cannot be used."""
    try:
        settings = load_settings(path, {})
    except ConfigError as error:
        remedy = f"correct {path}"
        return [bad("configuration", line, remedy) for line in str(error).splitlines()], None
    findings = [ok("configuration", f"{path}: all keys are known, and fit together")]
    if settings.join is None:
        findings += [check_voters(len(settings.voters))]
    findings += [*_check_timing(settings), *_check_addresses(settings), *_check_limits(settings)]
    return findings, settings


def check_voters(count: int) -> Finding:
    survived = (count - 1) // 2
    if count == 1:
        return warn("voters", "one: when it is down, all is down", "run three, on three machines")
    if count % 2 == 0:
        return warn(
            "voters",
            f"{count}: they survive the loss of {survived}, as {count - 1} would, and wait for one more on each write",
            f"run {count - 1} or {count + 1}",
        )
    return ok("voters", f"{count}: the loss of {survived} is survived")


def _check_timing(settings: Settings) -> Iterator[Finding]:
    timing = settings.timing
    is_well = True
    if timing.election < BUSY_STALL and len(settings.voters) > 1:
        is_well = False
        yield warn(
            "timing",
            f"election = {timing.election:g} s: a busy machine stalls for as long, and the leader loses its office",
            f"{BUSY_STALL:g} s or more",
        )
    # A client leaves a server that was silent for two thirds of its session; an election takes up to two timeouts.
    if timing.min_session * 2 / 3 < 2 * timing.election:
        is_well = False
        yield warn(
            "timing",
            f"min_session = {timing.min_session:g} s: such clients lose their connection in every election "
            f"(election = {timing.election:g} s)",
            f"min_session of {3 * timing.election:g} s or more",
        )
    if timing.tick * 10 > timing.min_session:
        is_well = False
        yield warn(
            "timing",
            f"tick = {timing.tick:g} s: confirmations of sessions of {timing.min_session:g} s come late",
            f"tick of {timing.min_session / 10:g} s or less",
        )
    if is_well:
        yield ok("timing", "heartbeat, election, tick and sessions are in proportion")


def _check_addresses(settings: Settings) -> Iterator[Finding]:
    told = settings.client_address
    if told.host in WILDCARDS:
        yield bad(
            "addresses",
            f"clients and `coord status` are told {told}, which is their own machine to them",
            "set advertise_client to the address by which clients reach this server",
        )
    members = {member: str(address) for member, address in settings.members.items()}
    twice = sorted({address for address in members.values() if list(members.values()).count(address) > 1})
    for address in twice:
        yield bad("addresses", f"{address} is the address of several members", "each member listens on its own")
    own = settings.members.get(settings.id)
    if own is not None and settings.peer is not None and own.port != settings.peer.port:
        yield warn(
            "addresses",
            f"others call this member at {own}, but it listens on {settings.peer}",
            "the same port in `peer` and [members], unless something forwards it",
        )
    hosts = {address.host for address in settings.members.values()}
    for host in sorted(hosts):
        try:
            socket.getaddrinfo(host, None)
        except OSError as error:
            yield bad("addresses", f"{host} cannot be resolved: {error.strerror}", "see DNS or /etc/hosts")


def _check_limits(settings: Settings) -> Iterator[Finding]:
    limit = max_file_descriptors()
    wanted = settings.limits.max_connections
    if 0 <= limit < wanted + SPARE_DESCRIPTORS:
        yield warn(
            "limits",
            f"max_connections = {wanted:,}, but a process started from here may open {limit:,} files",
            f"raise it for the server: `ulimit -n {wanted + SPARE_DESCRIPTORS}`, or LimitNOFILE in its systemd unit",
        )
