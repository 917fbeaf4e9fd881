"""Which folder does which task, which file runs which weights: dicts you can read. A new one is one line here."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Final

from handrail.core.errors import HandrailError, did_you_mean, listed

TASKS: Final[dict[str, str]] = {
    "text-classification": "handrail.tasks.text_classification",
    "tabular-classification": "handrail.tasks.tabular",
    "tabular-regression": "handrail.tasks.tabular",
}
# Tasks of models that come from elsewhere: they answer, and are not trained here.
UNTRAINED: Final[dict[str, str]] = {
    "embedding": "handrail.tasks.embedding",
    "generation": "handrail.tasks.generation",
    "search": "handrail.tasks.search",
    "tensors": "handrail.tasks.tensors",
}
RUNTIMES: Final[dict[str, str]] = {
    ".onnx": "handrail.runtimes.onnx",
}


def task_part(task: str, part: str) -> ModuleType:
    """One of a task's files, loaded when asked for: "plan", "fit", "predict" or "score"; "" is the folder itself."""
    known = TASKS | UNTRAINED
    if task not in known:
        hint = did_you_mean(task, known).strip() or f"the tasks: {listed(known)}"
        raise HandrailError("bundle", f"unknown task '{task}'", hint)
    return importlib.import_module(known[task] + (f".{part}" if part else ""))


def runtime_for(suffix: str) -> ModuleType:
    """The runtime that executes weights with this suffix."""
    if suffix not in RUNTIMES:
        raise HandrailError("bundle", f"no runtime for weights '{suffix}'", f"the runtimes: {listed(RUNTIMES)}")
    return importlib.import_module(RUNTIMES[suffix])
