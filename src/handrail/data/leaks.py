"""Columns that are other columns in disguise, or the answer itself, and rows that are the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from handrail.core.field import Field
from handrail.core.values import Cell, is_blank

PURE = 0.999
# That few values stand for one answer each is no chance from this many rows on.
FEWEST_PAIRS = 20
FEWEST_ROWS = 50
LINEAR = 0.9999
APART = 0.999
# Ranks of this many rows tell what ranks of all would.
MOST_RANKED = 1_000


def codes_of(cells: Sequence[Cell]) -> tuple[np.ndarray, int]:
    """Each row's value as a number, numbered in the order of first appearance, and how many there are."""
    numbers: dict[Cell, int] = {}
    codes = np.fromiter((numbers.setdefault(cell, len(numbers)) for cell in cells), dtype=np.int64, count=len(cells))
    return codes, len(numbers)


def duplicate_of(columns: Mapping[str, Sequence[Cell]], numbers: Sequence[str]) -> dict[str, str]:
    """column → the one it repeats, cell by cell or one to one in other words. The one that is a number is kept."""
    groups: dict[tuple[bytes, object], list[str]] = {}
    for name, cells in columns.items():
        codes, distinct = codes_of(cells)
        # Where hardly anything repeats, any two columns map one to one by chance: then the cells must be equal.
        same = None if distinct <= len(cells) / 2 else hash(tuple(cells))
        groups.setdefault((codes.tobytes(), same), []).append(name)
    found: dict[str, str] = {}
    for names in groups.values():
        kept = next((name for name in names if name in numbers), names[0])
        found |= {name: kept for name in names if name != kept}
    return found


def gives_away(cells: Sequence[Cell], answers: Sequence[Cell], label_count: int) -> str:
    """Why a column is the answer in other words, "" when it is not: each of its few values has one answer only."""
    pairs = [
        (cell, answer)
        for cell, answer in zip(cells, answers, strict=True)
        if not is_blank(cell) and not is_blank(answer)
    ]
    if len(pairs) < FEWEST_PAIRS or len(pairs) < 0.5 * len(cells):
        return ""
    values = Counter(cell for cell, _ in pairs)
    if not label_count <= len(values) <= 2 * label_count:
        return ""
    best: dict[Cell, int] = {}
    for (cell, _), count in Counter(pairs).items():
        best[cell] = max(best.get(cell, 0), count)
    pure = sum(best.values()) / len(pairs)
    if pure < PURE:
        return ""
    return f"it gives the answer away: {100 * pure:.4g} % of its {len(pairs):,} values stand for one answer each"


def gives_away_amount(field: Field, cells: Sequence[Cell], values: np.ndarray) -> str:
    """Why a column of numbers is the amount in another unit or on another scale, "" when it is not."""
    if field.kind != "number":
        return ""
    column = field.parse_column(cells)
    both = np.isfinite(column) & np.isfinite(values)
    if both.sum() < FEWEST_ROWS or np.ptp(column[both]) == 0 or np.ptp(values[both]) == 0:
        return ""
    # Values near the end of what a float holds overflow; they correlate with nothing then.
    with np.errstate(over="ignore", invalid="ignore"):
        correlation = abs(float(np.corrcoef(column[both], values[both])[0, 1]))
    if correlation > LINEAR:
        return f"it is the answer in another unit (correlation {correlation:.6f})"
    # What grows from row to row, as years do, keeps the order of whatever else grows.
    if (np.diff(column[both]) >= 0).all() or (np.diff(column[both]) <= 0).all():
        return ""
    order = abs(_rank_correlation(column[both], values[both]))
    return f"it is the answer on another scale (rank correlation {order:.6f})" if order > LINEAR else ""


def tells_apart(field: Field, cells: Sequence[Cell], answers: Sequence[str | None]) -> str:
    """How well a column of numbers alone tells two labels apart, "" where it does not do so nearly always."""
    rows = np.unique(np.linspace(0, len(cells) - 1, min(len(cells), MOST_RANKED)).astype(int)).tolist()
    values = field.parse_column([cells[row] for row in rows])
    codes, _ = codes_of([answers[row] for row in rows])
    known = np.isfinite(values) & np.array([answers[row] is not None for row in rows])
    right = codes[known] == codes[known][0] if known.sum() >= FEWEST_ROWS else np.zeros(0, dtype=bool)
    if min(right.sum(), (~right).sum()) < 5:
        return ""
    above = (_ranks(values[known])[right].mean() - (right.sum() + 1) / 2) / (~right).sum()
    area = max(above, 1 - above)
    return f"it alone tells the labels apart (area under the curve {area:.4f})" if area >= APART else ""


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Source: Spearman 1904."""
    rows = np.linspace(0, len(one) - 1, min(len(one), MOST_RANKED)).astype(int)
    if np.ptp(one[rows]) == 0 or np.ptp(other[rows]) == 0:
        return 0.0
    return float(np.corrcoef(_ranks(one[rows]), _ranks(other[rows]))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 on; equal values share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places.reshape(-1)]


def twins_of(columns: Sequence[Sequence[Cell]], rows: int) -> np.ndarray:
    """`(rows,)` numbers, equal where rows are equal in every column."""
    if not columns:
        return np.arange(rows)
    numbers: dict[tuple[Cell, ...], int] = {}
    return np.fromiter(
        (numbers.setdefault(row, len(numbers)) for row in zip(*columns, strict=True)), dtype=np.int64, count=rows
    )
