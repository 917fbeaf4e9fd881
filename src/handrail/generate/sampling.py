"""Chooses the next token from logits: exactly what the settings say, without sorting a whole vocabulary."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from handrail.core.errors import HandrailError
from handrail.generate.pieces import TokenLogprob
from handrail.generate.settings import Settings

# A vocabulary is looked at as a table of so many rows: its columns' sums and maxima are found many at a time.
ROWS: Final = 64
# A trained model's nucleus is almost always among the tokens that weigh so much beside the likeliest one, and these are
# few; where it is not, all are counted.
FLOORS: Final = (np.float32(1 / 64), np.float32(1 / 4096))
FEW: Final = 2048
# Below this, dividing by the temperature leaves float32's range; the likeliest token is certain anyway.
COLDEST: Final = 1e-5


class Sampler:
    """Chooses tokens of a vocabulary; its buffers are used again for each row."""

    def __init__(self, vocabulary: int) -> None:
        self._size = vocabulary
        self._columns = -(-vocabulary // ROWS)
        self._table = np.zeros((ROWS, self._columns), np.float32)
        self._weights = self._table.reshape(-1)[:vocabulary]

    def choose(self, logits: np.ndarray, settings: Settings, chance: float) -> int:
        """The next token; `chance` in [0, 1) decides. `logits` (vocabulary,), -inf for what is not allowed.

        Raises HandrailError where no token is possible.
        """
        likeliest = int(logits.argmax())
        highest = float(logits[likeliest])
        if not math.isfinite(highest):
            raise HandrailError("bundle", "the model's numbers for the next token are not finite", "train it again")
        if settings.temperature < COLDEST or settings.top_k == 1:
            return likeliest
        if 0 < settings.top_k < self._columns:
            tokens = self._top(logits, settings.top_k)
            weights = np.exp((logits[tokens].astype(np.float64) - highest) / settings.temperature)
            return _drawn(tokens, weights, float(weights.sum()), settings, chance)
        self._weigh(logits, highest, settings.temperature)
        return self._from_weights(logits, settings, chance)

    def logprob(self, logits: np.ndarray, token: int, count: int) -> TokenLogprob:
        """How likely `token` is by these logits, and the `count` likeliest."""
        highest = float(logits.max())
        self._weigh(logits, highest, 1.0)
        total = highest + math.log(self._table.sum(dtype=np.float64))
        top = self._top(logits, count) if count else np.zeros(0, np.int64)
        return TokenLogprob(
            token, float(logits[token]) - total, tuple((int(other), float(logits[other]) - total) for other in top)
        )

    def _weigh(self, logits: np.ndarray, highest: float, temperature: float) -> None:
        """The weights of all tokens, the likeliest being 1."""
        np.subtract(logits, np.float32(highest), out=self._weights)
        if temperature != 1:
            self._weights *= np.float32(1 / temperature)
        np.exp(self._weights, out=self._weights)

    def _from_weights(self, logits: np.ndarray, settings: Settings, chance: float) -> int:
        if 0 < settings.top_k < self._size:
            self._keep(None, settings.top_k)
        if settings.top_p < 1:
            total = float(self._table.sum(axis=0).sum(dtype=np.float64))
            for floor in FLOORS:
                tokens = np.flatnonzero(self._weights >= floor)
                weights = self._weights[tokens].astype(np.float64)
                if len(tokens) <= FEW and weights.sum() >= settings.top_p * total:
                    order = np.argsort(-weights, kind="stable")
                    return _drawn(tokens[order], weights[order], total, settings, chance)
            self._keep(self._weights, settings.top_p * total)
        if settings.min_p > 0:
            np.multiply(self._weights, self._weights >= np.float32(settings.min_p), out=self._weights)
        return self._from_all(chance)

    def _from_all(self, chance: float) -> int:
        """By columns first, then within one: two short sums instead of one over the whole vocabulary."""
        sums = self._table.sum(axis=0).cumsum(dtype=np.float64)
        aim = chance * float(sums[-1])
        column = _place(sums, aim)
        within = self._table[:, column].cumsum(dtype=np.float64)
        before = float(sums[column - 1]) if column else 0.0
        return column + self._columns * _place(within, aim - before)

    def _keep(self, amounts: np.ndarray | None, limit: float) -> None:
        """Leaves only the fewest likeliest tokens whose amounts (None: 1 each) reach `limit`; the others weigh 0.

        The bits of a positive float grow with it, so their upper half sorts the tokens into bins; only those of the
        bin in which the limit is reached are then put in order.
        """
        bins = self._weights.view(np.int32) >> 15
        held = np.bincount(bins, weights=amounts)
        reached = held[::-1].cumsum()
        steps = min(int(reached.searchsorted(limit)), len(held) - 1)
        last = len(held) - 1 - steps
        edge = _in_order(np.flatnonzero(bins == last), self._weights)
        sums = np.ones(len(edge)) if amounts is None else amounts[edge].astype(np.float64)
        sums = sums.cumsum() + float(reached[steps] - held[last])
        np.multiply(self._weights, bins >= last, out=self._weights)
        self._weights[edge[int(sums.searchsorted(limit)) + 1 :]] = 0

    def _top(self, logits: np.ndarray, count: int) -> np.ndarray:
        """The `count` likeliest tokens in order, of equally likely ones the lower numbers.

        At least `count` tokens reach the count-th highest of the columns' maxima: no other can be among them.
        """
        whole = self._size // ROWS
        heights = logits[: whole * ROWS].reshape(ROWS, whole).max(axis=0) if count <= whole else logits
        least = max(0, len(heights) - count)
        floor = np.partition(heights, least)[least]
        return _in_order(np.flatnonzero(logits >= floor), logits)[:count]


def _in_order(tokens: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Likeliest first, lower numbers first among equals; `tokens` ascend."""
    return tokens[np.argsort(-heights[tokens], kind="stable")]


def _drawn(tokens: np.ndarray, weights: np.ndarray, total: float, settings: Settings, chance: float) -> int:
    """One of `tokens`, likeliest first, after top-p (of `total`) and min-p."""
    sums = weights.cumsum()
    kept = len(sums)
    if settings.top_p < 1:
        kept = min(kept, int(sums.searchsorted(settings.top_p * total)) + 1)
    if settings.min_p > 0:
        kept = max(1, min(kept, int((weights >= settings.min_p * weights[0]).sum())))
    return int(tokens[_place(sums[:kept], chance * float(sums[kept - 1]))])


def _place(sums: np.ndarray, aim: float) -> int:
    """Where growing sums pass `aim`: never a place that adds nothing."""
    place = int(sums.searchsorted(aim, side="right"))
    return place if place < len(sums) else int(sums.searchsorted(sums[-1]))
