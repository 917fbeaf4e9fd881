"""How good answers are where several labels may be right at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from handrail.measure.bootstrap import Weighted, mean_of, rounded, with_intervals
from handrail.measure.ranking import average_precision, curves, mean_over, ranked, rankings_of, roc_auc

MOST_CURVES: Final = 10
MOST_RANKED: Final = 20


def multilabel(
    labels: Sequence[str],
    scores: np.ndarray,
    truth: Sequence[Sequence[str]],
    thresholds: np.ndarray,
    trivial: np.ndarray,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """All measures of each label's probability `scores` (rows, labels); see the package for the keys.

    A label is answered from its threshold on; `thresholds` is one number or (labels,). `trivial` (labels,) holds each
    label's share: the trivial model answers labels with a share of half or more, else the commonest one. Labels in
    `truth` that are not in `labels` make a row not an exact match, and count nowhere else.
    """
    scores = np.asarray(scores, dtype=np.float64)
    shares = np.asarray(trivial, dtype=np.float64)
    place = {name: index for index, name in enumerate(labels)}
    right = np.zeros(scores.shape, dtype=bool)
    strange = np.zeros(len(scores), dtype=bool)
    for row, words in enumerate(truth):
        right[row, [place[word] for word in words if word in place]] = True
        strange[row] = any(word not in place for word in words)
    answered = scores >= np.asarray(thresholds, dtype=np.float64)
    always = np.broadcast_to(
        (shares >= 0.5) | (shares == shares.max(initial=0.0)) & ~(shares >= 0.5).any(), right.shape
    )
    measures = _measures(scores, answered, right, strange)
    baselines = _measures(np.broadcast_to(shares, scores.shape), always, right, strange)
    found: dict[str, Any] = {
        "metric": "f1_micro",
        "metrics": with_intervals(measures, baselines, len(right), seed=seed),
        "rows": len(right),
        "per_class": [_of_label(name, answered[:, index], right[:, index]) for index, name in enumerate(labels)],
        "curves": [
            curves(name, ranked(scores[:, index], right[:, index]))
            for index, name in enumerate(labels)
            if len(labels) <= MOST_CURVES and 0 < right[:, index].sum() < len(right)
        ],
    }
    result: dict[str, Any] = rounded(found)
    return result


def _measures(scores: np.ndarray, answered: np.ndarray, right: np.ndarray, strange: np.ndarray) -> dict[str, Weighted]:
    hit, claimed = answered & right, (answered.astype(np.float32), right.astype(np.float32))
    counted = np.stack([hit.astype(np.float32), *claimed])
    measures: dict[str, Weighted] = {
        "f1_micro": partial(_f1, counted, True),
        "f1_macro": partial(_f1, counted, False),
        "exact_match": mean_of((answered == right).all(axis=1) & ~strange),
        "hamming_loss": mean_of((answered != right).mean(axis=1)),
    }
    if right.shape[1] <= MOST_RANKED:
        rankings = rankings_of(scores, right)
        measures["average_precision"] = partial(mean_over, average_precision, rankings)
        measures["roc_auc"] = partial(mean_over, roc_auc, rankings)
    return measures


def _f1(counted: np.ndarray, together: bool, weights: np.ndarray) -> np.ndarray:
    """F1 over all decisions together, or the mean of each label's (labels that neither occur nor are answered: 0)."""
    hits, said, true = (weights.T @ part for part in counted.astype(weights.dtype))
    if together:
        hits, said, true = (part.sum(axis=1, keepdims=True) for part in (hits, said, true))
    return np.asarray((2 * hits / np.maximum(said + true, 1)).mean(axis=1))


def _of_label(name: str, answered: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    hits, said, true = int((answered & right).sum()), int(answered.sum()), int(right.sum())
    return {
        "label": name,
        "rows": true,
        "answered": said,
        "precision": hits / said if said else None,
        "recall": hits / true if true else None,
        "f1": 2 * hits / (said + true) if said + true else None,
    }
