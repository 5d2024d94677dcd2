"""ZooKeeper's words for a change of members (ZOOKEEPER-PROTOCOL §5.9), as a `Change`.

    server.4=db4.example:2281:3888:participant;db4.example:2181

is member 4: where other members reach it, a second port that only ZooKeeper needs, its part (`participant`, which is
also meant if it is not said, or `observer`), and where clients do (a port alone means 0.0.0.0).
"""

import re

from coord.raft.types import MemberId
from coord.replica.writes import Refused
from coord.tree.members import Change, Joining
from coord_protocol.errors import Code
from coord_protocol.requests import ReconfigRequest

_SERVER = re.compile(
    r"server\.(?P<member>[1-9]\d{0,8})=(?P<host>\[[^\]]+\]|[^:;\[\]]+):(?P<peer>\d{1,5}):(?P<election>\d{1,5})"
    r"(?::(?P<part>participant|observer))?(?:;(?P<client>(?:(?:\[[^\]]+\]|[^:;\[\]]+):)?\d{1,5}))?"
)


def change_of(request: ReconfigRequest) -> Change:
    """Raises `Refused` with BadArguments."""
    joining, leaving, whole = request.joining or "", request.leaving or "", request.new_members or ""
    if whole and (joining or leaving):
        raise _refusal("either a whole new list of servers, or who joins and who leaves")
    if not (whole or joining or leaving):
        raise _refusal("nobody joins and nobody leaves")
    return Change(
        tuple(_joining(text) for text in _items(whole or joining)),
        tuple(_leaving(text) for text in _items(leaving)),
        request.config_id,
        bool(whole),
    )


def _items(text: str) -> list[str]:
    """Separated by commas or, as /zookeeper/config has them, by newlines; its last line is no server.

    >>> _items("server.1=a:1:2, server.2=b:1:2\\nversion=1a")
    ['server.1=a:1:2', 'server.2=b:1:2']
    """
    items = [item.strip() for item in re.split(r"[,\n]", text)]
    return [item for item in items if item and not item.startswith("version=")]


def _joining(text: str) -> Joining:
    found = _SERVER.fullmatch(text)
    if found is None or any(int(found[port]) > 65535 for port in ("peer", "election")):
        raise _refusal(f"{text!r} is not server.ID=HOST:PORT:PORT[:participant|observer][;[HOST:]PORT]")
    client = found["client"] or ""
    return Joining(
        MemberId(int(found["member"])),
        f"{found['host']}:{found['peer']}",
        found["part"] == "observer",
        f"0.0.0.0:{client}" if client.isdigit() else client,
        found["election"],
    )


def _leaving(text: str) -> MemberId:
    if not text.isdigit():
        raise _refusal(f"{text!r} leaves: the number of a member was expected")
    return MemberId(int(text))


def _refusal(text: str) -> Refused:
    return Refused(int(Code.BAD_ARGUMENTS), text)
