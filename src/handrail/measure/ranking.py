"""How well scores put the right rows first: ROC and precision–recall, areas and curves, ties counted as ties."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

MOST_POINTS: Final = 100


@dataclass(frozen=True)
class Ranking:
    """Rows by falling score. `positive` is in that order; `starts` are the first rows of equal scores."""

    order: np.ndarray
    positive: np.ndarray
    starts: np.ndarray


Measure = Callable[[Ranking, np.ndarray], np.ndarray]


def ranked(scores: np.ndarray, positive: np.ndarray) -> Ranking:
    """The ranking of rows by `scores`, of which those in the boolean `positive` belong first."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(scores) else order
    return Ranking(order, positive[order].astype(bool), starts)


def roc_auc(ranking: Ranking, weights: np.ndarray) -> np.ndarray:
    """The chance that a positive row scores above a negative one, ties counted half; NaN where one kind is missing.

    Source: Hanley and McNeil, The meaning and use of the area under a ROC curve (1982).
    """
    positives, negatives = _by_tie(ranking, weights)
    all_positives, all_negatives = positives.sum(axis=0), negatives.sum(axis=0)
    below = all_negatives - np.cumsum(negatives, axis=0) + 0.5 * negatives
    pairs = all_positives * all_negatives
    return _divided(np.sum(positives * below, axis=0), pairs)


def average_precision(ranking: Ranking, weights: np.ndarray) -> np.ndarray:
    """Precision at each score that adds positives, weighted by how many; NaN where there are none."""
    positives, negatives = _by_tie(ranking, weights)
    found = np.cumsum(positives, axis=0)
    flagged = found + np.cumsum(negatives, axis=0)
    precision = found / np.maximum(flagged, 1)
    return _divided(np.sum(positives * precision, axis=0), found[-1] if len(found) else np.zeros(weights.shape[1]))


def mean_over(measure: Measure, rankings: Sequence[Ranking], weights: np.ndarray) -> np.ndarray:
    """The mean of a measure over several rankings of the same rows; NaN where there are none."""
    if not rankings:
        return np.full(weights.shape[1], np.nan)
    return np.asarray(np.mean([measure(ranking, weights) for ranking in rankings], axis=0))


def rankings_of(scores: np.ndarray, right: np.ndarray) -> list[Ranking]:
    """One ranking for each label `(rows, labels)` that is right for some rows and wrong for others."""
    mixed = right.any(axis=0) & ~right.all(axis=0)
    return [ranked(scores[:, label], right[:, label]) for label in np.flatnonzero(mixed)]


def curves(label: str, ranking: Ranking) -> dict[str, Any]:
    """Both curves, at most 100 points each, with their areas."""
    once = np.ones((len(ranking.order), 1))
    positives, negatives = (part[:, 0] for part in _by_tie(ranking, once))
    found, wrong = np.cumsum(positives), np.cumsum(negatives)
    recall = found / max(float(positives.sum()), 1.0)
    false_rate = wrong / max(float(negatives.sum()), 1.0)
    kept = _thinned(false_rate, recall)
    roc = {
        "false_positive_rate": np.concatenate([[0.0], false_rate[kept]]),
        "true_positive_rate": np.concatenate([[0.0], recall[kept]]),
    }
    kept = _thinned(recall, recall)
    precision_recall = {"recall": recall[kept], "precision": (found / np.maximum(found + wrong, 1))[kept]}
    return {
        "label": label,
        "roc_auc": roc_auc(ranking, once)[0],
        "average_precision": average_precision(ranking, once)[0],
        "positive_share": ranking.positive.mean() if len(ranking.positive) else None,
        "roc": roc,
        "precision_recall": precision_recall,
    }


def _by_tie(ranking: Ranking, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of positive and of negative rows at each distinct score, both `(scores, draws)`."""
    ordered = weights[ranking.order]
    positives = ordered * ranking.positive[:, None]
    negatives = ordered - positives
    if len(ranking.starts) == len(ordered):
        return positives, negatives
    return np.add.reduceat(positives, ranking.starts, axis=0), np.add.reduceat(negatives, ranking.starts, axis=0)


def _divided(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return result


def _thinned(across: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Indices of points spread evenly along a curve, both ends among them."""
    if len(across) < MOST_POINTS:
        return np.arange(len(across))
    way = np.cumsum(np.abs(np.diff(across, prepend=across[:1])) + np.abs(np.diff(up, prepend=up[:1])))
    wanted = np.linspace(0, way[-1], MOST_POINTS - 1)
    return np.unique(np.minimum(np.searchsorted(way, wanted), len(way) - 1))
