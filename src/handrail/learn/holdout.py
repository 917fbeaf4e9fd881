"""Which rows are set aside and never learnt from, so that the score is honest."""

from __future__ import annotations

import numpy as np

from handrail.data.look import Look

DEFAULT_SHARE = 0.2
# More test rows than this narrow the interval by little, and would be missed in training.
MOST_ROWS = 5_000


def hold_out(
    look: Look, rows: np.ndarray, labels: np.ndarray | None, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """`rows` (indices of the table) in two: to learn from, to test with; both in ascending order.

    Rows of one group, and rows that are twins, stay together. Stratified by `labels` (one per entry of `rows`);
    ordered by time where the look says so: then the latest rows are the test.
    """
    wanted = min(round(len(rows) * share), MOST_ROWS)
    units = unit_numbers(look, rows)
    if look.split.kind == "time" and look.split.keys is not None:
        moments = np.nan_to_num(look.split.keys[rows].astype(np.float64), nan=-np.inf)
        test = moments > np.sort(moments)[len(rows) - wanted - 1] if wanted < len(rows) else np.ones(len(rows), bool)
    else:
        test = _drawn_units(units, labels, wanted, np.random.default_rng(seed))
    return rows[~test], rows[test]


def unit_numbers(look: Look, rows: np.ndarray) -> np.ndarray:
    """For each of `rows` the number of what must not be divided: its group, else its set of twins, else itself."""
    if look.split.kind == "group" and look.split.keys is not None:
        keys = look.split.keys[rows]
    elif look.twins is not None:
        keys = look.twins[rows]
    else:
        return np.arange(len(rows))
    return np.unique(keys.astype(str) if keys.dtype == object else keys, return_inverse=True)[1].reshape(-1)


def _drawn_units(units: np.ndarray, labels: np.ndarray | None, wanted: int, random: np.random.Generator) -> np.ndarray:
    """Whole units, label by label (a unit counts for its first row's label), until each label's share is reached."""
    count = int(units.max()) + 1
    first = np.full(count, -1)
    first[units[::-1]] = np.arange(len(units))[::-1]
    sizes = np.bincount(units, minlength=count)
    strata = np.zeros(count, dtype=np.int64) if labels is None else np.unique(labels[first], return_inverse=True)[1]
    chosen = np.zeros(count, dtype=bool)
    share = wanted / len(units)
    for stratum in range(int(strata.max()) + 1):
        members = random.permutation(np.flatnonzero(strata == stratum))
        before = np.cumsum(sizes[members]) - sizes[members]
        chosen[members[before < round(share * sizes[members].sum())]] = True
    return chosen[units]
