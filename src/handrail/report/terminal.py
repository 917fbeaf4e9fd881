"""The report in a few lines: headings with rows of words, which a face draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from handrail.report import verdict, writing
from handrail.report.words import each, number, percent, some

MOST_CLASSES: Final = 12
MOST_FEATURES: Final = 5
MOST_WARNINGS: Final = 5

Lines = list[tuple[str, list[tuple[str, ...]]]]


def lines(report: Mapping[str, Any]) -> Lines:
    """(heading, rows) in reading order; a row is a tuple of cells, as many as the rows beside it. Nothing is empty."""
    parts: Lines = [
        ("", [(verdict.headline(report) or writing.headline(report),)]),
        *writing.lines(report),
        ("in words", [(sentence,) for sentence in _judgements(report)]),
        ("per label", _classes(report)),
        ("what matters", _features(report)),
        ("warnings", [(text,) for text in _warnings(report)]),
    ]
    return [(heading, [row for row in rows if any(row)]) for heading, rows in parts if any(any(row) for row in rows)]


def _judgements(report: Mapping[str, Any]) -> list[str]:
    asked = (verdict.in_words, verdict.better_than_trivial, verdict.weakest, verdict.calibrated, verdict.more_data)
    return [sentence for sentence in (ask(report) for ask in asked) if sentence]


def _classes(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    classes = each(some(report.get("score")).get("per_class"))
    if not classes:
        return []
    shown = classes
    if len(classes) > MOST_CLASSES:
        shown = sorted(classes, key=lambda item: 1.0 if item.get("f1") is None else item["f1"])[:MOST_CLASSES]
    rows = [
        (str(item.get("label")), number(item.get("rows")), *(number(item.get(key)) for key in _CLASS_KEYS))
        for item in shown
    ]
    more = [(f"… and {len(classes) - len(shown)} labels that are better", "", "", "", "")]
    return [("label", "rows", *_CLASS_KEYS), *rows, *(more if len(shown) < len(classes) else [])]


_CLASS_KEYS: Final = ("precision", "recall", "f1")


def _features(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    useful = [item for item in each(report.get("importance")) if (item.get("importance") or 0) > 0]
    whole = sum(item["importance"] for item in useful)
    return [(str(item.get("name")), percent(item["importance"] / whole)) for item in useful[:MOST_FEATURES]]


def _warnings(report: Mapping[str, Any]) -> list[str]:
    found = [str(text) for text in report.get("warnings") or ()]
    more = len(found) - MOST_WARNINGS
    return found if more <= 0 else [*found[:MOST_WARNINGS], f"… and {more} more in the report"]
