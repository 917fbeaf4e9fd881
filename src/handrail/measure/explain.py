"""What moved one answer: a share for each column that adds up to it, or for each word of a text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from handrail.core.signature import Columns

# Rows that may be asked for one explanation (two walks through all columns for each background row come first).
MOST_ROWS_ASKED: Final = 4_000
MOST_ROUNDS: Final = 10
MOST_PARTS: Final = 200
# A word, or one sign of a script that writes without blanks.
WORD: Final = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+(?:['’-][^\W\u3040-\u30ff\u3400-\u9fff]+)*"
)


def contributions(
    answer: Callable[[Columns], np.ndarray], row: Columns, background: Columns, seed: int = 0
) -> tuple[float, list[dict[str, Any]]]:
    """(base, [{"name", "value", "contribution"}]), the largest first; base + all contributions = the row's answer.

    `row` holds one row, `background` the rows it is compared with; `base` is the mean answer of those. Columns are
    changed from a background row's value to this row's in random orders, each order walked forwards and backwards; a
    column's contribution is the mean change when it was its turn (its Shapley value, sampled).
    Source: Štrumbelj and Kononenko, Explaining prediction models and individual predictions with feature
    contributions (2014); walking backwards: Mitchell et al., Sampling Permutations for Shapley Value Estimation (2022).
    """
    names = list(row)
    if not names:
        raise ValueError("a row without columns cannot be explained")
    rows = len(background[names[0]]) or 1
    other = background if len(background[names[0]]) else row
    orders, start = _orders(len(names), rows, seed)
    turn = np.argsort(orders, axis=1)  # (walks, columns): when each column changes
    changed = turn[:, None, :] < np.arange(len(names) + 1)[None, :, None]  # (walks, steps, columns)
    asked = {
        name: np.where(changed[:, :, index], row[name][0], other[name][start][:, None]).ravel()
        for index, name in enumerate(names)
    }
    answers = np.asarray(answer(asked), dtype=np.float64).reshape(len(orders), len(names) + 1)
    steps = np.take_along_axis(np.diff(answers, axis=1), turn, axis=1).mean(axis=0)
    found = [
        {"name": name, "value": _plain(row[name][0]), "contribution": float(steps[index])}
        for index, name in enumerate(names)
    ]
    found.sort(key=lambda part: -abs(part["contribution"]))
    return float(answers[:, 0].mean()), found


def word_contributions(answer: Callable[[Sequence[str]], np.ndarray], text: str) -> list[dict[str, Any]]:
    """[{"word", "start", "end", "contribution"}] in reading order: how far each word moves the answer.

    The mean of two differences: the whole text against the text without the word, and the word alone against nothing.
    (The first is near zero for all words where the model is sure; together they are the ends of the Shapley sum.)
    `answer` takes texts and gives one number for each, all in one call. More than 200 words are taken in groups.
    """
    spans = [match.span() for match in WORD.finditer(text)]
    size = max(1, math.ceil(len(spans) / MOST_PARTS))
    groups = [(spans[first][0], spans[min(first + size, len(spans)) - 1][1]) for first in range(0, len(spans), size)]
    if not groups:
        return []
    without = [text[:start] + text[end:] for start, end in groups]
    alone = [text[start:end] for start, end in groups]
    answers = np.asarray(answer([text, "", *without, *alone]), dtype=np.float64).ravel()
    whole, nothing, rest = answers[0], answers[1], answers[2:].reshape(2, len(groups))
    moved = ((whole - rest[0]) + (rest[1] - nothing)) / 2
    return [
        {"word": text[start:end], "start": start, "end": end, "contribution": float(part)}
        for (start, end), part in zip(groups, moved, strict=True)
    ]


def _orders(columns: int, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Orders of columns `(walks, columns)` and the background row that each walk starts from."""
    rounds = max(1, min(MOST_ROUNDS, math.factorial(min(columns, 4)), MOST_ROWS_ASKED // (2 * rows * (columns + 1))))
    generator = np.random.default_rng(seed)
    forwards = np.stack([generator.permutation(columns) for _ in range(rounds * rows)])
    start = np.tile(np.arange(rows), rounds)
    return np.concatenate([forwards, forwards[:, ::-1]]), np.concatenate([start, start])


def _plain(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return None if math.isnan(value) else float(value)
    return value
