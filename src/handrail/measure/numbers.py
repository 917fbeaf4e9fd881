"""How good answers are where a number is right."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import numpy as np

from handrail.measure.bootstrap import Weighted, mean_of, rounded, with_intervals

MOST_SAMPLED: Final = 500
HISTOGRAM_BINS: Final = 31
# Relative errors mean little where the truth comes near zero: below this share of its median, MAPE is left out.
SMALLEST_SHARE_OF_MEDIAN: Final = 0.01


def regression(
    values: np.ndarray,
    truth: np.ndarray,
    trivial: float,
    *,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """All measures of answers `values` (rows,) against `truth`; see the package for the keys.

    `trivial` is what a model that looks at nothing always says. `low` and `high` are the ends of the answers' own 90 %
    intervals: then `coverage_90` says how many hold the truth.
    """
    values, truth = np.asarray(values, dtype=np.float64).ravel(), np.asarray(truth, dtype=np.float64).ravel()
    measures = _measures(values, truth)
    baselines = _measures(np.full(len(truth), float(trivial)), truth)
    if low is not None and high is not None:
        low, high = np.ravel(low), np.ravel(high)
        measures["coverage_90"] = mean_of((low <= truth) & (truth <= high))
        measures["interval_width_90"] = mean_of(np.asarray(high - low, dtype=np.float64))
    found: dict[str, Any] = {
        "metric": "r2" if len(truth) > 1 and np.ptp(truth) > 0 else "mae",
        "metrics": with_intervals(measures, baselines, len(truth), seed=seed),
        "rows": len(truth),
        "residuals": _residuals(truth - values),
        "sample": _sample(values, truth, seed),
    }
    result: dict[str, Any] = rounded(found)
    return result


def _measures(values: np.ndarray, truth: np.ndarray) -> dict[str, Weighted]:
    error = truth - values
    measures: dict[str, Weighted] = {
        "r2": partial(_r2, error, truth - truth.mean() if len(truth) else truth),
        "mae": mean_of(np.abs(error)),
        "rmse": partial(_root_mean_square, error),
        "median_absolute_error": partial(_median, np.sort(np.abs(error)), np.argsort(np.abs(error), kind="stable")),
    }
    size = np.abs(truth)
    if len(truth) and size.min() > SMALLEST_SHARE_OF_MEDIAN * np.median(size):
        measures["mape"] = mean_of(np.abs(error) / size)
    return measures


def _r2(error: np.ndarray, centred: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The share of the spread around the mean that is explained."""
    total = np.maximum(weights.sum(axis=0, dtype=np.float64), 1)
    left = weights.T.astype(np.float64) @ error**2
    spread = weights.T.astype(np.float64) @ centred**2 - (weights.T.astype(np.float64) @ centred) ** 2 / total
    return np.asarray(1 - np.divide(left, spread, out=np.full(len(spread), np.nan), where=spread > 0))


def _root_mean_square(error: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(mean_of(error**2)(weights)))


def _median(ordered: np.ndarray, order: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The median of `ordered` when row `order[i]`, which has the i-th value, counts as often as its weight says."""
    if not len(ordered):
        return np.full(weights.shape[1], np.nan)
    reached = np.cumsum(weights[order], axis=0, dtype=np.float64)
    half = reached[-1] / 2
    lower, upper = (reached >= half).argmax(axis=0), (reached > half).argmax(axis=0)
    return np.asarray((ordered[lower] + ordered[upper]) / 2)


def _residuals(error: np.ndarray) -> dict[str, Any]:
    """A histogram of truth − answer; the outermost hundredths are counted in the bins at the ends."""
    if not len(error):
        return {"edges": [], "counts": []}
    low, high = np.percentile(error, (0.5, 99.5))
    reach = max(abs(low), abs(high)) or 1.0
    counts, edges = np.histogram(np.clip(error, -reach, reach), bins=HISTOGRAM_BINS, range=(-reach, reach))
    return {"edges": edges, "counts": counts}


def _sample(values: np.ndarray, truth: np.ndarray, seed: int) -> dict[str, Any]:
    chosen = np.arange(len(truth))
    if len(truth) > MOST_SAMPLED:
        chosen = np.sort(np.random.default_rng(seed).choice(len(truth), MOST_SAMPLED, replace=False))
    return {"truth": truth[chosen], "answer": values[chosen]}
