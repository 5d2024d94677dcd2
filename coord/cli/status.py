"""`coord status`: what the members of a cluster say of themselves."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import click
import trio
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from coord.tree.levels import FIRST
from coord.tui.poll import is_up
from coord_client import connect
from coord_client.addresses import Address, parse_hosts
from coord_protocol.errors import CoordError, LocalProtocolError, OperationTimeout

PATIENCE: Final = 2.0  # seconds for one server
WIDTH: Final = 120  # columns; on a narrower terminal lines wrap, which is better than to cut addresses
COUNTS: Final = ("sessions", "leases", "connections")
NO_LEVELS: Final[dict[str, Any]] = {"in_force": FIRST, "known": FIRST, "waits_for": []}
"""What a release means that does not speak of levels."""


class Servers(click.ParamType[list[Address]]):
    """`host:port,host:port`, as clients take it."""

    name = "HOST:PORT,…"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> list[Address]:
        try:
            return parse_hosts(str(value))[0]
        except LocalProtocolError as error:
            self.fail(str(error), param, ctx)


@dataclass(slots=True)
class Answer:
    """What the server at `address` says of itself, or why it says nothing."""

    address: Address
    status: dict[str, Any] | None = None
    excuse: str = "no answer"
    problem: str = ""
    is_here: trio.Event = field(default_factory=trio.Event)
    """It has answered once, or failed to."""


@click.command(name="status")
@click.option(
    "--servers", type=Servers(), envvar="COORD_SERVERS", default="127.0.0.1:2181", show_default=True,
    show_envvar=True, help="Those to ask; other members are asked where these say that they are.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Everything they say.")
def status(*, servers: list[Address], as_json: bool) -> None:
    """Show the members of a cluster: who leads, who lags behind, who does not answer.

    Each is asked in a session of its own, which counts among those it tells of. Exits with 1 if nobody knows a leader.
    """
    answers = trio.run(ask_cluster, servers)
    leader = leader_of(answers)
    if as_json:
        click.echo(json.dumps({"leader": leader, "servers": [_document(answer) for answer in answers]}))
    else:
        console = Console()
        console.width = max(console.width, WIDTH)
        console.print(table(answers))
        for answer in answers:
            if answer.problem:
                click.echo(answer.problem)
        if unfinished := unfinished_upgrade(answers):
            click.echo(unfinished)
    if leader is None:
        raise SystemExit(1)


async def ask_cluster(servers: Sequence[Address]) -> list[Answer]:
    """Of the servers given, and of the other members that they know.

    All are asked at one moment, when all sessions for it are open: these are log entries, and would look like a lag.
    """
    everybody_is_here = trio.Event()
    answers: list[Answer] = []

    async def invite(addresses: Iterable[Address]) -> None:
        invited = [Answer(address) for address in addresses]
        answers.extend(invited)
        for answer in invited:
            nursery.start_soon(_ask, answer, everybody_is_here)
        for answer in invited:
            await answer.is_here.wait()

    async with trio.open_nursery() as nursery:
        await invite(dict.fromkeys(servers))
        members = {answer.status["member"] for answer in answers if answer.status is not None}
        known = addresses_known(answers)
        await invite(known[member] for member in known if member not in members and known[member] not in servers)
        everybody_is_here.set()
    return answers


async def _ask(answer: Answer, everybody_is_here: trio.Event) -> None:
    try:
        async with connect(str(answer.address), session_timeout=PATIENCE) as client:
            answer.status = await client.status()
            answer.is_here.set()
            await everybody_is_here.wait()
            answer.status = await client.status()
    except OperationTimeout as error:
        answer.problem = str(error)
        if await is_up(answer.address):
            answer.excuse = "no leader"
    except CoordError as error:
        answer.problem = f"{answer.address}: {error}"
    finally:
        answer.is_here.set()


def leader_of(answers: Iterable[Answer]) -> int | None:
    """The leader of the newest term in which anybody knows one."""
    leaders: dict[int, int] = {
        answer.status["term"]: answer.status["leader"]
        for answer in answers
        if answer.status is not None and answer.status["leader"] is not None
    }
    return leaders[max(leaders)] if leaders else None


def addresses_known(answers: Iterable[Answer]) -> dict[int, Address]:
    """By member, where they say that clients reach them."""
    return {
        int(member): parse_hosts(known["client"])[0][0]
        for answer in answers
        if answer.status is not None
        for member, known in answer.status["members"].items()
        if known["client"]
    }


def unfinished_upgrade(answers: Iterable[Answer]) -> str:
    """What the leader waits for to do all that its release can do; empty if it does."""
    for answer in answers:
        level = level_of(answer.status) if answer.status is not None else NO_LEVELS
        if level["waits_for"]:
            members = ", ".join(map(str, level["waits_for"]))
            return (
                f"level {level['in_force']} is in force; {level['known']} waits for a newer release on"
                f" {'member' if len(level['waits_for']) == 1 else 'members'} {members}"
            )
    return ""


def level_of(status: dict[str, Any]) -> dict[str, Any]:
    level: dict[str, Any] = status.get("level", NO_LEVELS)
    return level


def table(answers: Sequence[Answer]) -> Table:
    """A line for each server, by member. The lag is in log entries, behind the highest index known to be committed; the
    level is the highest that the server's release knows."""
    statuses = {answer.address: answer.status for answer in answers if answer.status is not None}
    committed = max((status["commit_index"] for status in statuses.values()), default=0)
    members = {address: member for member, address in addresses_known(answers).items()}
    members |= {address: status["member"] for address, status in statuses.items()}
    shown = Table("member", "address", "role", "release", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("level", "term", "commit", "applied", "lag", *COUNTS):
        shown.add_column(heading, justify="right")
    for answer in sorted(answers, key=lambda answer: members.get(answer.address, math.inf)):
        member = str(members.get(answer.address, "?"))
        shown.add_row(member, str(answer.address), *_cells(answer, committed))
    return shown


def _cells(answer: Answer, committed: int) -> list[RenderableType]:
    status = answer.status
    if status is None:
        return [Text(answer.excuse, style="bold red")]
    role = Text(status["role"], style="bold cyan" if status["role"] == "leader" else "")
    lag = committed - status["applied_index"]
    numbers = [level_of(status)["known"], status["term"], status["commit_index"], status["applied_index"], lag]
    return [role, status["version"], *map(str, numbers), *(str(status[name]) for name in COUNTS)]


def _document(answer: Answer) -> dict[str, Any]:
    return {"address": str(answer.address), "status": answer.status, "problem": answer.problem or None}
