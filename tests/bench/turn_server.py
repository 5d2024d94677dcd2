"""A server that notes how long each of its turns takes.

    python -m tests.bench.turn_server FILE --id 1 --data DIRECTORY …      the flags of `coord serve`

A turn is what the loop (`coord.server.driver`) does between one `hub.gather` and the next. FILE is written when the
server has ended in good order; `tests.bench.turns` reads it.
"""

import sys
from array import array
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter_ns, thread_time_ns
from typing import ClassVar

from coord.cli.serve import serve
from coord.replica.inputs import Input
from coord.server import server
from coord.server.hub import Hub


class TimedHub(Hub):
    """A hub that knows when it was left, and when the loop is back. Costs a microsecond a turn."""

    turns: ClassVar["array[int]"] = array("q")
    """For each turn: when it began, how long it took, and how much of that it had a processor; in nanoseconds."""

    _began = 0
    _began_cpu = 0

    async def gather(self, until: float, take_clients: bool) -> Sequence[Input]:
        if self._began:
            cpu = thread_time_ns() - self._began_cpu
            self.turns.extend((self._began, perf_counter_ns() - self._began, cpu))
        batch = await super().gather(until, take_clients)
        self._began = perf_counter_ns()
        self._began_cpu = thread_time_ns()
        return batch


def main(file: Path, arguments: Sequence[str]) -> None:
    # There is no seam in production for what only we want to know.
    setattr(server, Hub.__name__, TimedHub)
    serve.main(list(arguments), standalone_mode=False)
    file.write_bytes(TimedHub.turns.tobytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
