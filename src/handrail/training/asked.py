"""What was asked for, checked and completed: the order, the name, the task, the machine."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from handrail.core.bundle import MODEL_NAME
from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.events import Tell, Warned
from handrail.core.processors import processors
from handrail.core.registry import TASKS, task_part
from handrail.core.values import to_seconds
from handrail.data.look import Look
from handrail.data.memory import free_memory_bytes
from handrail.data.table import Table
from handrail.tasks import Machine, Order, Plan

EFFORTS = ("quick", "good", "best")
PROBLEMS = ("classification", "regression", "multilabel", "binary", "multiclass")
LONGEST_S = 30 * 24 * 3600.0
# A plan may take this share of the memory that is free; the rest is for what an estimate misses.
MEMORY_SHARE = 0.8


def checked_order(
    effort: str, time: float | str | None, trials: int | None, seed: int, *, time_s: float | str | None = None
) -> Order:
    """Raises HandrailError ("usage") that names the option and its range. `time` and `time_s` are the same thing."""
    if effort not in EFFORTS:
        raise _off("effort", f"one of {', '.join(EFFORTS)}", effort)
    if time is not None and time_s is not None:
        raise HandrailError("usage", "time and time_s are the same", "give one of them", field="time")
    budget_s = _seconds(time if time_s is None else time_s)
    if trials is not None and not (_is_whole(trials) and 1 <= trials <= 1_000):
        raise _off("trials", "a whole number from 1 to 1000", trials)
    if budget_s is not None and trials is not None:
        raise HandrailError("usage", "time and trials exclude each other", "give one of them", field="trials")
    if not (_is_whole(seed) and 0 <= seed < 2**31):
        raise _off("seed", "a whole number from 0 to 2147483647", seed)
    return Order(effort, budget_s, None if trials is None else int(trials), int(seed))


def _seconds(time: object) -> float | None:
    if time is None:
        return None
    text = isinstance(time, str)
    number = isinstance(time, Real) and not isinstance(time, bool)
    found = to_seconds(str(time)) if text else float(time) if number else math.nan  # type: ignore[arg-type]
    if not 1.0 <= found <= LONGEST_S:
        raise _off("time", "1s to 30 days", time if text else f"{time} seconds")
    return found


def _is_whole(number: object) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool)


def without_gaps(test: Table, look: Look, tell: Tell) -> Table:
    """The test rows that a model of these rows can answer: it refuses gaps where training sees none."""
    fields = [field for field in look.inputs() if field.name in test.columns]
    gaps = {field.name: field.gap_rows(test.columns[field.name]) for field in fields}
    named = [name for name, rows in gaps.items() if rows]
    left_out = {row for rows in gaps.values() for row in rows}
    if not left_out:
        return test
    said = f"{len(left_out):,} of {len(test):,} test rows lack {listed(named)}, which no row to learn from lacks"
    if len(left_out) == len(test):
        raise HandrailError("data", said, "fill these cells", where=test.source, field=named[0])
    tell(Warned(f"{said}: they are left out"))
    return test.select([row for row in range(len(test)) if row not in left_out])


def options_asked(
    order: Order,
    *,
    kinds: Mapping[str, str] | None,
    missing: Sequence[str],
    test: object,
    header: bool | None,
    **others: object,
) -> dict[str, Any]:
    """Option of the command line → value, for each that was not left as it is: what makes the model again."""
    asked = {
        "kind": [f"{name}={kind}" for name, kind in (kinds or {}).items()],
        "effort": None if order.effort == Order.effort else order.effort,
        "time": None if order.time_s is None else f"{order.time_s:g}s",
        "trials": order.trials,
        **{name.replace("_", "-"): value for name, value in others.items()},
        "test": None if test is None else "YOUR_TEST_FILE",
        "missing": list(missing),
        "header": header or None,
        "no-header": True if header is False else None,
    }
    return {option: value for option, value in asked.items() if value not in (None, [])}


def name_for(source: object) -> str:
    """A model name made of a file's name ("My Reviews.csv" → "my-reviews"); "model" for rows in memory."""
    if not isinstance(source, str | Path):
        return "model"
    plain = unicodedata.normalize("NFKD", Path(source).name.split(".")[0]).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:64].strip("-")
    return name if MODEL_NAME.fullmatch(name) else "model"


def problem_of(task: str | None) -> str | None:
    """The kind of problem that `--task` names: a problem word, or a task's whole name."""
    if task is None or task in PROBLEMS:
        return task
    if task in TASKS:
        return "regression" if task.endswith("regression") else "classification"
    known = [*PROBLEMS, *TASKS]
    hint = did_you_mean(task, known).strip() or f"the tasks: {listed(known)}"
    raise HandrailError("usage", f"unknown task '{task}'", hint, field="task")


def recognised(look: Look) -> str:
    """The name of the task that fits what was seen. The first in the registry that says yes."""
    for name in TASKS:
        if task_part(name, "").recognises(look) and (look.problem == "regression") == name.endswith("regression"):
            return name
    raise HandrailError(
        "data", f"no task fits: {look.problem} of '{look.target}'", "give another --target, or --task classification"
    )


def plan_lines(look: Look, plan: Plan) -> tuple[tuple[str, str], ...]:
    """The plan for people, with what is predicted and why that, first: (word, explanation) pairs."""
    return (("target", f"'{look.target}': {look.target_reason}"), *plan.lines)


def machine() -> Machine:
    """The cores this process may use and the memory that is free now."""
    cores = processors()
    return Machine(cores, free_memory_bytes())


def refuse_too_large(plan: Plan) -> None:
    """Raises HandrailError ("environment") with both numbers when the plan does not fit into memory."""
    free = free_memory_bytes()
    if plan.memory_bytes > MEMORY_SHARE * free:
        raise HandrailError(
            "environment",
            f"this needs about {plan.memory_bytes / 2**30:.1f} GB of memory, {free / 2**30:.1f} GB are free",
            "train on fewer rows or columns, with --effort quick, or on a larger machine",
        )


def _off(option: str, wanted: str, received: object) -> HandrailError:
    return HandrailError("usage", f"{option} must be {wanted}, received '{received}'", f"for example --{option} " + {
        "effort": "good", "time": "60s (a column of times is --time-column)", "trials": "8", "seed": "0"
    }[option], field=option)  # fmt: skip
