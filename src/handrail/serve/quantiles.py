"""How long answers took in the last minutes, and how many there were of each kind of status; a count for each answer.

Times are counted in buckets that are 5 % wide, so a quantile is right to 2.5 %. The last minutes are kept in slices of
half a minute; the totals since the start are kept beside them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import accumulate
from time import monotonic
from typing import Final

from handrail.deploy.judge import Counts

SLICE_S: Final = 30.0
SLICES: Final = 6
FINEST_S, WIDTH, BUCKETS = 1e-4, 1.05, 288
# From 0.1 ms to two minutes.
BOUNDS: Final = tuple(FINEST_S * WIDTH**step for step in range(BUCKETS))
QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}

# A slice is one list: how many statuses of each hundred, and then how many times in each bucket.
_STATUSES: Final = 10
_LENGTH: Final = _STATUSES + BUCKETS + 1


class Recent:
    """The answers of one API or version. Times of failed ones (4xx, 5xx) are not counted: refusals are quick."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._slice = [0] * _LENGTH
        self._older: list[list[int]] = []
        self._before = [0] * _LENGTH
        self._ends = clock() + SLICE_S

    def observe(self, status: int, seconds: float) -> None:
        """An answer with that status is sent; it took so long."""
        if self._clock() >= self._ends:
            self._turn()
        self._slice[status // 100] += 1
        if status < 400:
            self._slice[_STATUSES + bisect_left(BOUNDS, seconds)] += 1

    def quantiles(self) -> dict[str, float] | None:
        """Seconds that half, 90 and 99 of 100 answers of the last minutes did not exceed; None: there were none."""
        buckets = self._recent()[_STATUSES:]
        seen = list(accumulate(buckets))
        if not seen[-1]:
            return None
        return {name: _middle(bisect_left(seen, share * seen[-1])) for name, share in QUANTILES.items()}

    def codes(self) -> dict[str, int]:
        """How many 2xx, 4xx and 5xx since the start; 1xx and 3xx are none of them."""
        return _codes(self._total())

    def recent_codes(self) -> dict[str, int]:
        """The same of the last minutes."""
        return _codes(self._recent())

    def counts(self) -> Counts:
        """All since the start, for the judge of a canary."""
        total = self._total()
        return Counts(sum(total[:_STATUSES]), total[5], tuple(total[_STATUSES:]), BOUNDS)

    def _recent(self) -> list[int]:
        if self._clock() >= self._ends:
            self._turn()
        return _sum([self._slice, *self._older])

    def _total(self) -> list[int]:
        return _sum([self._slice, self._before])

    def _turn(self) -> None:
        """Ends the slice, and as many after it as have passed without an answer."""
        passed = 1 + int((self._clock() - self._ends) // SLICE_S)
        self._before = self._total()
        empty = [[0] * _LENGTH for _ in range(min(passed - 1, SLICES))]
        self._older = [*empty, self._slice, *self._older][: SLICES - 1]
        self._slice = [0] * _LENGTH
        self._ends += passed * SLICE_S


def _sum(slices: Iterable[list[int]]) -> list[int]:
    return [sum(counts) for counts in zip(*slices, strict=True)]


def _middle(bucket: int) -> float:
    """The time in the middle of a bucket, by its proportion; the end of the last one is open."""
    return BOUNDS[min(bucket, BUCKETS - 1)] / (WIDTH**0.5 if 0 < bucket < BUCKETS else 1)


def _codes(counts: list[int]) -> dict[str, int]:
    return {"2xx": counts[2], "4xx": counts[4], "5xx": counts[5]}
