"""What was asked for, checked and completed: the order, the name, the task, the machine."""

from __future__ import annotations

import math
import os
import re
import unicodedata
from pathlib import Path

from handrail.core.bundle import MODEL_NAME
from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.registry import TASKS, task_part
from handrail.data.look import Look
from handrail.tasks import Machine, Order, Plan

EFFORTS = ("quick", "good", "best")
PROBLEMS = ("classification", "regression", "multilabel", "binary", "multiclass")
LONGEST_S = 30 * 24 * 3600.0
# A plan may take this share of the memory that is free; the rest is for what an estimate misses.
MEMORY_SHARE = 0.8


def checked_order(effort: str, time_s: float | None, trials: int | None, seed: int) -> Order:
    """Raises HandrailError ("usage") that names the option and its range."""
    if effort not in EFFORTS:
        raise _off("effort", f"one of {', '.join(EFFORTS)}", effort)
    if time_s is not None and not (math.isfinite(time_s) and 1.0 <= time_s <= LONGEST_S):
        raise _off("time", "1s to 30 days", f"{time_s} seconds")
    if trials is not None and not 1 <= trials <= 1_000:
        raise _off("trials", "1 to 1000", trials)
    if time_s is not None and trials is not None:
        raise HandrailError("usage", "time and trials exclude each other", "give one of them", field="trials")
    if not 0 <= seed < 2**31:
        raise _off("seed", "0 to 2147483647", seed)
    return Order(effort, time_s, trials, seed)


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


def machine() -> Machine:
    """The cores this process may use and the memory that is free now."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(cores, free_memory_bytes())


def free_memory_bytes() -> int:
    """What the system says is available; 4 GiB where it says nothing."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    except OSError:
        found = None
    return int(found[1]) * 1024 if found else 4 * 2**30


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
        "effort": "good", "time": "60s", "trials": "8", "seed": "0"
    }[option], field=option)  # fmt: skip
