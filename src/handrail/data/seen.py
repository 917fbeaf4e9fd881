"""The values that a look at a table gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from handrail.core.field import Field

ColumnKind = Literal["number", "boolean", "date", "category", "text", "id", "constant", "empty", "duplicate", "leak"]
Problem = Literal["binary", "multiclass", "multilabel", "regression"]
SplitKind = Literal["random", "stratified", "group", "time"]


@dataclass(frozen=True)
class ColumnLook:
    """One column as it was understood. `field` says how its cells are read; None where the column is not used."""

    name: str
    kind: ColumnKind
    used: bool
    reason: str
    missing: int
    distinct: int
    examples: tuple[str, ...] = ()
    field: Field | None = None


@dataclass(frozen=True)
class Split:
    """How test rows are set aside. For "group", `keys[i]` is row i's group; for "time", its moment. Else None."""

    kind: SplitKind
    reason: str
    column: str | None = None
    keys: np.ndarray | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Look:
    """Everything that was noticed. `labels` are the target's words in sorted order (() for regression).

    `target_field` reads the target's cells (kind number for regression, category for labels). `label_separator` is
    set for multilabel targets ("a|b"). `twins[i]` is the same number for rows that are equal in all used inputs.
    """

    rows: int
    columns: tuple[ColumnLook, ...]
    target: str
    target_reason: str
    problem: Problem
    problem_reason: str
    target_field: Field
    labels: tuple[str, ...]
    split: Split
    notes: tuple[str, ...]
    fingerprint: str
    label_separator: str = ""
    twins: np.ndarray | None = field(default=None, repr=False, compare=False)

    def inputs(self) -> tuple[Field, ...]:
        """The fields a model may use, in the file's order."""
        return tuple(column.field for column in self.columns if column.used and column.field is not None)

    def ignored(self) -> tuple[str, ...]:
        """Columns that were seen and are not used."""
        return tuple(column.name for column in self.columns if not column.used and column.name != self.target)

    def as_dict(self) -> dict[str, Any]:
        """For people and programs: no arrays."""
        columns = [
            {"name": one.name, "kind": one.kind, "used": one.used, "reason": one.reason, "missing": one.missing,
             "distinct": one.distinct, "examples": list(one.examples)}
            for one in self.columns
        ]  # fmt: skip
        return {
            "rows": self.rows,
            "columns": columns,
            "target": self.target,
            "target_reason": self.target_reason,
            "problem": self.problem,
            "problem_reason": self.problem_reason,
            "labels": list(self.labels),
            "split": {"kind": self.split.kind, "column": self.split.column, "reason": self.split.reason},
            "notes": list(self.notes),
            "fingerprint": self.fingerprint,
        }
