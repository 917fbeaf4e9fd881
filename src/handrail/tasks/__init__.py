"""What models are for. A task is a folder of five files, one verb each; this is the contract they keep.

__init__.py   recognises(look) -> str          why this task fits the data, "" when it does not
plan.py       plan(look, order, machine)        pure: what will be done, printed before and saved after
fit.py        fit(job) -> Fitted                the only heavy file; tells, keeps to the clock, saves what is finished
predict.py    load(bundle) -> Predictor         columns to arrays, arrays to answers; ships with the bundle
score.py      score(signature, scores, …)       how good the *exported* model is, next to a trivial one
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from handrail.core.events import Tell
from handrail.core.signature import Columns, Signature
from handrail.core.values import Cell
from handrail.data.look import Look
from handrail.data.table import Table

Arrays = Mapping[str, np.ndarray]
Answer = dict[str, Any]


@dataclass(frozen=True)
class Order:
    """What the user asked for. `time_s` None: the effort's own; `trials` replaces the clock by a count."""

    effort: str = "good"  # quick | good | best
    time_s: float | None = None
    trials: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Machine:
    """What there is to work with, measured once."""

    cores: int
    free_memory_bytes: int


@dataclass(frozen=True)
class Plan:
    """What will be done, with the reasons, before it is done. `lines` are (word, explanation) pairs for people."""

    task: str
    lines: tuple[tuple[str, str], ...]
    settings: dict[str, Any]
    time_s: float | None
    memory_bytes: int

    def as_dict(self) -> dict[str, Any]:
        return {"task": self.task, "lines": [list(line) for line in self.lines], "settings": self.settings,
                "time_s": self.time_s, "memory_bytes": self.memory_bytes}  # fmt: skip


class Clock(Protocol):
    """The budget of a fit. `left()` is inf where trials are counted; `stop()` is what Ctrl-C calls: a fit that is
    `stopped()` ends within about a second with the best so far."""

    def left(self) -> float: ...
    def spent(self) -> float: ...
    def expired(self) -> bool: ...
    def stop(self) -> None: ...
    def stopped(self) -> bool: ...


class Checkpoint(Protocol):
    """Finished pieces of a fit, kept so that a killed run goes on. Arrays only: nothing here can run."""

    def get(self, key: str) -> dict[str, np.ndarray] | None: ...
    def put(self, key: str, arrays: Mapping[str, np.ndarray]) -> None: ...


@dataclass(frozen=True)
class Job:
    """All that a fit gets. `look` speaks of the rows of `train` only. `replay` holds rows it must not learn from: what
    the trained model answers to them is compared with what its export answers.
    """

    plan: Plan
    order: Order
    look: Look
    train: Table
    replay: Table
    clock: Clock
    checkpoint: Checkpoint
    tell: Tell


@dataclass(frozen=True)
class Fitted:
    """A trained model, exported.

    `native` is what the trained model itself (not its export) answers on `job.replay`: (rows, labels) probabilities or
    (rows, 1) values; the export must agree to 1e-5 × `scale`. `out_of_fold` is alike for the training rows, NaN where
    a row was in no held-out fold. `candidates` is the leaderboard, best first: {"name", "metric", "score", "weight",
    "note"}. `learning_curve` is [{"rows", "score"}] in the unit of `metric`.
    """

    signature: Signature
    files: dict[str, bytes]
    encode: dict[str, Any]
    native: np.ndarray
    metric: str
    scale: float = 1.0
    base: dict[str, Any] = field(default_factory=dict)
    candidates: tuple[dict[str, Any], ...] = ()
    learning_curve: tuple[dict[str, float], ...] = ()
    out_of_fold: np.ndarray | None = None
    notes: tuple[str, ...] = ()


class Predictor(Protocol):
    """The half that answers: `encode` makes the graph's inputs, `decode` reads its output "scores" (rows, labels)."""

    def encode(self, columns: Columns) -> Arrays: ...
    def decode(self, scores: np.ndarray) -> list[Answer]: ...


class Task(Protocol):
    """A task's folder, seen as one thing."""

    def recognises(self, look: Look) -> str: ...
    def plan(self, look: Look, order: Order, machine: Machine) -> Plan: ...
    def fit(self, job: Job) -> Fitted: ...
    def score(
        self, signature: Signature, scores: np.ndarray, truth: Sequence[Cell], trivial: np.ndarray
    ) -> dict[str, Any]: ...
