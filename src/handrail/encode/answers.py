"""Answers as cells of a table, the same in files and over HTTP, and how far two answers are apart."""

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
    if output.kind == "text":
        return [output.name, "finish"]
    second = {"number": ["low", "high"], "labels": [], "label": ["probability"]}[output.kind]
    return [f"predicted_{output.name}", *second, *(f"probability_{label}" for label in _shown(output))]


def answer_cells(answer: Mapping[str, Any], output: Output) -> list[Any]:
    """The cells of one answer, in the order of `answer_names`."""
    if output.kind == "vector":
        return list(answer["vector"])
    if output.kind == "text":
        return [answer["text"], answer["finish"]]
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


def distance(answer: Any, wanted: Any) -> float:
    """How far two answers are apart: the largest difference of their numbers, inf where words differ.

    A label may flip where two probabilities tie; then the probabilities still agree, and they are what is compared.
    """
    if isinstance(wanted, Mapping) and isinstance(answer, Mapping) and wanted.keys() == answer.keys():
        compared = ["probabilities"] if "probabilities" in wanted else list(wanted)
        return max((distance(answer[name], wanted[name]) for name in compared), default=0.0)
    if isinstance(wanted, int | float) and isinstance(answer, int | float):
        return abs(answer - wanted) / max(1.0, abs(wanted))
    if isinstance(wanted, list) and isinstance(answer, list) and len(wanted) == len(answer):
        return max(map(distance, answer, wanted), default=0.0)
    return 0.0 if answer == wanted else float("inf")
