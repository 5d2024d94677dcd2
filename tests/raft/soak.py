"""Weather many storms: `python -m tests.raft.soak --first 1 --count 2000` prints the seeds that fail."""

import argparse
import sys

from .storm import weather_the_storm


def main() -> int:
    """Run the seeds; the exit status tells whether all went well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=5.0, help="virtual time of trouble per seed")
    options = parser.parse_args()
    failed = 0
    for seed in range(options.first, options.first + options.count):
        try:
            weather_the_storm(seed, options.seconds)
        except AssertionError as violation:
            failed += 1
            sys.stdout.write(f"seed {seed}: {violation}\n")
    sys.stdout.write(f"{options.count} storms, {failed} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
