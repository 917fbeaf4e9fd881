"""Linear heads on sparse and dense features, one per label, and how their margins become probabilities."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from handrail.learn.losses import SMALLEST

LONGEST_MARGIN = 60.0


def fit_heads(
    features: Any, signs: np.ndarray, strength: float, threads: int, stopped: Callable[[], bool] = lambda: False
) -> tuple[np.ndarray, np.ndarray]:
    """`(inputs, outputs)` weights and `(outputs,)` biases. `signs` (rows, outputs): +1 where the label holds.

    Support vector machines with squared hinge loss (Fan et al. 2008, LIBLINEAR): quick, and good at many features.
    LIBLINEAR's random generator belongs to the process: only one thread gives the same bytes again.
    Raises TimeoutError once it is `stopped`.
    """
    from sklearn.svm import LinearSVC

    def fit_one(column: np.ndarray) -> tuple[np.ndarray, float]:
        if stopped():
            raise TimeoutError
        if abs(column.sum()) == len(column):
            return np.zeros(features.shape[1]), float(column[0])
        model = LinearSVC(C=strength, random_state=0, max_iter=300, tol=1e-3).fit(features, column)
        return model.coef_[0], float(model.intercept_[0])

    with ThreadPoolExecutor(threads) as pool:
        fitted = list(pool.map(fit_one, signs.T))
    return np.stack([weights for weights, _ in fitted], axis=1), np.array([bias for _, bias in fitted])


def signs_of(answers: np.ndarray) -> np.ndarray:
    """`(rows, outputs)` +1 and −1 from 0 and 1."""
    return np.where(answers > 0, 1, -1)


def probabilities(margins: np.ndarray, temperature: float, problem: str) -> np.ndarray:
    """`(rows, labels)`: sigmoid for two labels (one margin) and for several at once, softmax for one of many."""
    scaled = np.clip(margins / temperature, -LONGEST_MARGIN, LONGEST_MARGIN)
    if problem == "multiclass":
        raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        found: np.ndarray = raised / raised.sum(axis=1, keepdims=True)
        return found
    positive = 1.0 / (1.0 + np.exp(-scaled))
    return positive if problem == "multilabel" else np.concatenate([1.0 - positive, positive], axis=1)


def mean_log_loss(margins: np.ndarray, answers: np.ndarray, temperature: float, problem: str) -> float:
    """Mean of -ln of what the right answer was given; for several labels, the mean over labels too."""
    given = np.clip(probabilities(margins, temperature, problem), SMALLEST, 1.0 - SMALLEST)
    if problem == "multilabel":
        return float(-np.mean(np.log(np.where(answers > 0, given, 1.0 - given))))
    right = answers[:, 0].astype(int) if problem == "binary" else answers.argmax(axis=1)
    return float(-np.mean(np.log(given[np.arange(len(given)), right])))


def honest_temperature(margins: np.ndarray, answers: np.ndarray, problem: str) -> float:
    """The temperature with the least log loss (Guo et al. 2017), on a grid of 121 from 1/50 to 20; 4 digits."""
    grid = np.geomspace(0.02, 20.0, 121)
    losses = [mean_log_loss(margins, answers, float(temperature), problem) for temperature in grid]
    return float(f"{grid[int(np.argmin(losses))]:.4g}")
