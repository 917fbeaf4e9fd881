"""What rows cost in batches of different sizes, learned from those that were answered, and how many rows pay."""

from __future__ import annotations

from typing import Final

# A batch twice as large has to make a row this much cheaper, or its rows only wait for each other.
GAIN: Final = 0.97
NEWEST: Final = 0.1
# A size that was not seen for a while is judged anew.
NEWEST_AFTER_A_PAUSE: Final = 0.5
# Sizes seen less often than this are not judged.
SEEN: Final = 4
LONGEST_BATCH_S: Final = 0.25
# Now and then a batch may be twice as large as pays by what is known: what is never tried is never learned.
TRY_EVERY: Final = 64


class Cost:
    """Seconds for each row by size of batch: 1, 2, up to 4, up to 8, … rows.

    A straight line through rows and seconds would do where every row is alike. Texts are padded to their longest and
    caches fill up, so a row may cost more again in a large batch: sizes are compared as they were measured.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self.best_rows = max_rows
        # Until something was measured, a row is taken to cost a millisecond.
        self._row_s = [0.001] * (_size(max_rows) + 1)
        self._seen = [0] * len(self._row_s)
        self._last = [0] * len(self._row_s)
        # What a batch of each size is foretold to take: so much, and so much for each row.
        self._fixed_s = [0.0] * len(self._row_s)
        self._each_s = list(self._row_s)
        self._best = 0
        self._batches = 0

    def seconds(self, rows: int) -> float:
        """What that many rows will take, in batches of the size that pays."""
        whole, rest = divmod(rows, self.best_rows)
        return whole * self._batch_s(self.best_rows) + (self._batch_s(rest) if rest else 0.0)

    def _batch_s(self, rows: int) -> float:
        size = _size(rows)
        return self._fixed_s[size] + rows * self._each_s[size]

    def learn(self, rows: int, seconds: float) -> None:
        """Takes a batch into account."""
        size = min(_size(rows), len(self._seen) - 1)
        paused = self._batches - self._last[size] >= TRY_EVERY // 2
        share = NEWEST_AFTER_A_PAUSE if paused else NEWEST
        share = max(share, 1 / (1 + self._seen[size]))
        self._row_s[size] += share * (seconds / rows - self._row_s[size])
        self._seen[size] += 1
        self._batches += 1
        self._last[size] = self._batches
        self._judge()
        self._foretell()

    def _judge(self) -> None:
        known = [size for size, seen in enumerate(self._seen) if seen >= SEEN]
        if not known:
            return
        best = known[0]
        for size in known:
            if self._row_s[size] < GAIN * self._row_s[best]:
                best = size
        self._best = best
        # What is larger than all that was seen may still pay.
        pays = 2**best if best < known[-1] else self._max_rows
        if self._batches % TRY_EVERY == 0:
            pays *= 2
        in_time = int(LONGEST_BATCH_S / self._row_s[best])
        self.best_rows = max(1, min(self._max_rows, pays, in_time))

    def _foretell(self) -> None:
        """A size that was never seen is taken to cost no more than the next smaller one that was: better to let in too
        much once, and learn, than to refuse what would have been easy."""
        smaller_s = 0.0
        for size, seen in enumerate(self._seen):
            if seen:
                self._fixed_s[size], self._each_s[size] = 0.0, self._row_s[size]
                smaller_s = 2**size * self._row_s[size]
            elif smaller_s:
                self._fixed_s[size], self._each_s[size] = smaller_s, 0.0


def _size(rows: int) -> int:
    """0 for one row, 1 for two, 2 for up to four, …"""
    return max(0, rows - 1).bit_length()
