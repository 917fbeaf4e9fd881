"""What will be tried on a table, decided before anything is fitted."""

from __future__ import annotations

from typing import Final

from handrail.data.look import Look
from handrail.tasks import Machine, Order, Plan

TIME_S: Final = {"quick": 8.0, "good": 60.0, "best": 300.0}
# Below this many rows more folds waste fewer of them; above the other, each fold is large anyway.
SMALL_ROWS: Final = 3_000
LARGE_ROWS: Final = 30_000
BYTES_PER_VALUE: Final = 40


def plan(look: Look, order: Order, machine: Machine) -> Plan:
    """Pure: the same look, order and machine give the same plan."""
    fields = look.inputs()
    folds = 8 if look.rows < SMALL_ROWS else 5 if look.rows < LARGE_ROWS else 4
    if order.effort == "quick" and look.rows >= SMALL_ROWS:
        folds = 3
    regression = look.problem == "regression"
    metric = "rmse" if regression else "log_loss"
    time_s = None if order.trials is not None else (order.time_s or TIME_S[order.effort])
    width = sum(6 if field.kind == "date" else 2 for field in fields)
    memory = look.rows * (width * BYTES_PER_VALUE + 400 * max(1, len(look.labels))) + 300 * 2**20
    unused = [column.name for column in look.columns if not column.used and column.name != look.target]
    answers = "an amount" if regression else f"one of {len(look.labels)} classes"
    lines = (
        ("predict", f"'{look.target}': {answers} ({look.problem_reason})"),
        ("from", f"{len(fields)} columns" + (f"; not used: {', '.join(unused[:6])}" if unused else "")),
        (
            "models",
            "gradient-boosted trees in many shapes, a linear model, extra trees, a small network; the best together",
        ),
        ("judged by", f"{'root mean squared error' if regression else 'log loss'}, {folds}-fold cross-validation"),
        ("test", look.split.reason),
        ("time", f"{order.trials} candidates, however long" if time_s is None else f"{time_s:g} s"),
        ("memory", f"about {memory / 2**20:,.0f} MB"),
    )
    settings = {
        "folds": folds,
        "metric": metric,
        "threads": min(machine.cores, 8),
        "effort": order.effort,
        "trials": order.trials,
    }
    task = "tabular-regression" if regression else "tabular-classification"
    return Plan(task, lines, settings, time_s, memory)
