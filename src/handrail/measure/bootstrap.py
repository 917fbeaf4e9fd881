"""Intervals: each measure again on rows drawn with replacement, all draws at once.

A measure here is a function of weights `(rows, draws)`, how often each row was drawn, that gives `(draws,)`.
Source: B. Efron, Bootstrap methods: another look at the jackknife (1979); Efron and Tibshirani, An Introduction to the
Bootstrap (1993), chapter 13: the percentile interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import numpy as np

Weighted = Callable[[np.ndarray], np.ndarray]

MOST_DRAWS: Final = 300
LEAST_DRAWS: Final = 40
# Rows × draws kept in memory, four bytes each.
MOST_WEIGHTS: Final = 10_000_000
INTERVAL: Final = (2.5, 97.5)
NORMAL_95: Final = 1.96
# Measures that are shares, or means of shares: at 0 and 1 all draws are equal.
SHARES: Final = frozenset(
    {"accuracy", "balanced_accuracy", "f1_macro", "f1_micro", "exact_match", "hamming_loss", "roc_auc",
     "average_precision", "coverage_90"}
)  # fmt: skip


def with_intervals(
    measures: Mapping[str, Weighted],
    baselines: Mapping[str, Weighted],
    rows: int,
    *,
    seed: int,
    without: Collection[str] = (),
) -> dict[str, dict[str, float | None]]:
    """name → {"value", "low", "high", "baseline"}; no interval for the names in `without` (biased when rows repeat)."""
    once, drawn = np.ones((rows, 1)), draws(rows, seed)
    found: dict[str, dict[str, float | None]] = {}
    for name, measure in measures.items():
        value = float(measure(once)[0])
        low, high = (None, None) if name in without else interval(value, measure(drawn))
        if name in SHARES and low == high and value in (0.0, 1.0):
            low, high = wilson(value, rows)
        baseline = float(baselines[name](once)[0]) if name in baselines else math.nan
        found[name] = {"value": value, "low": low, "high": high, "baseline": baseline}
    return found


def draws(rows: int, seed: int) -> np.ndarray:
    """How often each row was drawn, `(rows, draws)` float32."""
    count = max(LEAST_DRAWS, min(MOST_DRAWS, MOST_WEIGHTS // max(rows, 1)))
    generator = np.random.default_rng(seed)
    weights = np.empty((rows, count), dtype=np.float32)
    for draw in range(count):
        weights[:, draw] = np.bincount(generator.integers(0, rows, rows), minlength=rows) if rows else 0
    return weights


def interval(value: float, drawn: np.ndarray) -> tuple[float | None, float | None]:
    """The 95 % percentile interval, widened where it would leave out the value itself; None where undefined."""
    known = drawn[np.isfinite(drawn)]
    if math.isnan(value) or len(known) < LEAST_DRAWS // 2:
        return None, None
    low, high = np.percentile(known, INTERVAL)
    return min(float(low), value), max(float(high), value)


def wilson(share: float, rows: int) -> tuple[float, float]:
    """The 95 % interval of a share of 0 or 1: where no row is wrong, no draw of rows shows that one may be.

    Source: Wilson, Probable inference, the law of succession, and statistical inference (1927).
    """
    width = NORMAL_95**2 / (rows + NORMAL_95**2)
    return (0.0, width) if share == 0 else (1.0 - width, 1.0)


def mean_of(values: np.ndarray) -> Weighted:
    """The measure that is the mean of one number a row."""
    return lambda weights: (weights.T @ values.astype(weights.dtype)) / np.maximum(weights.sum(axis=0), 1)


def group_sums(weights: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """`(groups, draws)`: the weights of the rows of each group added up; group −1 is nowhere."""
    sums = np.zeros((groups, weights.shape[1]), dtype=np.float64)
    order = np.argsort(group, kind="stable")
    order = order[np.searchsorted(group[order], 0) :]
    if len(order):
        present, starts = np.unique(group[order], return_index=True)
        sums[present] = np.add.reduceat(weights[order], starts, axis=0)
    return sums


def rounded(value: Any) -> Any:
    """JSON-able: six significant digits, whole numbers as they are, NaN and infinity as None, arrays as lists."""
    if isinstance(value, Mapping):
        return {str(name): rounded(item) for name, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [rounded(item) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        number = float(value)
        return float(f"{number:.6g}") if math.isfinite(number) else None
    return value
