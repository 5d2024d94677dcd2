"""Paths of znodes as arguments: checked, and completed by the shell from what the cluster has.

The shell asks on each Tab, so a session is opened for half a second at most, and whatever goes wrong means only
that nothing is offered.
"""

from typing import Any, Final

import click
import trio
from click.shell_completion import CompletionItem

from coord.cli.cluster import DEFAULT_SERVERS
from coord_client import Client, connect
from coord_protocol.errors import BadArguments, CoordError
from coord_protocol.paths import join, validate_path

PATIENCE: Final = 0.5  # seconds
MOST_OFFERED: Final = 1000  # a shell that lists more helps nobody


class ZnodePath(click.ParamType[str]):
    """An absolute path; the slash that a completion leaves at its end is taken off."""

    name = "PATH"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        path = str(value)
        path = path.rstrip("/") or path[:1]
        try:
            validate_path(path)
        except BadArguments as error:
            self.fail(str(error), param, ctx)
        return path

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        servers = ctx.params.get("servers") or DEFAULT_SERVERS
        auth = ctx.params.get("auth") or ()
        return [CompletionItem(path) for path in _ask(servers, auth, incomplete)]


def _ask(servers: str, auth: Any, incomplete: str) -> list[str]:
    async def ask() -> list[str]:
        with trio.move_on_after(PATIENCE):
            async with connect(servers, auth=auth, connect_timeout=PATIENCE) as client:
                return await paths_like(client, incomplete)
        return []

    try:
        return trio.run(ask)
    except (CoordError, OSError):
        return []


async def paths_like(client: Client, incomplete: str) -> list[str]:
    """Paths that begin with `incomplete`, one component further.

    If there is but one and it has children, they are given, too: shells then go on without a blank behind it.
    """
    if not incomplete.startswith("/"):
        return [] if incomplete else ["/", *await _children(client, "/", "")]
    cut = incomplete.rfind("/")
    matches = await _children(client, incomplete[:cut] or "/", incomplete[cut + 1 :])
    if len(matches) == 1:
        matches += await _children(client, matches[0], "")
    return matches[:MOST_OFFERED]


async def _children(client: Client, path: str, beginning: str) -> list[str]:
    names = await client.get_children(path)
    return [join(path, name) for name in sorted(names) if name.startswith(beginning)]


path_argument = click.argument("path", type=ZnodePath())
