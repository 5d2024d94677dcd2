"""What `coord restore`, `recover` and `import` have in common: one member of a new cluster, from what was saved."""

import json
import secrets
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from coord.backup.founding import Ending, NewMember, found
from coord.backup.progress import Report
from coord.raft.types import MemberId
from coord.server.config import parse_members
from coord.server.settings import ConfigError, parse_address
from coord.storage.files import RealFiles
from coord.tree.machine import Machine
from coord.tree.rebirth import Reborn
from coord.tree.znode import MAX_INT32

FRESH_MS: Final = 24 * 3600 * 1000
"""The members of a new cluster are made within a day; a time that is older was meant for another cluster."""

SKEW_MS: Final = 60_000  # between the clocks of the machines that they are made on

T = TypeVar("T")


class Moment(click.ParamType[int]):
    """When a cluster was founded, as the command for its first member printed it; milliseconds since 1970."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail("expected a time as this command prints it, like 2026-01-31T12:00:00.000+00:00", param, ctx)
        if moment.tzinfo is None:
            self.fail("expected a time with its zone, like 2026-01-31T12:00:00.000+00:00", param, ctx)
        founded_ms = round(moment.timestamp() * 1000)
        if not -FRESH_MS <= founded_ms - _now_ms() <= SKEW_MS:
            self.fail(
                "this is not of the last 24 hours: it names the cluster that was founded then; leave it out for the"
                " first member of a new one, and give the others what that prints",
                param,
                ctx,
            )
        return founded_ms


class MembersOption(click.ParamType[dict[MemberId, str]]):
    """`1=host:port,2=host:port`, as `coord serve` takes it."""

    name = "1=HOST:PEERPORT,…"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> dict[MemberId, str]:
        try:
            found = parse_members(str(value))
            return {MemberId(_number(key)): str(parse_address(text, "members")) for key, text in found.items()}
        except ConfigError as error:
            self.fail(str(error), param, ctx)


@dataclass(frozen=True, slots=True)
class Plan:
    """The member that is to be made, and where."""

    new: NewMember
    data: Path

    def carry_out(self, machine: Machine, saved: Ending, report: Report) -> Reborn:
        return found(machine, saved, self.new, RealFiles(str(self.data)), report)


def founding_options(command: Callable[..., T]) -> Callable[..., T]:
    """Adds --id, --data, --members and --founded, which the command gets as a `Plan`, its first argument."""

    @click.option(
        "--data", type=click.Path(file_okay=False, path_type=Path), required=True,
        help="The new member's directory; empty, or not there.",
    )  # fmt: skip
    @click.option("--id", "member", type=click.IntRange(min=1), default=1, show_default=True, help="Its number.")
    @click.option(
        "--members", type=MembersOption(), help="All of the new cluster, as for `coord serve`; none: it is alone.",
    )  # fmt: skip
    @click.option(
        "--founded", type=Moment(), help="For all members but the first: what the command for that printed.",
    )  # fmt: skip
    @wraps(command)
    def with_plan(
        *args: Any, data: Path, member: int, members: dict[MemberId, str] | None, founded: int | None, **kwargs: Any
    ) -> T:
        if members is not None and member not in members:
            raise click.UsageError(f"--id {member} is not among --members")
        moment = _now_ms() if founded is None else founded
        everybody = {MemberId(member): ""} if members is None else members
        new = NewMember(MemberId(member), everybody, moment, secrets.randbits(63))
        return command(Plan(new, data), *args, **kwargs)

    return with_plan


def tell(plan: Plan, reborn: Reborn, znodes: int, again: list[str], *, as_json: bool) -> None:
    """What was made, and what to do next. `again`: how to call the command for the other members."""
    new = plan.new
    founded = datetime.fromtimestamp(new.founded_ms / 1000, UTC).isoformat(timespec="milliseconds")
    for path in reborn.scarce:
        click.echo(
            f"Warning: half of the {MAX_INT32:,} sequence numbers below {path} are used up: have programs use another"
            " parent in good time",
            err=True,
        )
    if as_json:
        document = {
            "cluster": f"{reborn.cluster.id:016x}",
            "member": new.member,
            "zxid": reborn.place.index,
            "znodes": znodes,
            "ended": reborn.ended,
            "founded": founded,
            "scarce": reborn.scarce,
        }
        click.echo(json.dumps(document))
        return
    click.echo(f"member {new.member} of the new cluster {reborn.cluster.id:016x} is in {plan.data}: {znodes:,} znodes,")
    click.echo(f"{reborn.ended:,} sessions and leases ended, zxids go on from {reborn.place.index:#x}")
    others = [member for member in sorted(new.members) if member != new.member]
    if others:
        listed = ",".join(f"{member}={address}" for member, address in sorted(new.members.items()))
        click.echo("the others, each from the same files, with its own --data:")
        for member in others:
            click.echo(
                shlex.join([*again, "--id", str(member), "--members", listed, "--founded", founded, "--data"]) + " …"
            )


def _number(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 0xFFFF_FFFF:
        raise ConfigError(f"members: {text!r} is no member's number")
    return int(text)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
