"""Jobs for many workers: each is done, and its result written once. Start some, and kill whom you like:

    python examples/job_queue.py produce --jobs 20
    python examples/job_queue.py work --name w1        # and w2, w3, …, each in a terminal

A worker holds its job while it works on it. If it dies, or is cut off, the job is free again; before that, what it
does is cancelled. The transaction that takes a job out of the queue also writes its result, so there is only one.
"""

import argparse
from contextlib import suppress

import anyio

from coord_client import Client, Create, connect
from coord_client.recipes import LockingQueue
from coord_protocol.errors import ConnectionLost, LockLost, OperationTimeout, SessionExpired

QUEUE, RESULTS = "/job-queue/jobs", "/job-queue/results"


async def produce(client: Client, jobs: int) -> None:
    values = [f"{number} + {number}".encode() for number in range(jobs)]
    await LockingQueue(client, QUEUE).put_all(values)  # all of them or none
    print("put", jobs, flush=True)


async def work(client: Client, name: str) -> None:
    await client.ensure_path(RESULTS)
    queue = LockingQueue(client, QUEUE)
    while True:
        async with queue.take() as item:
            print(name, "begins", item.name, flush=True)
            left, _, right = item.value.decode().split()
            await anyio.sleep(0.5)  # it is hard work
            result = f"{item.value.decode()} = {int(left) + int(right)}, says {name}"
            await item.consume(Create(f"{RESULTS}/{item.name}", result.encode()))
            print(name, "done", item.name, flush=True)


async def main(task: str, servers: str, name: str, jobs: int) -> None:
    if task == "produce":
        async with connect(servers) as client:
            return await produce(client, jobs)
    while True:
        try:
            async with connect(servers, name=name, session_timeout=4.0) as client:
                await work(client, name)
        except (ConnectionLost, LockLost, OperationTimeout, SessionExpired) as error:
            print(name, "restarts:", error, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=["produce", "work"])
    parser.add_argument("--servers", default="127.0.0.1:2181", help="host:port,host:port")
    parser.add_argument("--name", default="worker", help="of this worker")
    parser.add_argument("--jobs", type=int, default=20, help="to produce")
    with suppress(KeyboardInterrupt):
        anyio.run(main, *vars(parser.parse_args()).values())
