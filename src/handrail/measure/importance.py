"""What a model leans on: how much worse its answers get when one column is shuffled."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from handrail.core.signature import Columns
from handrail.measure.bootstrap import rounded


def permutation_importance(
    score: Callable[[Columns], float],
    columns: Columns,
    names: Sequence[str],
    *,
    repeats: int = 3,
    seed: int = 0,
    deadline_s: float | None = None,
) -> list[dict[str, Any]]:
    """[{"name", "importance", "spread"}], most important first: how far `score` (higher is better) falls on average.

    `spread` is the standard deviation over repeats. At `deadline_s` it stops: only repeats that shuffled every column
    count, and [] says that there was none. Correlated columns share their importance, so a low one does not mean
    "of no use".
    Source: Breiman, Random Forests (2001), section 10; Fisher, Rudin and Dominici, All Models are Wrong (2019).
    """
    end = None if deadline_s is None else time.monotonic() + deadline_s
    generator = np.random.default_rng(seed)
    rows = len(next(iter(columns.values()), ()))
    rounds: list[list[float]] = []
    whole = score(columns)
    for _ in range(repeats):
        falls = []
        for name in names:
            order = generator.permutation(rows)
            if end is not None and time.monotonic() >= end:
                return _listed(names, rounds)
            falls.append(whole - score({**columns, name: columns[name][order]}))
        rounds.append(falls)
    return _listed(names, rounds)


def _listed(names: Sequence[str], rounds: list[list[float]]) -> list[dict[str, Any]]:
    found = [
        {"name": name, "importance": float(np.mean(drops)), "spread": float(np.std(drops))}
        for name, *drops in zip(names, *rounds, strict=True)
        if drops
    ]
    found.sort(key=lambda item: -float(item["importance"]))
    result: list[dict[str, Any]] = rounded(found)
    return result
