"""Reports as training writes them, of models that are made up: one for each kind of problem."""

from __future__ import annotations

from typing import Any

import numpy as np

from handrail.measure import classification, multilabel, regression


def binary(rows: int = 1409) -> dict[str, Any]:
    """Customers who leave."""
    draw = np.random.default_rng(0)
    positive = draw.beta(1.0, 2.2, rows)
    truth = ["yes" if left else "no" for left in draw.random(rows) < positive]
    score = classification(["no", "yes"], np.stack([1 - positive, positive], axis=1), truth, np.array([0.73, 0.27]))
    customer = {"tenure": 2, "contract": "month-to-month", "charges": 94.2, "internet": "fibre"}
    return {
        **_shared("churn", "tabular-classification", "churned", "binary"),
        "labels": ["no", "yes"],
        "score": score,
        "candidates": [
            {
                "name": "boosted trees, 31 leaves",
                "metric": "log_loss",
                "score": 0.4121,
                "weight": 0.62,
                "note": "9 folds",
            },
            {"name": "logistic regression", "metric": "log_loss", "score": 0.4189, "weight": 0.38, "note": ""},
            {"name": "boosted trees, 7 leaves", "metric": "log_loss", "score": 0.4203, "weight": 0.0, "note": ""},
        ],
        "candidates_metric": "log_loss",
        "learning_curve": [
            {"rows": 704, "score": 0.452},
            {"rows": 1409, "score": 0.436},
            {"rows": 2817, "score": 0.425},
            {"rows": 5634, "score": 0.4189},
        ],
        "importance": [
            {"name": "contract", "importance": 0.071, "spread": 0.004},
            {"name": "tenure", "importance": 0.046, "spread": 0.006},
            {"name": "internet", "importance": 0.021, "spread": 0.002},
            {"name": "a column with quite a long name", "importance": 0.006, "spread": 0.003},
            {"name": "gender", "importance": -0.0002, "spread": 0.0004},
        ],
        "mistakes": [
            {"row": customer, "truth": "no", "answer": "yes", "probability": 0.934},
            {"row": {**customer, "tenure": 71}, "truth": "yes", "answer": "no", "probability": 0.921},
        ],
    }


def multiclass(labels: int = 77, rows: int = 3080) -> dict[str, Any]:
    """Questions to a bank."""
    draw = np.random.default_rng(1)
    names = [f"{verb} {thing}" for verb in _VERBS for thing in _THINGS][:labels]
    truth = draw.integers(0, len(names), rows)
    raw = draw.normal(0, 1, (rows, len(names)))
    raw[np.arange(rows), truth] += 4.5
    raw[np.arange(rows), (truth + 1) % len(names)] += 2.0
    odds = np.exp(1.4 * raw)
    scores = odds / odds.sum(axis=1, keepdims=True)
    report = _shared("banking", "text-classification", "intent", "multiclass")
    score = classification(names, scores, [names[index] for index in truth], np.full(len(names), 1 / len(names)))
    text = "I was charged twice for the same thing at the shop and my statement shows two pending payments, why?"
    return {
        **report,
        "labels": names,
        "score": score,
        "columns": [column for column in report["columns"] if column["name"] in ("text", "intent")],
        "candidates_metric": "accuracy",
        "candidates": [{"name": "words and letters", "metric": "accuracy", "score": 0.871, "weight": 1.0, "note": ""}],
        "learning_curve": [
            {"rows": 2500, "score": 0.86},
            {"rows": 5000, "score": 0.869},
            {"rows": 10003, "score": 0.871},
        ],
        "mistakes": [{"row": {"text": text}, "truth": names[0], "answer": names[1], "probability": 0.98}],
        "base": {"name": "MiniLM", "licence": "Apache-2.0"},
    }


def prices(rows: int = 800) -> dict[str, Any]:
    """Houses."""
    draw = np.random.default_rng(2)
    truth = np.exp(draw.normal(12.2, 0.4, rows))
    answers = truth * np.exp(draw.normal(0, 0.12, rows))
    score = regression(answers, truth, float(truth.mean()), low=answers * 0.82, high=answers * 1.22)
    return {
        **_shared("houses", "tabular-regression", "price", "regression"),
        "labels": [],
        "score": score,
        "candidates_metric": "rmse",
        "learning_curve": [
            {"rows": 300, "score": 31000.0},
            {"rows": 600, "score": 29700.0},
            {"rows": 1200, "score": 29500.0},
        ],
        "importance": [{"name": "tenure", "importance": 21000.0, "spread": 900.0}],
        "mistakes": [{"row": {"tenure": 3}, "truth": 755000.0, "answer": 512345.6}],
    }


def topics(rows: int = 600) -> dict[str, Any]:
    """Texts with several topics each."""
    draw = np.random.default_rng(3)
    names = ["economy", "health", "sports", "weather"]
    scores = draw.beta(0.6, 1.2, (rows, 4))
    truth = [[name for name, likely in zip(names, row, strict=True) if draw.random() < likely] for row in scores]
    score = multilabel(names, scores, truth, 0.5, np.array([0.3, 0.3, 0.3, 0.3]))
    return {
        **_shared("topics", "text-classification", "topics", "multilabel"),
        "labels": names,
        "score": score,
        "mistakes": [],
    }


_VERBS = ("lost", "declined", "pending", "change", "verify", "top up", "cancel", "refund")
_THINGS = ("card", "transfer", "payment", "PIN", "identity", "address", "cash", "exchange rate", "limit", "fee")


def _shared(name: str, task: str, target: str, problem: str) -> dict[str, Any]:
    def column(called: str, kind: str, **more: Any) -> dict[str, Any]:
        found = {
            "name": called,
            "kind": kind,
            "used": True,
            "reason": "",
            "missing": 0,
            "distinct": 9,
            "examples": ["a", "b"],
        }
        return {**found, **more}

    return {
        "format": 1,
        "name": name,
        "task": task,
        "target": target,
        "target_reason": "the last column, and its name is one that targets have",
        "problem": problem,
        "problem_reason": "two distinct values in 7,043 rows",
        "rows": {"train": 5634, "test": 1409},
        "split": {"kind": "stratified", "column": None, "reason": "no column of times or groups was found"},
        "evaluated_on": "test rows",
        "columns": [
            column("customer", "id", used=False, reason="a different value in every row", distinct=7043),
            column("tenure", "number", distinct=73, examples=["1", "34", "2"], reason="all cells are numbers"),
            column("charges", "number", missing=11, distinct=6531, examples=["29.85", "1889.5"]),
            column("contract", "category", distinct=3, examples=["month-to-month", "one year", "two years"]),
            column("text", "text", distinct=7000, examples=["I was charged twice for the same thing at the shop"]),
            column(target, "category", used=False, distinct=2, examples=["no", "yes"], reason="the target"),
        ],
        "notes": ["the separator is ';'", "11 empty cells in 'charges' are read as missing"],
        "warnings": ["22 of 1,409 test rows are equal to training rows: the score flatters a little"],
        "candidates": [],
        "learning_curve": [],
        "importance": [],
        "plan": {
            "task": task,
            "lines": [
                ["effort", "good: 2 minutes, because the table is small"],
                ["folds", "5, so that each row is judged"],
            ],
            "settings": {"folds": 5, "learners": ["trees", "linear"]},
            "time_s": 120,
            "memory_bytes": 2**28,
        },
        "seed": 0,
        "versions": {"handrail": "0.1.0", "numpy": "2.4.0", "onnxruntime": "1.32.0"},
        "base": {},
    }


EVERY_PROBLEM = {"binary": binary, "multiclass": multiclass, "regression": prices, "multilabel": topics}
