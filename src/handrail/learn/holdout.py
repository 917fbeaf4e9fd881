"""Which rows are set aside and never learnt from, so that the score is honest."""

from __future__ import annotations

import numpy as np

from handrail.data.look import Look

DEFAULT_SHARE = 0.2
# More test rows than this narrow the interval by little, and would be missed in training.
MOST_ROWS = 5_000
# A unit may overshoot the share that is wanted by as much again, or by this many rows.
LEAST_OVERSHOOT = 20
# Rows of one moment are the test together where they are no more than this share of all rows.
MOST_OF_A_MOMENT = 0.5


def hold_out(
    look: Look, rows: np.ndarray, labels: np.ndarray | None, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """`rows` (indices of the table) in two: to learn from, to test with; both in ascending order.

    Rows of one group, and rows that are twins, stay together. Stratified by `labels` (one per entry of `rows`);
    ordered by time where the look says so: then the latest rows are the test.
    """
    wanted = wanted_rows(len(rows), share)
    if look.split.kind == "time" and look.split.keys is not None:
        test = _latest(np.nan_to_num(look.split.keys[rows].astype(np.float64), nan=-np.inf), wanted)
    else:
        test = _drawn_units(unit_numbers(look, rows), labels, wanted, np.random.default_rng(seed))
    return rows[~test], rows[test]


def wanted_rows(rows: int, share: float) -> int:
    """How many of so many rows the test should have."""
    return min(round(rows * share), MOST_ROWS)


def unit_numbers(look: Look, rows: np.ndarray) -> np.ndarray:
    """For each of `rows` the number of what must not be divided: its group, else its set of twins, else itself."""
    if look.split.kind == "group" and look.split.keys is not None:
        keys = look.split.keys[rows]
    elif look.twins is not None:
        keys = look.twins[rows]
    else:
        return np.arange(len(rows))
    return np.unique(keys.astype(str) if keys.dtype == object else keys, return_inverse=True)[1].reshape(-1)


def strata_of(units: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """`(units,)` the number of each unit's label, which is that of its first row; 0 for all without labels."""
    count = int(units.max()) + 1
    if labels is None:
        return np.zeros(count, dtype=np.int64)
    first = np.full(count, -1)
    first[units[::-1]] = np.arange(len(units))[::-1]
    return np.unique(labels[first], return_inverse=True)[1]


def _latest(moments: np.ndarray, wanted: int) -> np.ndarray:
    """The rows after the moment that leaves `wanted` of them, never none: where too many share it, they are the test
    together, or, where that would be most rows, the last of them in the file are."""
    if wanted >= len(moments):
        return np.ones(len(moments), dtype=bool)
    order = np.argsort(moments, kind="stable")
    edge = moments[order[len(moments) - wanted - 1]]
    if (moments > edge).sum() >= wanted / 2:
        return moments > edge
    if (moments >= edge).mean() <= MOST_OF_A_MOMENT:
        return moments >= edge
    test = np.zeros(len(moments), dtype=bool)
    test[order[len(moments) - wanted :]] = True
    return test


def _drawn_units(units: np.ndarray, labels: np.ndarray | None, wanted: int, random: np.random.Generator) -> np.ndarray:
    """Whole units, label by label, until each label's share is reached; the last unit of a label is never taken, nor
    one that overshoots by far."""
    sizes, strata = np.bincount(units), strata_of(units, labels)
    chosen = np.zeros(len(sizes), dtype=bool)
    share = wanted / len(units)
    for stratum in range(int(strata.max()) + 1):
        members = random.permutation(np.flatnonzero(strata == stratum))
        target = round(share * sizes[members].sum())
        fitting = members[sizes[members] <= target + max(target, LEAST_OVERSHOOT)]
        before = np.cumsum(sizes[fitting]) - sizes[fitting]
        taken = fitting[before < target]
        chosen[taken[: len(members) - 1]] = True
    return chosen[units]
