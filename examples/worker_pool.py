"""Workers that elect a leader, who hands out the jobs. Start some, each in a terminal, and kill whom you like:

    python examples/worker_pool.py --name w1 --jobs 200      # then w2, w3, … without --jobs

What they know is in the tree, so whoever leads next goes on where the last one stopped:

    /pool/jobs/job-0000000007      is to be done; its data says how many seconds that takes
    /pool/workers/w2               is there while w2 lives; its data names the job that w2 has, if any
    /pool/results/job-0000000007   says who did it
    /pool/leader/…                 the candidates

Each job is done once, whoever dies and whenever: the znode of a worker that dies goes with its session, and its job is
free again; a job becomes a result in one transaction, which nobody can do twice; and a leader writes under its fencing
token: one that was stopped, wakes up, and writes on as if nothing had happened, is refused.
"""

import argparse
from contextlib import suppress

import anyio

from coord_client import Check, Client, Create, Set, connect
from coord_client.transaction import Op
from coord_protocol.errors import ApiError, ConnectionLost, LockLost, NoNode, OperationTimeout, SessionExpired

JOBS, WORKERS, RESULTS, LEADER = "/pool/jobs", "/pool/workers", "/pool/results", "/pool/leader"


class Worker:
    """Does jobs, and hands them out when it leads. Prints a line per event: `w2 done job=job-0000000007`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.token = 0  # of our last time as the leader
        self.last_write: list[Op] = []  # under it

    def tell(self, event: str, **details: object) -> None:
        print(self.name, event, *(f"{key}={value}" for key, value in details.items()), flush=True)

    async def work(self, client: Client) -> None:
        me = f"{WORKERS}/{self.name}"
        stat, change = await client.exists_and_watch(me)
        while stat is not None:  # we were killed, and started again before that session has run out
            await change.wait()
            stat, change = await client.exists_and_watch(me)
        await client.create(me, ephemeral=True)
        self.tell("ready")
        while True:
            (data, stat), change = await client.get_and_watch(me)
            if not (job := data.decode()):
                await change.wait()
                continue
            try:
                seconds, _ = await client.get(f"{JOBS}/{job}")
                await anyio.sleep(float(seconds))
                done = client.transaction().delete(f"{JOBS}/{job}").create(f"{RESULTS}/{job}", self.name.encode())
                await done.set(me, b"", stat.version).commit()
                self.tell("done", job=job)
            except ConnectionLost:
                continue  # it may be done or not, which our znode shows
            except ApiError:
                await client.set(me, b"")  # somebody else has done it

    async def lead(self, client: Client) -> None:
        """Once elected. Is cancelled, with `LockLost`, before anybody else leads."""
        async with client.election(LEADER) as leadership, client.watch(WORKERS, recursive=True) as news:
            self.token = leadership.token
            self.tell("leads", token=self.token)
            while True:
                await self.hand_out(client, leadership.fence())
                with anyio.move_on_after(0.5):  # then we look for new jobs in any case
                    await anext(news)

    async def hand_out(self, client: Client, fence: Check) -> None:
        """Give idle workers free jobs: those that were still to be done when we had seen that nobody has them."""
        try:
            workers = await client.get_children(WORKERS)
            has = {name: (await client.get(f"{WORKERS}/{name}")).data.decode() for name in workers}
            free = sorted(set(await client.get_children(JOBS)) - set(has.values()))
            for name, job in zip([name for name in workers if not has[name]], free, strict=False):
                self.last_write = [fence, Set(f"{WORKERS}/{name}", job.encode())]
                await client.multi(self.last_write)
                self.tell("gives", job=job, to=name)
        except (NoNode, ConnectionLost):
            return  # a worker is gone, or an answer: the next look shows what became of it

    async def repeat_last_write(self, client: Client) -> None:
        """If we led in our last life, our last write comes once more, as if it had been stuck in the network."""
        try:
            await client.multi(self.last_write)
        except NoNode as error:
            self.tell("refused" if error.op_index == 0 else "failed", token=self.token)
        self.last_write = []


async def main(servers: str, name: str, jobs: int, timeout: float) -> None:
    async with connect(servers) as client:
        for path in (JOBS, WORKERS, RESULTS):
            await client.ensure_path(path)
        await client.transaction(*[Create(f"{JOBS}/job-", b"0.5", sequence=True)] * jobs).commit()
    worker = Worker(name)
    while True:  # a life lasts as long as a session, with which all ends that we hold
        try:
            async with connect(servers, name=name, session_timeout=timeout) as client:
                await worker.repeat_last_write(client)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(worker.work, client)
                    tasks.start_soon(worker.lead, client)
        except* (ConnectionLost, LockLost, OperationTimeout, SessionExpired):
            worker.tell("restarts")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--servers", default="127.0.0.1:2181", help="host:port,host:port")
    parser.add_argument("--name", required=True, help="of this worker; unique in the pool")
    parser.add_argument("--jobs", type=int, default=0, help="to put into the pool first")
    parser.add_argument("--timeout", type=float, default=4.0, help="of the session, in seconds")
    with suppress(KeyboardInterrupt):
        anyio.run(main, *vars(parser.parse_args()).values())
