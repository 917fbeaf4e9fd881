"""Which candidates answer together, and with what weight: greedy selection on out-of-fold answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

ROUNDS = 40
SMALLEST_GAIN = 1e-5


def greedy_weights(
    answers: Sequence[np.ndarray],
    loss: Callable[[np.ndarray], float],
    costs: Sequence[float],
    cost_limit: float,
) -> np.ndarray:
    """`(candidates,)` weights that sum to 1; candidates whose costs do not fit together under the limit get 0.

    Starts from the best and adds, with replacement, whatever lowers the loss of the average most.
    Source: Caruana et al. 2004, Ensemble selection from libraries of models.
    """
    counts = np.zeros(len(answers))
    total = np.zeros_like(answers[0])
    best_loss, best_counts = np.inf, counts.copy()
    for round_number in range(1, ROUNDS + 1):
        trials = [
            loss((total + answer) / round_number) if _fits(counts, number, costs, cost_limit) else np.inf
            for number, answer in enumerate(answers)
        ]
        chosen = int(np.argmin(trials))
        if not np.isfinite(trials[chosen]):
            chosen = int(np.argmin(costs))
        counts[chosen] += 1
        total = total + answers[chosen]
        if trials[chosen] < best_loss - SMALLEST_GAIN * abs(best_loss if np.isfinite(best_loss) else 0.0):
            best_loss, best_counts = trials[chosen], counts.copy()
    if not best_counts.any():
        best_counts = counts
    weights: np.ndarray = best_counts / best_counts.sum()
    return weights


def _fits(counts: np.ndarray, added: int, costs: Sequence[float], limit: float) -> bool:
    used = sum(cost for cost, count in zip(costs, counts, strict=True) if count) + (
        0.0 if counts[added] else costs[added]
    )
    return used <= limit
