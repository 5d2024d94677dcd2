"""`coord member`: who is a member of the cluster, and changes of it while it serves."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import click
import trio
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from coord.cli.cluster import Cluster, cluster_options, json_option
from coord.cli.exit_codes import ExitCode, Failure
from coord.cli.status import Servers, addresses_known, ask_cluster, leader_of
from coord.server.settings import ConfigError, parse_address
from coord_client import Client
from coord_client.addresses import Address, parse_hosts
from coord_protocol.extensions import JoiningMember

POLL: Final = 0.1  # seconds; a step of a change takes a heartbeat at least


class PeerAddress(click.ParamType[str]):
    """HOST:PORT of a member's port for other members."""

    name = "HOST:PEERPORT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return str(parse_address(str(value)))
        except ConfigError as error:
            self.fail(str(error), param, ctx)


MEMBER: Final = click.IntRange(min=1, max=(1 << 31) - 1)
wait_option = click.option("--no-wait", is_flag=True, help="Return when the change has begun.")


@click.group()
def member() -> None:
    """List, add, remove and replace members while the cluster serves.

    One change at a time. Whoever is added is sent the state first, and gets a vote by itself when it has caught up; if
    it never comes, the change is given up and nothing is lost. Only operators may change anything: run it on a
    server's own machine, or, if the servers have a super_digest, with --auth digest:super:PASSWORD.
    """


@member.command(name="list")
@json_option
@click.option(
    "--servers", type=Servers(), envvar="COORD_SERVERS", default="127.0.0.1:2181", show_default=True,
    show_envvar=True, help="Those to ask; other members are asked where these say that they are.",
)  # fmt: skip
def list_members(*, servers: list[Address], as_json: bool) -> None:
    """Show the members: their part, their addresses, and how many entries each lags behind."""
    answers = trio.run(ask_cluster, servers)
    leader = leader_of(answers)
    statuses = [answer.status for answer in answers if answer.status is not None]
    if not statuses:
        raise Failure("; ".join(answer.problem or "no answer" for answer in answers), ExitCode.UNREACHABLE)
    # The leader's view: only it knows how far the others are.
    status = next((one for one in statuses if one["member"] == leader), statuses[0])
    if as_json:
        click.echo(json.dumps({"leader": leader, "members": status["members"], "change": status["change"]}))
        return
    console = Console()
    console.width = max(console.width, 100)
    console.print(_table(status, leader))
    change = status["change"]
    if change["doing"]:
        click.echo(f"under way: {change['doing']}")
    elif change["failure"]:
        click.echo(f"the last change was given up: {change['failure']}")


def _table(status: dict[str, Any], leader: int | None) -> Table:
    shown = Table("member", "part", "members reach it at", "clients at", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown.add_column("lag", justify="right")
    for number, known in status["members"].items():
        match = known["match_index"]
        is_leader = int(number) == leader
        part = Text("leader" if is_leader else known["part"], style="bold cyan" if is_leader else "")
        lag = "?" if match is None else str(max(0, status["commit_index"] - match))
        shown.add_row(number, part, known["peer"], known["client"], lag)
    return shown


@member.command()
@click.argument("id", type=MEMBER)
@click.argument("address", type=PeerAddress())
@click.option("--learner", is_flag=True, help="Without a vote for good: a read replica.")
@wait_option
@cluster_options
def add(cluster: Cluster, *, id: int, address: str, learner: bool, no_wait: bool) -> None:
    """Add member ID, which other members reach at HOST:PEERPORT.

    Start it there, before or after, with an empty data directory and the address of any member:
    `coord serve --id ID --peer HOST:PEERPORT --join HOST:PEERPORT`. To make a learner a voter, add it again.
    """
    _change(cluster, [JoiningMember(id, address, learner)], [], no_wait)
    if not no_wait:
        click.echo(f"member {id} is a learner" if learner else f"member {id} has a vote")


@member.command()
@click.argument("id", type=MEMBER)
@wait_option
@cluster_options
def remove(cluster: Cluster, *, id: int, no_wait: bool) -> None:
    """Remove member ID; if it leads, it hands over first.

    Stop its server afterwards. Its data directory is of no more use: to add it again, begin with an empty one.
    """
    _change(cluster, [], [id], no_wait)
    if not no_wait:
        click.echo(f"member {id} is removed; stop its server")


@member.command()
@click.argument("old", type=MEMBER)
@click.argument("new", type=MEMBER)
@click.argument("address", type=PeerAddress())
@wait_option
@cluster_options
def replace(cluster: Cluster, *, old: int, new: int, address: str, no_wait: bool) -> None:
    """Let member NEW, at HOST:PEERPORT, take the place of member OLD, in one step, once NEW has caught up.

    Start NEW with an empty data directory and --join, as for `coord member add`. OLD may be gone already.
    """
    _change(cluster, [JoiningMember(new, address, False)], [old], no_wait)
    if not no_wait:
        click.echo(f"member {new} has taken the place of member {old}")


@member.command()
@click.argument("id", type=MEMBER)
@click.argument("address", type=PeerAddress())
@cluster_options
def move(cluster: Cluster, *, id: int, address: str) -> None:
    """Tell the others that member ID is now reached at HOST:PEERPORT. Links that stand are kept."""

    async def readdress(client: Client) -> None:
        known = (await client.status())["members"].get(str(id))
        if known is None:
            raise Failure(f"there is no member {id}: add it with `coord member add {id} {address}`", ExitCode.NO)
        await client.change_members([JoiningMember(id, address, known["part"] == "learner")])
        await _wait(client)

    cluster.run(readdress, writes=True)
    click.echo(f"member {id} is reached at {address}")


@member.command()
@click.argument("to", type=MEMBER, required=False)
@cluster_options
def transfer(cluster: Cluster, *, to: int | None) -> None:
    """Have the leader hand over to member TO, or to whoever holds most."""
    answers = trio.run(ask_cluster, parse_hosts(cluster.servers)[0])
    leader = leader_of(answers)
    if leader is None:
        raise Failure("nobody knows a leader; see `coord status`", ExitCode.UNREACHABLE)
    if to == leader:
        click.echo(f"member {leader} leads already")
        return
    address = addresses_known(answers)[leader]

    async def hand_over(client: Client) -> int:
        await client.transfer_leadership(to or 0)
        while True:
            status = await client.status()
            if status["leader"] not in (None, leader):
                return int(status["leader"])
            if status["leader"] == leader and not status["is_handing_over"]:
                raise Failure(f"member {leader} leads on: the other did not take over in time", ExitCode.NO)
            await trio.sleep(POLL)

    now_leads = Cluster(str(address), cluster.auth, cluster.timeout).run(hand_over, writes=True)
    click.echo(f"member {now_leads} leads")


def _change(cluster: Cluster, joining: Sequence[JoiningMember], leaving: Sequence[int], no_wait: bool) -> None:
    """Begin a change and, unless it is not wanted, wait until it is done. Raises `Failure` with the reason if it is
    given up."""

    async def ask(client: Client) -> None:
        await client.change_members(joining, leaving)

    async def ask_and_wait(client: Client) -> None:
        await ask(client)
        with Console(stderr=True).status("") as shown:
            await _wait(client, shown.update)

    if no_wait:
        cluster.run(ask, writes=True)
    else:
        cluster.run(ask_and_wait, writes=True, endless=True)


async def _wait(client: Client, show: Callable[[str], object] = lambda text: None) -> None:
    while True:
        status = await client.status()
        change = status["change"]
        if not change["doing"]:
            break
        matches = [known["match_index"] or 0 for known in status["members"].values() if known["part"] == "learner"]
        so_far = f", {min(matches):,} of {status['commit_index']:,} entries" if matches and any(matches) else ""
        show(f"{change['doing']}{so_far} …")
        await trio.sleep(POLL)
    if change["failure"]:
        raise Failure(f"given up: {change['failure']}", ExitCode.NO)
