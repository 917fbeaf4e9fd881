"""What report.json says: how good the exported model is on rows it never saw, and everything that was noticed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from handrail.core.bundle import to_json
from handrail.core.signature import Columns
from handrail.core.values import Cell
from handrail.data.look import Look
from handrail.data.table import Table
from handrail.measure.importance import permutation_importance
from handrail.model import Model
from handrail.report.html import draw
from handrail.tasks import Fitted
from handrail.training.parts import Parts
from handrail.training.publishing import json_cell
from handrail.training.run import Deadline

MOST_IMPORTANCE_ROWS = 500
MOST_MISTAKES = 10
# Importance may use this share of what is left of the budget, and never more than this many seconds.
IMPORTANCE_SHARE = 0.4
IMPORTANCE_MOST_S = 8.0
SMALLEST_PROBABILITY = 1e-7


def findings(
    model: Model,
    parts: Parts,
    scores: np.ndarray,
    fitted: Fitted,
    reading_notes: Sequence[str],
    deadline: Deadline,
) -> dict[str, Any]:
    """The report of a model whose export gave `scores` to `parts.replay`. No times in it, so that it is repeatable."""
    manifest, look = model.manifest, parts.look
    judged, judged_scores = _judged(parts, scores, fitted)
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
        "importance": _importance(model, judged, deadline),
        "mistakes": _mistakes(model, look, judged, judged_scores),
        "plan": manifest.plan,
        "seed": manifest.seed,
        "versions": manifest.versions,
        "base": manifest.base,
    }


def drawn(report: dict[str, Any]) -> dict[str, bytes]:
    """The members of a bundle that hold the report: for programs and for people."""
    return {"report.json": to_json(report), "report.html": draw(report).encode("utf-8")}


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


def _importance(model: Model, judged: Table, deadline: Deadline) -> list[dict[str, Any]]:
    """How much worse the answers get when one column is shuffled; [] where there is one column only."""
    names = model.signature.names()
    if len(names) < 2:
        return []
    rows = np.linspace(0, len(judged) - 1, min(len(judged), MOST_IMPORTANCE_ROWS)).astype(int)
    sample = judged.select(rows.tolist())
    loss = _loss(model, sample.columns[model.signature.output.name])
    left_s = deadline.left()
    allowed_s = min(IMPORTANCE_SHARE * left_s, IMPORTANCE_MOST_S) if math.isfinite(left_s) else None
    columns = model.signature.columns_of_table(sample.columns)
    return permutation_importance(lambda some: -loss(some), columns, names, repeats=3, seed=0, deadline_s=allowed_s)


def _loss(model: Model, truth: Sequence[Cell]) -> Callable[[Columns], float]:
    """Mean log loss of the right labels, or root mean squared error."""
    output = model.signature.output
    if output.kind == "number":
        values = np.array([float(str(cell)) if isinstance(cell, str) else cell for cell in truth], dtype=np.float64)
        return lambda columns: float(np.sqrt(np.mean((model.scores(columns)[:, 0] - values) ** 2)))
    place = {label: index for index, label in enumerate(output.labels)}
    known = [(row, place[str(cell)]) for row, cell in enumerate(truth) if str(cell) in place]
    rows, labels = [row for row, _ in known], [label for _, label in known]

    def log_loss(columns: Columns) -> float:
        right = np.maximum(model.scores(columns)[rows, labels], SMALLEST_PROBABILITY)
        return float(-np.mean(np.log(right)))

    return log_loss


def _mistakes(model: Model, look: Look, judged: Table, scores: np.ndarray) -> list[dict[str, Any]]:
    """The answers that were wrong and most sure of themselves, or furthest off."""
    truth = look.target_field.parse_column(judged.columns[look.target])
    if look.problem == "multilabel":
        return []
    if look.problem == "regression":
        off = np.abs(scores[:, 0] - truth.astype(np.float64))
        worst = np.argsort(-off, kind="stable")[:MOST_MISTAKES]
        return [
            {"row": _row(model, judged, row), "truth": float(truth[row]), "answer": float(f"{scores[row, 0]:.6g}")}
            for row in worst.tolist()
        ]
    labels = np.array(model.signature.output.labels, dtype=object)
    answers, sure = labels[scores.argmax(axis=1)], scores.max(axis=1)
    wrong = np.flatnonzero(answers != truth)
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:MOST_MISTAKES]
    return [
        {
            "row": _row(model, judged, row),
            "truth": truth[row],
            "answer": answers[row],
            "probability": round(float(sure[row]), 4),
        }
        for row in worst.tolist()
    ]


def _row(model: Model, table: Table, row: int) -> dict[str, Cell]:
    return {field.name: json_cell(field, table.columns[field.name][row]) for field in model.signature.inputs}
