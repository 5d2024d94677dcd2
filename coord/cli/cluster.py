"""The cluster that a command speaks to: the options that name it, and one session with it.

@click.command()
@cluster_options
def sync(cluster: Cluster) -> None:
    cluster.run(lambda client: client.sync())
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, TypeVar

import click
import trio

from coord.cli.exit_codes import errors_as_exit_codes
from coord_client import Client, connect
from coord_client.addresses import parse_hosts
from coord_protocol.errors import LocalProtocolError, OperationTimeout

DEFAULT_SERVERS: Final = "127.0.0.1:2181"
DEFAULT_TIMEOUT: Final = 5.0  # seconds; longer than an election takes, shorter than a person's patience

T = TypeVar("T")


class ServerList(click.ParamType[str]):
    """`host:port,host:port/chroot`, checked, and left as it is."""

    name = "HOST:PORT,…[/ROOT]"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            parse_hosts(str(value))
        except LocalProtocolError as error:
            self.fail(str(error), param, ctx)
        return str(value)


class Credentials(click.ParamType[tuple[str, str]]):
    """`scheme:credentials`, of which ZooKeeper's are digest:USER:PASSWORD."""

    name = "SCHEME:CREDENTIALS"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        scheme, colon, credentials = str(value).partition(":")
        if not scheme or not colon:
            self.fail("expected SCHEME:CREDENTIALS, such as digest:user:password", param, ctx)
        return scheme, credentials


servers_option = click.option(
    "--servers", type=ServerList(), envvar="COORD_SERVERS", default=DEFAULT_SERVERS, show_default=True,
    show_envvar=True, help="Those to try; paths are below ROOT, if given.",
)  # fmt: skip
auth_option = click.option(
    "--auth", type=Credentials(), multiple=True, envvar="COORD_AUTH", show_envvar=True,
    help="An identity, such as digest:user:password. Others see it in `ps`, but not in the environment, where several "
    "stand with blanks between.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the options say."""

    servers: str
    auth: tuple[tuple[str, str], ...] = ()
    timeout: float = DEFAULT_TIMEOUT
    """Seconds for a server to be found, and then for the answers."""

    def run(self, work: Callable[[Client], Awaitable[T]], *, writes: bool = False, endless: bool = False) -> T:
        """What `work` returns, done in a session of its own. Raises `Failure` where it raises a `CoordError`.

        `writes`: the message of a failure says whether it may have happened. `endless`: only finding a server is
        limited in time.
        """

        async def speak() -> T:
            async with connect(self.servers, auth=self.auth, connect_timeout=self.timeout) as client:
                with trio.move_on_after(float("inf") if endless else self.timeout):
                    return await work(client)
            raise OperationTimeout(f"{self.servers}: no answer in {self.timeout:g} s")

        with errors_as_exit_codes(writes=writes):
            return trio.run(speak)


def cluster_options(command: Callable[..., T]) -> Callable[..., T]:
    """Adds --servers, --auth and --timeout, which the command gets as a `Cluster`, its first argument."""

    @servers_option
    @auth_option
    @click.option(
        "--timeout", type=click.FloatRange(min=0, min_open=True), default=DEFAULT_TIMEOUT, show_default=True,
        help="Seconds to find a server, and then to get the answers.",
    )  # fmt: skip
    @wraps(command)
    def with_cluster(*args: Any, servers: str, auth: tuple[tuple[str, str], ...], timeout: float, **kwargs: Any) -> T:
        return command(Cluster(servers, auth, timeout), *args, **kwargs)

    return with_cluster


json_option = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
