"""Servers that are found by their callers. Start some, each in a terminal, and a caller; then kill whom you like:

    python examples/service_discovery.py serve --name a      # then b, c, …
    python examples/service_discovery.py call

A server takes any free port, and registers it with how many calls it has answered. The caller always knows who is
there now, and calls whoever has answered least. A server that ends by Ctrl-C is gone from the list at once; one that is
killed, when its session has run out: until then the caller gets no connection, and takes another.
"""

import argparse
from contextlib import suppress

import anyio
from anyio.abc import SocketAttribute, SocketStream

from coord_client import connect
from coord_client.recipes import Service, ServiceRegistry
from coord_protocol.errors import ConnectionLost

BASE = "/services"


async def serve(servers: str, name: str) -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    async with connect(servers, name=name, session_timeout=4.0) as client:
        service = Service("greeter", address="127.0.0.1", port=port, metadata={"calls": 0})
        async with ServiceRegistry(client, BASE).register(service) as registration:
            print(name, "serves", flush=True)

            async def answer(caller: SocketStream) -> None:
                async with caller:
                    with suppress(anyio.BrokenResourceError, ConnectionLost):
                        await caller.send(f"hello from {name}".encode())
                        await registration.update({"calls": registration.service.metadata["calls"] + 1})

            await listener.serve(answer)


async def call(servers: str, name: str) -> None:
    async with connect(servers, name=name) as client, ServiceRegistry(client, BASE).watch("greeter") as changes:
        async for instances in changes:  # the list now; then whenever one comes, goes, or has answered a call
            print(len(instances), "servers", flush=True)
            for instance in sorted(instances, key=lambda each: each.metadata["calls"]):
                with suppress(OSError, anyio.EndOfStream):
                    async with await anyio.connect_tcp(str(instance.address), instance.port or 0) as server:
                        print((await server.receive()).decode(), flush=True)
                        break
            await anyio.sleep(0.2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["serve", "call"])
    parser.add_argument("--servers", default="127.0.0.1:2181", help="host:port,host:port")
    parser.add_argument("--name", default="a", help="of this process")
    options = parser.parse_args()
    with suppress(KeyboardInterrupt):
        anyio.run(serve if options.role == "serve" else call, options.servers, options.name)
