"""Compare coord with Debian's ZooKeeper, thousands of sequences long.

    uv run python -m tests.differential --seeds 2000 --steps 200     seeds 0 to 1999
    uv run python -m tests.differential --first 17 --seeds 1         one seed again
    uv run python -m tests.differential --replay steps.txt           steps as a failure prints them

Exit status 1 if anything differs that has no name in `tests/differential/known.py`.
"""

import argparse
import math
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.conftest import has_zookeeper
from tests.differential import servers
from tests.differential.arena import Arena
from tests.differential.steps import read


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0, help="the first seed [0]")
    parser.add_argument("--seeds", type=int, default=100, help="how many [100]")
    parser.add_argument("--steps", type=int, default=200, help="of each sequence [200]")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after so long [never]")
    parser.add_argument("--failures", type=int, default=3, help="stop after so many [3]")
    parser.add_argument("--extended", action="store_true", help="with containers and znodes that have a TTL")
    parser.add_argument("--replay", type=Path, help="a file with steps, instead of seeds")
    options = parser.parse_args()
    if not has_zookeeper():
        parser.error("ZooKeeper is not installed: apt-get install zookeeper")
    with (
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as other,
        servers.zookeeper(Path(one)) as zookeeper,
        servers.coord(Path(other)) as coord,
    ):
        arena = Arena(zookeeper, coord)
        if options.replay is not None:
            return replay(arena, options.replay)
        seeds = range(options.first, options.first + options.seeds)
        return campaign(arena, seeds, options)


def campaign(arena: Arena, seeds: range, options: argparse.Namespace) -> int:
    steps: int = options.steps
    began = time.monotonic()
    met: Counter[str] = Counter()
    done = failed = 0
    for seed in seeds:
        report, comparison = arena.report(seed, steps, options.extended)
        met.update(known.name for known in comparison.known)
        done += 1
        if report:
            print(report, flush=True)
            failed += 1
        if failed >= options.failures or time.monotonic() - began > options.seconds:
            break
    last, took = seeds.start + done - 1, time.monotonic() - began
    print(f"seeds {seeds.start} to {last}, {steps} steps each, in {took:.0f} s: {failed} differ without a name")
    for name, sequences in met.most_common():
        print(f"  {sequences:5} sequences show: {name}")
    return 1 if failed else 0


def replay(arena: Arena, path: Path) -> int:
    steps = read(path.read_text().splitlines())
    difference = arena.contest(steps).difference
    print("no difference without a name" if difference is None else difference.told(steps))
    return 0 if difference is None else 1


if __name__ == "__main__":
    sys.exit(main())
