"""How good answers are where one label of several is right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from handrail.measure.bootstrap import Weighted, group_sums, mean_of, rounded, with_intervals
from handrail.measure.ranking import average_precision, curves, mean_over, ranked, rankings_of, roc_auc

# A right label never costs more than log(1e7): below that, float32 probabilities say nothing.
SMALLEST_PROBABILITY: Final = 1e-7
BINS: Final = 15
THRESHOLDS: Final = 101
MOST_CONFUSED: Final = 30
MOST_CURVES: Final = 10
MOST_RANKED: Final = 20
OTHER: Final = "(other)"


def classification(
    labels: Sequence[str], scores: np.ndarray, truth: Sequence[str], trivial: np.ndarray, *, seed: int = 0
) -> dict[str, Any]:
    """All measures of probabilities `scores` (rows, labels) against the right labels; see the package for the keys.

    `trivial` (labels,) is what a model that looks at nothing says. With two labels the second is the positive one.
    A right label that is not in `labels` counts as answered wrong. ROC AUC of more than two labels is the mean of
    each against the rest, up to 20. ECE: of the positive label's probability, or of the answered label's. Brier: the
    positive label's, or summed over labels.
    """
    scores = np.asarray(scores, dtype=np.float64)
    names = [*labels, *sorted(set(truth) - set(labels))]
    place = {name: index for index, name in enumerate(names)}
    right = np.array([place[word] for word in truth], dtype=np.int64)
    constant = np.broadcast_to(np.asarray(trivial, dtype=np.float64), scores.shape)
    measures = _measures(scores, right, len(labels), len(names))
    baselines = _measures(constant, right, len(labels), len(names))
    baselines.pop("ece")  # a model that always says the shares is calibrated, and of no use
    found: dict[str, Any] = {
        "metric": "roc_auc" if len(labels) == 2 and len(set(right.tolist())) > 1 else "accuracy",
        "metrics": with_intervals(measures, baselines, len(right), seed=seed, without=("ece",)),
        "rows": len(right),
        "per_class": _per_class(names, scores, right),
        "confusion": _confusion(names, scores.argmax(axis=1), right),
        "curves": _curves(labels, scores, right),
        "calibration": _calibration(scores, right, len(labels)),
    }
    if len(labels) == 2:
        found["positive"] = labels[1]
        found["thresholds"] = _thresholds(scores[:, 1], right == 1)
    result: dict[str, Any] = rounded(found)
    return result


def _measures(scores: np.ndarray, right: np.ndarray, labels: int, names: int) -> dict[str, Weighted]:
    """Name → measure, in the order people read them. `names` counts labels that only the truth has, too."""
    answered = scores.argmax(axis=1)
    known = right < labels
    given = np.where(known, scores[np.arange(len(scores)), np.minimum(right, labels - 1)], 0.0)
    square = np.where(known, (scores**2).sum(axis=1) - 2 * given + 1, (scores**2).sum(axis=1) + 1)
    measures: dict[str, Weighted] = {}
    if labels == 2:
        ranking = ranked(scores[:, 1], right == 1)
        measures["roc_auc"] = partial(roc_auc, ranking)
        measures["average_precision"] = partial(average_precision, ranking)
    measures["accuracy"] = mean_of(answered == right)
    measures["balanced_accuracy"] = _from_counts(answered, right, names, _balanced_accuracy)
    measures["f1_macro"] = _from_counts(answered, right, names, _macro_f1)
    if 2 < labels <= MOST_RANKED:
        measures["roc_auc"] = partial(mean_over, roc_auc, rankings_of(scores, right[:, None] == np.arange(labels)))
    measures["log_loss"] = mean_of(-np.log(np.clip(given, SMALLEST_PROBABILITY, 1.0)))
    measures["brier"] = mean_of((scores[:, 1] - (right == 1)) ** 2 if labels == 2 else square)
    measures["ece"] = _calibration_error(scores, right, labels)
    return measures


Counts = tuple[np.ndarray, np.ndarray, np.ndarray]


def _from_counts(
    answered: np.ndarray, right: np.ndarray, names: int, measure: Callable[[Counts], np.ndarray]
) -> Weighted:
    """A measure of hits, true rows and answers of each label, `(labels, draws)` each."""
    hit = np.where(answered == right, right, -1)

    def weighted(weights: np.ndarray) -> np.ndarray:
        hits, true, said = (group_sums(weights, group, names) for group in (hit, right, answered))
        return measure((hits, true, said))

    return weighted


def _balanced_accuracy(counts: Counts) -> np.ndarray:
    """Mean recall over the labels that occur."""
    hits, true, _ = counts
    return np.asarray((hits / np.maximum(true, 1)).sum(axis=0) / np.maximum((true > 0).sum(axis=0), 1))


def _macro_f1(counts: Counts) -> np.ndarray:
    """Mean F1 over the labels that occur or are answered."""
    hits, true, said = counts
    occurs = (true + said) > 0
    return np.asarray((2 * hits / np.maximum(true + said, 1)).sum(axis=0) / np.maximum(occurs.sum(axis=0), 1))


def _claims(scores: np.ndarray, right: np.ndarray, labels: int) -> tuple[np.ndarray, np.ndarray]:
    """What was claimed with which probability, and whether it was so."""
    if labels == 2:
        return scores[:, 1], right == 1
    return scores.max(axis=1), scores.argmax(axis=1) == right


def _bins(probability: np.ndarray) -> np.ndarray:
    return np.clip((probability * BINS).astype(np.int64), 0, BINS - 1)


def _calibration_error(scores: np.ndarray, right: np.ndarray, labels: int) -> Weighted:
    """Source: Guo et al., On Calibration of Modern Neural Networks (2017), equation 3, with 15 bins of equal width."""
    probability, held = _claims(scores, right, labels)
    bins, gap = _bins(probability), probability - held

    def weighted(weights: np.ndarray) -> np.ndarray:
        gaps = group_sums(weights * gap[:, None], bins, BINS)
        return np.asarray(np.abs(gaps).sum(axis=0) / np.maximum(weights.sum(axis=0), 1))

    return weighted


def _calibration(scores: np.ndarray, right: np.ndarray, labels: int) -> list[dict[str, Any]]:
    probability, held = _claims(scores, right, labels)
    bins = _bins(probability)
    return [
        {
            "low": number / BINS,
            "high": (number + 1) / BINS,
            "rows": int((bins == number).sum()),
            "mean_probability": probability[bins == number].mean(),
            "share_right": held[bins == number].mean(),
        }
        for number in np.unique(bins)
    ]


def _per_class(names: Sequence[str], scores: np.ndarray, right: np.ndarray) -> list[dict[str, Any]]:
    answered = scores.argmax(axis=1)
    hits = np.bincount(right[answered == right], minlength=len(names))
    true, said = np.bincount(right, minlength=len(names)), np.bincount(answered, minlength=len(names))
    return [
        {
            "label": name,
            "rows": int(true[index]),
            "answered": int(said[index]),
            "precision": hits[index] / said[index] if said[index] else None,
            "recall": hits[index] / true[index] if true[index] else None,
            "f1": 2 * hits[index] / (true[index] + said[index]) if true[index] + said[index] else None,
        }
        for index, name in enumerate(names)
    ]


def _confusion(names: Sequence[str], answered: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Counts `matrix[true][answered]` of the 30 labels with the most rows, the rest together."""
    shown = list(names)
    if len(names) > MOST_CONFUSED:
        common = np.argsort(-np.bincount(right, minlength=len(names)), kind="stable")[:MOST_CONFUSED]
        kept = np.sort(common)
        place = np.full(len(names), MOST_CONFUSED)
        place[kept] = np.arange(MOST_CONFUSED)
        answered, right = place[answered], place[right]
        shown = [*(names[index] for index in kept), OTHER]
    size = len(shown)
    matrix = np.bincount(right * size + answered, minlength=size * size).reshape(size, size)
    return {"labels": shown, "matrix": matrix}


def _curves(labels: Sequence[str], scores: np.ndarray, right: np.ndarray) -> list[dict[str, Any]]:
    drawn = range(1, 2) if len(labels) == 2 else range(len(labels) if len(labels) <= MOST_CURVES else 0)
    return [
        curves(labels[label], ranked(scores[:, label], right == label))
        for label in drawn
        if 0 < (right == label).sum() < len(right)
    ]


def _thresholds(probability: np.ndarray, positive: np.ndarray) -> list[dict[str, Any]]:
    """What happens when rows are flagged from each probability on."""
    steps = np.linspace(0, 1, THRESHOLDS)
    rows, positives = len(positive), int(positive.sum())
    flagged = rows - np.searchsorted(np.sort(probability), steps, side="left")
    hits = positives - np.searchsorted(np.sort(probability[positive]), steps, side="left")
    return [
        {
            "threshold": round(float(step), 2),
            "precision": tp / said if said else None,
            "recall": tp / positives if positives else None,
            "f1": 2 * tp / (said + positives) if said + positives else None,
            "accuracy": (rows - said - positives + 2 * tp) / rows if rows else None,
            "flagged": said / rows if rows else None,
            "tp": tp,
            "fp": said - tp,
            "fn": positives - tp,
            "tn": rows - said - positives + tp,
        }
        for step, said, tp in zip(steps, flagged.tolist(), hits.tolist(), strict=True)
    ]
