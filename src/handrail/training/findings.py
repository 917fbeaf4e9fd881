"""What report.json says: how good the exported model is on rows it never saw, and everything that was noticed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from handrail.core.bundle import to_json
from handrail.core.signature import Columns
from handrail.core.values import Cell
from handrail.data.look import Look, usable_rows
from handrail.data.table import Table
from handrail.data.targets import parts_of
from handrail.measure.importance import permutation_importance
from handrail.model import Model
from handrail.report.html import draw
from handrail.tasks import Fitted
from handrail.training.parts import Parts
from handrail.training.publishing import json_cell
from handrail.training.run import Deadline
from handrail.watch.profile import MEMBER as PROFILE
from handrail.watch.profile import profile_of

MOST_IMPORTANCE_ROWS = 500
MOST_MISTAKES = 10
# Importance may use this share of what is left of the budget, and never more than this many seconds.
IMPORTANCE_SHARE = 0.4
IMPORTANCE_MOST_S = 8.0
SMALLEST_PROBABILITY = 1e-7
# From this probability on, a label of several is given.
SAID_FROM = 0.5


def findings(
    model: Model,
    parts: Parts,
    scores: np.ndarray,
    fitted: Fitted,
    reading_notes: Sequence[str],
    deadline: Deadline,
    *,
    asked: dict[str, Any],
) -> dict[str, Any]:
    """The report of a model whose export gave `scores` to `parts.replay`. No times in it, so that it is repeatable."""
    manifest, look = model.manifest, parts.look
    judged, judged_scores = _judged(parts, scores, fitted)
    importance = _importance(model, look, judged, deadline)
    return {
        "format": 1,
        "name": manifest.name,
        "task": manifest.task,
        "target": look.target,
        "target_reason": look.target_reason,
        "problem": look.problem,
        "problem_reason": look.problem_reason,
        "labels": list(model.signature.output.labels),
        "rows": {"train": len(parts.train), "test": 0 if parts.test is None else len(parts.test)},
        "split": {"kind": look.split.kind, "column": look.split.column, "reason": look.split.reason},
        "evaluated_on": "cross-validation" if parts.test is None else "test rows",
        "score": model.score(judged_scores, judged.columns[look.target]),
        "columns": look.as_dict()["columns"],
        "notes": [*reading_notes, *fitted.notes],
        "warnings": [*look.notes, *parts.notes, *_repeated(model, parts)],
        "candidates": list(fitted.candidates),
        "candidates_metric": fitted.metric,
        "learning_curve": list(fitted.learning_curve),
        "importance": importance,
        "left_out": _left_out(model, fitted, importance),
        "mistakes": _mistakes(model, look, judged, judged_scores),
        "asked": asked,
        "plan": manifest.plan,
        "seed": manifest.seed,
        "versions": manifest.versions,
        "base": manifest.base,
    }


def drawn(report: dict[str, Any]) -> dict[str, bytes]:
    """The members of a bundle that hold the report: for programs and for people."""
    return {"report.json": to_json(report), "report.html": draw(report).encode("utf-8")}


def profiled(model: Model, parts: Parts, scores: np.ndarray, fitted: Fitted) -> dict[str, bytes]:
    """The member of a bundle that later rows are compared with: counts of the training rows, and of what the model
    answers to rows that it never saw."""
    look, (_, judged_scores) = parts.look, _judged(parts, scores, fitted)
    target = _truths(look, parts.train.columns[look.target])
    profile = profile_of(model.signature, parts.train.columns, target, _answers(look, judged_scores))
    return {PROFILE: profile.as_bytes()}


def _truths(look: Look, cells: Sequence[Cell]) -> list[Any]:
    if look.problem == "multilabel":
        return [parts_of(cell, look.label_separator) for cell in cells]
    found: list[Any] = look.target_field.parse_column(cells).tolist()
    return found


def _answers(look: Look, scores: np.ndarray) -> list[Any]:
    """What is said where these are the scores: a number, a label, or several."""
    if look.problem == "regression":
        return [float(value) for value in scores[:, 0]]
    if look.problem == "multilabel":
        return [
            [label for label, is_said in zip(look.labels, row, strict=True) if is_said] for row in scores >= SAID_FROM
        ]
    return [look.labels[place] for place in scores.argmax(axis=1)]


def _judged(parts: Parts, scores: np.ndarray, fitted: Fitted) -> tuple[Table, np.ndarray]:
    """The rows that are judged, with scores of models that never saw them: the test rows, else those out of fold."""
    if parts.test is not None:
        return parts.test, scores
    if fitted.out_of_fold is None:
        return parts.replay, scores
    known = np.flatnonzero(np.isfinite(fitted.out_of_fold).all(axis=1))
    return parts.train.select(known.tolist()), fitted.out_of_fold[known]


def _repeated(model: Model, parts: Parts) -> list[str]:
    """A warning when test rows are also training rows: then the score flatters."""
    if parts.test is None:
        return []
    names = [*model.signature.names()]
    seen = set(zip(*(parts.train.columns[name] for name in names), strict=True))
    again = sum(row in seen for row in zip(*(parts.test.columns[name] for name in names), strict=True))
    if not again:
        return []
    return [f"{again:,} of {len(parts.test):,} test rows are equal to training rows: the score flatters a little"]


def _left_out(model: Model, fitted: Fitted, importance: list[dict[str, Any]]) -> dict[str, str]:
    """What the report does not hold for want of time, by the report's key, in a sentence each."""
    found = {}
    if not fitted.learning_curve:
        found["learning_curve"] = "There was not time enough to learn from parts of the rows, too; more --time is."
    if not importance and len(model.signature.inputs) > 1:
        found["importance"] = "There was not time enough to shuffle every column; more --time is."
    return found


def _importance(model: Model, look: Look, judged: Table, deadline: Deadline) -> list[dict[str, Any]]:
    """How much worse the answers get when one column is shuffled; [] where there is one column only, or no time."""
    names, known = model.signature.names(), usable_rows(judged, look)
    if len(names) < 2 or not known:
        return []
    places = np.linspace(0, len(known) - 1, min(len(known), MOST_IMPORTANCE_ROWS)).astype(int)
    sample = judged.select([known[place] for place in places])
    loss = _loss(model, look, sample.columns[look.target])
    left_s = deadline.left()
    allowed_s = min(IMPORTANCE_SHARE * left_s, IMPORTANCE_MOST_S) if math.isfinite(left_s) else None
    columns = model.signature.columns_of_table(sample.columns)
    return permutation_importance(lambda some: -loss(some), columns, names, repeats=3, seed=0, deadline_s=allowed_s)


def _loss(model: Model, look: Look, truth: Sequence[Cell]) -> Callable[[Columns], float]:
    """Root mean squared error, or mean log loss of what is right; over all labels where several may be."""
    if look.problem == "regression":
        values = look.target_field.parse_column(truth)
        return lambda columns: float(np.sqrt(np.mean((model.scores(columns)[:, 0] - values) ** 2)))
    right = _right(look, truth)

    def log_loss(columns: Columns) -> float:
        scores = model.scores(columns)
        given = np.where(right, scores, 1.0 - scores) if look.problem == "multilabel" else scores[right]
        return float(-np.mean(np.log(np.maximum(given, SMALLEST_PROBABILITY))))

    return log_loss


def _right(look: Look, truth: Sequence[Cell]) -> np.ndarray:
    """`(rows, labels)` whether the label is right."""
    if look.problem == "multilabel":
        sets = [set(parts_of(cell, look.label_separator)) for cell in truth]
    else:
        sets = [{word} for word in look.target_field.parse_column(truth)]
    return np.array([[label in words for label in look.labels] for words in sets], dtype=bool)


def _mistakes(model: Model, look: Look, judged: Table, scores: np.ndarray) -> list[dict[str, Any]]:
    """The answers that were wrong and most sure of themselves, or furthest off."""
    find = {"regression": _furthest_off, "multilabel": _wrong_sets}.get(look.problem, _wrong_labels)
    return [
        {"row": _row(model, judged, row), **found} for row, found in find(look, judged.columns[look.target], scores)
    ]


def _furthest_off(look: Look, cells: Sequence[Cell], scores: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
    truth = look.target_field.parse_column(cells)
    for row in np.argsort(-np.abs(scores[:, 0] - truth), kind="stable")[:MOST_MISTAKES].tolist():
        yield row, {"truth": float(truth[row]), "answer": float(f"{scores[row, 0]:.6g}")}


def _wrong_labels(look: Look, cells: Sequence[Cell], scores: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
    truth = look.target_field.parse_column(cells)
    answers, sure = np.array(look.labels, dtype=object)[scores.argmax(axis=1)], scores.max(axis=1)
    wrong = np.flatnonzero(answers != truth)
    for row in wrong[np.argsort(-sure[wrong], kind="stable")][:MOST_MISTAKES].tolist():
        yield row, {"truth": truth[row], "answer": answers[row], "probability": round(float(sure[row]), 4)}


def _wrong_sets(look: Look, cells: Sequence[Cell], scores: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
    """How sure it was is told of the label that it was most wrong about."""
    off = np.abs(scores - _right(look, cells)).max(axis=1)
    wrong = np.flatnonzero(off > SAID_FROM)
    for row in wrong[np.argsort(-off[wrong], kind="stable")][:MOST_MISTAKES].tolist():
        said = [label for label, score in zip(look.labels, scores[row], strict=True) if score >= SAID_FROM]
        true = parts_of(cells[row], look.label_separator)
        yield row, {"truth": _in_words(true), "answer": _in_words(said), "probability": round(float(off[row]), 4)}


def _in_words(labels: Sequence[str]) -> str:
    return ", ".join(labels) or "none of them"


def _row(model: Model, table: Table, row: int) -> dict[str, Cell]:
    return {field.name: json_cell(field, table.columns[field.name][row]) for field in model.signature.inputs}
