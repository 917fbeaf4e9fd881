"""What will be tried on texts, decided before anything is fitted."""

from __future__ import annotations

from typing import Final

from handrail.data.look import Look
from handrail.tasks import Machine, Order, Plan

TIME_S: Final = {"quick": 8.0, "good": 60.0, "best": 300.0}
FEATURES: Final = {"quick": 60_000, "good": 120_000, "best": 200_000}
# The head's weights are features × labels; this many keep its file small and quick to load.
MOST_WEIGHTS: Final = 8_000_000


def plan(look: Look, order: Order, machine: Machine) -> Plan:
    """Pure: the same look, order and machine give the same plan."""
    labels = len(look.labels)
    folds = 3 if order.effort == "quick" else 5
    features = min(FEATURES[order.effort], MOST_WEIGHTS // max(1, labels if labels > 2 else 1))
    time_s = None if order.trials is not None else (order.time_s or TIME_S[order.effort])
    embeddings = order.effort != "quick" or (order.time_s or 0) > TIME_S["quick"]
    memory = look.rows * (400 * 12 + 384 * 8) + features * labels * 24 + 400 * 2**20
    kinds = {
        "binary": "one of 2 labels",
        "multiclass": f"one of {labels} labels",
        "multilabel": f"any of {labels} labels",
    }
    rungs = "n-grams of words and characters" + ("; MiniLM sentence vectors, if at hand; both" if embeddings else "")
    lines = (
        ("predict", f"'{look.target}': {kinds[look.problem]} ({look.problem_reason})"),
        ("from", ", ".join(field.name for field in look.inputs())),
        ("models", f"a linear head on {rungs}: chosen by cross-validation"),
        ("judged by", f"log loss, {folds}-fold cross-validation; equal texts stay together"),
        ("test", look.split.reason),
        ("time", f"{order.trials} candidates, however long" if time_s is None else f"{time_s:g} s"),
        ("memory", f"about {memory / 2**20:,.0f} MB"),
    )
    settings = {"folds": folds, "features": features, "embeddings": embeddings, "metric": "log_loss",
                "threads": min(machine.cores, 8), "effort": order.effort, "trials": order.trials}  # fmt: skip
    return Plan("text-classification", lines, settings, time_s, memory)
