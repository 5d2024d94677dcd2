"""Plain threads that share one client and take turns under a lock. Start it twice: the processes take turns, too.

    python examples/threads_lock.py --servers 127.0.0.1:2181 --name w1

A turn reads a number and writes the next one, under the lock's fencing token: refused as a whole, if the lock was lost
meanwhile. The sleep stands for work that nothing can stop; the token is what makes it harmless.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from coord_client.sync import Client, connect
from coord_protocol.errors import LockLost, NodeExists

LOCK, NUMBER = "/turns/lock", "/turns/number"


def take_turn(client: Client, name: str) -> str:
    """Add one, slowly. What was lost on the way is done again."""
    while True:
        try:
            with client.lock(LOCK, name=name, timeout=60) as held:
                number = int(client.get(NUMBER).data) + 1
                time.sleep(0.01)
                client.transaction(held.fence()).set(NUMBER, b"%d" % number).commit()
                return f"{name} turn={number} token={held.token}"
        except LockLost as error:
            print(f"{name} again: {error}", flush=True)


def main() -> None:
    """Each of the threads takes some turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", default="127.0.0.1:2181", help="host:port, or several with commas between")
    parser.add_argument("--name", default="w1")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--turns", type=int, default=5, help="of each thread")
    options = parser.parse_args()

    with connect(options.servers, name=options.name) as client, ThreadPoolExecutor(options.threads) as threads:
        with suppress(NodeExists):  # from an earlier run
            client.create(NUMBER, b"0", make_parents=True)
        names = [f"{options.name}-{number}" for number in range(options.threads)] * options.turns
        for line in threads.map(lambda name: take_turn(client, name), names):
            print(line, flush=True)


if __name__ == "__main__":
    main()
