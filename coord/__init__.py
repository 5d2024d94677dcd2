"""coord: a coordination service in the style of ZooKeeper.

    coord.embedded()     a server inside this process, see `coord.local.embedded`
    coord.Cluster        three of them as processes, as the pytest fixture `coord_cluster` gives

Who wants to talk to servers imports `coord_client`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from coord.version import __version__

if TYPE_CHECKING:
    from coord.local.blocking import Cluster
    from coord.local.embedded import EmbeddedServer, ServerEnded, embedded

__all__ = ["Cluster", "EmbeddedServer", "ServerEnded", "__version__", "embedded"]

_MODULES = {
    "Cluster": "coord.local.blocking",
    "EmbeddedServer": "coord.local.embedded",
    "ServerEnded": "coord.local.embedded",
    "embedded": "coord.local.embedded",
}
"""Imported when they are used: a server takes a quarter of a second to load, and `import coord` must take none."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
