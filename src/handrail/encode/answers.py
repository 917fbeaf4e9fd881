"""Answers as cells of a table: the same columns in a file that `predict` writes and in CSV over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from handrail.core.signature import Output

MOST_PROBABILITY_COLUMNS: Final = 20
# A spreadsheet runs a cell that begins like this.
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


def answer_names(output: Output) -> list[str]:
    """The names of the columns that an answer fills."""
    if output.kind == "vector":
        return [f"{output.name}_{place}" for place in range(output.size)]
    second = {"number": ["low", "high"], "labels": [], "label": ["probability"]}[output.kind]
    return [f"predicted_{output.name}", *second, *(f"probability_{label}" for label in _shown(output))]


def answer_cells(answer: Mapping[str, Any], output: Output) -> list[Any]:
    """The cells of one answer, in the order of `answer_names`."""
    if output.kind == "vector":
        return list(answer["vector"])
    if output.kind == "number":
        return [answer.get("value"), answer.get("low"), answer.get("high")]
    first = [output.separator.join(answer["labels"])] if output.kind == "labels" else [answer["label"]]
    second = [] if output.kind == "labels" else [answer["probability"]]
    return [*first, *second, *(answer["probabilities"].get(label) for label in _shown(output))]


def inert(cell: Any) -> Any:
    """The cell, with a ' in front where a spreadsheet would run it. Numbers are left alone, also as text."""
    if not isinstance(cell, str) or not cell.startswith(FORMULA_STARTS):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def _shown(output: Output) -> Sequence[str]:
    """The labels whose probabilities have a column."""
    return output.labels if len(output.labels) <= MOST_PROBABILITY_COLUMNS else ()
