"""Which rows judge which: folds that keep groups and equal rows together and each label's share alike."""

from __future__ import annotations

import numpy as np

from handrail.data.look import Look
from handrail.learn.holdout import unit_numbers

# A group or a set of equal rows with a larger share of the rows than this is divided.
MOST_OF_ALL = 0.5


def fold_numbers(look: Look, labels: np.ndarray | None, count: int, seed: int) -> np.ndarray:
    """`(rows,)` the fold of each training row, 0 to `count` - 1 or less, none empty. `look` is cut to those rows.

    Groups and equal rows share a fold, and there are no more folds than of these. Where time matters, folds are
    stretches of time. `labels` `(rows,)` are spread evenly; without labels the order is random.
    """
    rows = np.arange(look.rows)
    if look.split.kind == "time" and look.split.keys is not None:
        order = np.argsort(look.split.keys, kind="stable")
        folds = np.empty(look.rows, dtype=np.int64)
        folds[order] = rows * count // look.rows
        return folds
    units = _divisible(unit_numbers(look, rows))
    random = np.random.default_rng(seed)
    units_count = int(units.max()) + 1
    count = min(count, units_count)
    first = np.full(units_count, -1)
    first[units[::-1]] = rows[::-1]
    shuffled = random.permutation(units_count)
    if labels is not None:
        shuffled = shuffled[np.argsort(labels[first][shuffled], kind="stable")]
    sizes = np.bincount(units, minlength=units_count)
    fold_of_unit = np.empty(units_count, dtype=np.int64)
    if sizes.max() <= 4:
        fold_of_unit[shuffled] = (np.arange(units_count) + int(random.integers(count))) % count
    else:
        load = np.zeros(count)
        for unit in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
            fold_of_unit[unit] = int(load.argmin())
            load[fold_of_unit[unit]] += sizes[unit]
    return fold_of_unit[units]


def _divisible(units: np.ndarray) -> np.ndarray:
    """The units, but where one has most of the rows its rows are units of their own: else its fold would be judged by
    a model that saw next to nothing, and a single unit would leave nothing to learn from."""
    sizes = np.bincount(units)
    if sizes.max() <= MOST_OF_ALL * len(units):
        return units
    inside = units == sizes.argmax()
    alone = np.where(inside, len(sizes) + np.cumsum(inside), units)
    return np.unique(alone, return_inverse=True)[1].reshape(-1)
