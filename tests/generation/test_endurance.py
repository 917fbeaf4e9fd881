"""A process that writes text after text stays as it is: in memory, and in speed."""

from __future__ import annotations

import gc
import statistics
import time
from pathlib import Path

import pytest

from handrail.model import Model

TEXTS, PART = 1_000, 100
# Python's own pools grow by a little; a leak of one continuation's keys and values would be far more.
MOST_GROWTH_BYTES = 6 * 2**20


@pytest.mark.slow
def test_a_thousand_texts_in_a_row_leave_memory_flat_and_the_last_as_quick(model: Model) -> None:
    def written(number: int) -> float:
        begun = time.perf_counter()
        model(f"Text number {number} begins", max_tokens=8, seed=number)
        return time.perf_counter() - begun

    took = [written(number) for number in range(PART)]
    gc.collect()
    before = resident_bytes()
    took += [written(number) for number in range(PART, TEXTS)]
    gc.collect()
    assert resident_bytes() - before < MOST_GROWTH_BYTES
    # Medians, since others use this machine, too.
    assert statistics.median(took[-PART:]) < 1.5 * statistics.median(took[PART : 3 * PART])


def resident_bytes() -> int:
    """Memory of this process that is there."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
