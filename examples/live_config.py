"""A program whose configuration changes while it runs. Start it in one terminal, and change it in another:

    python examples/live_config.py
    python examples/live_config.py --set '{"greeting": "good evening", "pause": 0.2}'
    python examples/live_config.py --set '{"pause": "oops"}'

Each beat uses the value of that moment. What makes no sense is refused and told, and the last good value stays in use.
The program goes on if all servers are away for a while; it says so, as its value may be old then.
"""

import argparse
import json
from contextlib import suppress
from typing import Any

import anyio

from coord_client import connect
from coord_client.recipes import ConfigCache
from coord_protocol.errors import NodeExists

PATH = "/config/beat"


def parse(data: bytes) -> dict[str, Any]:
    """Raises whatever it likes; what is missing has its default."""
    given = json.loads(data)
    return {"greeting": str(given.get("greeting", "hello")), "pause": float(given.get("pause", 0.5))}


async def tell_changes(config: ConfigCache[dict[str, Any]]) -> None:
    async with config.changes() as changes:
        async for state in changes:
            print("value", json.dumps(state.value), "live" if state.is_live else "may be old", flush=True)
            if state.refused is not None:
                print("refused", state.refused.data.decode(), repr(state.refused.error), flush=True)


async def main(servers: str, new: str | None) -> None:
    async with connect(servers) as client:
        if new is not None:
            try:
                await client.create(PATH, new.encode(), make_parents=True)
            except NodeExists:
                await client.set(PATH, new.encode())
            return
        cache = ConfigCache(client, PATH, parse=parse, default=parse(b"{}"))
        async with cache as config, anyio.create_task_group() as tasks:
            tasks.start_soon(tell_changes, config)
            while True:
                print(config.value["greeting"], flush=True)
                await anyio.sleep(config.value["pause"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--servers", default="127.0.0.1:2181", help="host:port,host:port")
    parser.add_argument("--set", dest="new", metavar="JSON", help="write this as the configuration, and end")
    with suppress(KeyboardInterrupt):
        anyio.run(main, *vars(parser.parse_args()).values())
