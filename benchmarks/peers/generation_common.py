"""What every runtime of generation.py is asked, and how it answers: one JSON in, one JSON out."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# One run: seconds from asking until each token was there (or more than one, where they came together).
Times = list[float]


def asked() -> dict[str, Any]:
    """model, prompts (lists of token numbers), tokens, runs, together (how many at once), threads."""
    return json.loads(sys.argv[1])


def alone(task: dict[str, Any], run: Callable[[list[int]], Times]) -> dict[str, float]:
    """One request after another; the first, which the clock of the cold start holds, is not among them."""
    found = [run(task["prompts"][0])]
    one_mb = peak_mb()
    found += [run(prompt) for prompt in task["prompts"][1 : task["runs"]]]
    rates = [(task["tokens"] - 1) / (times[-1] - times[0]) for times in found]
    return {
        "tokens_per_s": statistics.median(rates),
        "best_tokens_per_s": max(rates),
        "first_ms": 1e3 * statistics.median(times[0] for times in found),
        "whole_s": statistics.median(times[-1] for times in found),
        "one_mb": one_mb,
        "alone_mb": peak_mb(),
    }


def peak_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1e3


def tell(found: dict[str, Any]) -> None:
    print("\n" + json.dumps(found), flush=True)
