"""Latencies in fixed buckets: no sample is dropped, and an hour takes as much memory as a second.

Up to an eighth of a second buckets are a microsecond wide (1.024, a power of two), so that to count is to
add to one item of a list; above, their widths double with every octave, 128 buckets to each. So values are
right to within a microsecond or 0.8 %, whichever is more.
"""

from collections.abc import Iterator

FINE_SHIFT = 10
FINE_BELOW = 1 << 27  # nanoseconds
COARSE_BITS = 7
OCTAVES = 24  # above FINE_BELOW; more than three weeks


class Histogram:
    """Of nanoseconds."""

    __slots__ = ("_coarse", "fine")

    def __init__(self) -> None:
        self.fine = [0] * (FINE_BELOW >> FINE_SHIFT)
        """By `value >> FINE_SHIFT`, for those below FINE_BELOW. The hot path adds to it itself."""
        self._coarse = [0] * (OCTAVES << COARSE_BITS)

    def add(self, value: int, count: int) -> None:
        """Count `value` so many times."""
        if value < FINE_BELOW:
            self.fine[value >> FINE_SHIFT] += count
        else:
            octave = value.bit_length() - FINE_BELOW.bit_length()
            within = value >> (value.bit_length() - 1 - COARSE_BITS)
            self._coarse[(octave << COARSE_BITS) + within - (1 << COARSE_BITS)] += count

    @property
    def count(self) -> int:
        return sum(self.fine) + sum(self._coarse)

    @property
    def mean(self) -> float:
        return sum(high * count for high, count in self._buckets()) / max(self.count, 1)

    @property
    def highest(self) -> int:
        return max((high for high, _ in self._buckets()), default=0)

    def quantile(self, share: float) -> int:
        """A value that `share` of all are not above: never too low. 0 if there are none."""
        wanted = share * self.count
        seen = 0
        for high, count in self._buckets():
            seen += count
            if seen >= wanted:
                return high
        return 0

    def _buckets(self) -> Iterator[tuple[int, int]]:
        """Those that are not empty, in order: the highest value that belongs there, and how many do."""
        for bucket, count in enumerate(self.fine):
            if count:
                yield ((bucket + 1) << FINE_SHIFT) - 1, count
        for bucket, count in enumerate(self._coarse):
            if count:
                octave, within = divmod(bucket, 1 << COARSE_BITS)
                width_bits = octave + FINE_BELOW.bit_length() - 1 - COARSE_BITS
                yield ((within + (1 << COARSE_BITS) + 1) << width_bits) - 1, count
