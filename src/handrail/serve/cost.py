"""What rows cost in batches of different sizes, learned from those that were answered, and how many rows pay."""

from __future__ import annotations

import math
from typing import Final

# A batch twice as large has to make a row this much cheaper, or its rows only wait for each other.
GAIN: Final = 0.97
NEWEST: Final = 0.1
# A size that was not seen for a while is judged anew.
NEWEST_AFTER_A_PAUSE: Final = 0.5
# Sizes seen less often than this are not judged.
SEEN: Final = 4
# So many rows go together before anything was measured.
FIRST_ROWS: Final = 16
LONGEST_BATCH_S: Final = 0.25
# A batch takes no more than this part of the time that its first has, where smaller ones make rows hardly dearer.
PART_OF_PATIENCE: Final = 0.15
HARDLY_DEARER: Final = 1.1
# Now and then a batch may be twice as large as pays by what is known: what is never tried is never learned.
TRY_EVERY: Final = 64
JUDGE_EVERY: Final = 8
# How soon a machine that has become slower is noticed, in seconds of work, and how much slower one stall may make it.
SLOWER_S: Final = 0.4
SLOWER_AT_MOST: Final = 8.0


class Cost:
    """Seconds for each row by size of batch: 1, 2, up to 4, up to 8, … rows.

    A straight line through rows and seconds would do where every row is alike. Texts are padded to their longest and
    caches fill up, so a row may cost more again in a large batch: sizes are compared as they were measured.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        # How many rows a batch may have, and how many are reckoned with when a longer wait is foretold.
        self.best_rows = min(max_rows, FIRST_ROWS)
        self._hoped_rows = max_rows
        # Until something was measured, a row is taken to cost a millisecond.
        self._row_s = [0.001] * (_size(max_rows) + 1)
        self._seen = [0] * len(self._row_s)
        self._last = [0] * len(self._row_s)
        # The same, with sizes that were never seen judged by those that were.
        self._foretold_s = list(self._row_s)
        # How much longer batches take at the moment than they did: other programs take the processor from all sizes
        # alike, and one size is seen again long before the others are.
        self._slower = 1.0
        self._batches = 0

    def seconds(self, rows: int) -> float:
        """What that many rows will take, in batches of the size that pays."""
        whole, rest = divmod(rows, self._hoped_rows)
        return whole * self._batch_s(self._hoped_rows) + (self._batch_s(rest) if rest else 0.0)

    def rows_for(self, patience_s: float) -> int:
        """How many rows go together for somebody who waits so long: what pays, but where that takes a good part of the
        time there is, fewer, as long as a row costs about the same. Who comes next waits for the whole batch."""
        rows, most_s = self.best_rows, HARDLY_DEARER * self._foretold_s[_size(self.best_rows)]
        while (
            rows > 1
            and self._batch_s(rows) > PART_OF_PATIENCE * patience_s
            and self._foretold_s[_size(rows // 2)] <= most_s
        ):
            rows //= 2
        return rows

    def _batch_s(self, rows: int) -> float:
        return rows * self._foretold_s[_size(rows)] * max(1.0, self._slower)

    def learn(self, rows: int, seconds: float) -> None:
        """Takes a batch into account."""
        size = min(_size(rows), len(self._seen) - 1)
        if self._seen[size]:
            self._compare(seconds, seconds / (rows * self._row_s[size]))
        paused = self._batches - self._last[size] >= TRY_EVERY // 2
        share = NEWEST_AFTER_A_PAUSE if paused else NEWEST
        share = max(share, 1 / (1 + self._seen[size]))
        self._row_s[size] += share * (seconds / rows - self._row_s[size])
        self._seen[size] += 1
        self._batches += 1
        self._last[size] = self._batches
        self._foretold_s[size] = self._row_s[size]
        # Judging costs as much as all else that a batch costs here; after a while it tells little that is new.
        if self._batches < TRY_EVERY or self._batches % JUDGE_EVERY <= 1:
            self._judge()
            self._foretell()

    def _compare(self, seconds: float, slower: float) -> None:
        share = 1 - math.exp(-seconds / SLOWER_S)
        self._slower += share * (min(slower, SLOWER_AT_MOST) - self._slower)

    def _judge(self) -> None:
        known = [size for size, seen in enumerate(self._seen) if seen >= SEEN]
        if not known:
            return
        best = known[0]
        for size in known:
            if self._row_s[size] < GAIN ** (size - best) * self._row_s[best]:
                best = size
        # What is larger than all that was seen may still pay: it is tried step by step, and hoped for at once.
        grows = best == known[-1]
        pays = 2 ** (best + grows)
        if self._batches % TRY_EVERY == 0:
            pays *= 2
        in_time = int(LONGEST_BATCH_S / self._row_s[best])
        self.best_rows = max(1, min(self._max_rows, pays, in_time))
        self._hoped_rows = max(1, min(self._max_rows, in_time)) if grows else self.best_rows

    def _foretell(self) -> None:
        """Sizes that were never seen go on as the last ones that were: a row that cost half as much in a batch twice as
        large will again, and one that cost the same will, too. Where one size was seen, it is hoped that rows cost
        nothing: better to let in too much once, and learn, than to refuse what would have been easy."""
        last, last_s, ratio = -1, 0.0, 0.5
        for size, seen in enumerate(self._seen):
            if seen:
                if last >= 0:
                    ratio = min(1.0, max(0.5, (self._row_s[size] / last_s) ** (1 / (size - last))))
                last, last_s = size, self._row_s[size]
            if last >= 0:
                self._foretold_s[size] = last_s * ratio ** (size - last)


def _size(rows: int) -> int:
    """0 for one row, 1 for two, 2 for up to four, …"""
    return max(0, rows - 1).bit_length()
