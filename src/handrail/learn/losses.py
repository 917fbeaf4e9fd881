"""What fits minimise: log loss and root mean squared error, and the temperature that makes probabilities honest."""

from __future__ import annotations

import numpy as np

SMALLEST = 1e-7


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -ln of what the right label was given. `(rows, labels)`, `(rows,)` label numbers."""
    right = probabilities[np.arange(len(labels)), labels] / probabilities.sum(axis=1)
    return float(-np.log(np.clip(right, SMALLEST, 1.0)).mean())


def root_mean_squared_error(values: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean((values - truth) ** 2)))


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities raised to 1/temperature and scaled to sum 1: the same order, surer (< 1) or less sure (> 1)."""
    logs = np.log(np.clip(probabilities, SMALLEST, 1.0)) / temperature
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    scaled: np.ndarray = raised / raised.sum(axis=1, keepdims=True)
    return scaled


def best_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the least log loss, by golden section between 1/4 and 4 on a log scale; 4 digits.

    Source: Guo et al. 2017, On calibration of modern neural networks.
    """
    low, high, ratio = np.log(0.25), np.log(4.0), (5**0.5 - 1) / 2
    inner = [high - ratio * (high - low), low + ratio * (high - low)]
    losses = [log_loss(tempered(probabilities, float(np.exp(place))), labels) for place in inner]
    for _ in range(24):
        if losses[0] < losses[1]:
            high, inner[1], losses[1] = inner[1], inner[0], losses[0]
            inner[0] = high - ratio * (high - low)
            losses[0] = log_loss(tempered(probabilities, float(np.exp(inner[0]))), labels)
        else:
            low, inner[0], losses[0] = inner[0], inner[1], losses[1]
            inner[1] = low + ratio * (high - low)
            losses[1] = log_loss(tempered(probabilities, float(np.exp(inner[1]))), labels)
    return float(f"{np.exp((low + high) / 2):.4g}")


def doubt(rows: int, labels: int) -> float:
    """The share of a probability that is spread over all labels, so that no answer is surer than the rows allow.

    After `rows` right answers in a row the next is still wrong with a chance of 1 in `rows` + 2.
    Source: Laplace's rule of succession.
    """
    return labels / ((labels - 1) * (rows + 2))
