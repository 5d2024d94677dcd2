"""How long an embedded server takes from the call to its first acknowledged write, measured in a process of its own.

    python -m coord.local.first_write trio              # or asyncio
    python -m coord.local.first_write trio DIRECTORY    # on disk

Prints seconds, for a first server and for a second one. The first has to import all that a server is made of, and on
asyncio trio as well; the application's own imports (its event loop, the client) are not counted. `coord
bench-embedded` runs this many times.
"""

import sys
import time
from pathlib import Path

import anyio

import coord
from coord_client import connect


async def first_writes(directory: str | None) -> None:
    """Two servers, one after the other."""
    for name in ("first", "second"):
        begin = time.perf_counter()
        data = None if directory is None else Path(directory, name)
        async with coord.embedded(data) as server, connect(server.address) as client:
            await client.create("/a", b"")
            sys.stdout.write(f"{time.perf_counter() - begin:.4f}\n")


if __name__ == "__main__":
    _, backend, *arguments = sys.argv
    anyio.run(first_writes, arguments[0] if arguments else None, backend=backend)
