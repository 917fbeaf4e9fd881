"""Ours, in process, text after text: does it stay as quick and as small as it was?

Memory is compared with half-way: until then what tokens say is still being learnt by heart, up to the whole vocabulary.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import numpy as np
from generation_common import asked, tell

import handrail
from handrail.generate.settings import Settings

PARTS = 10


def main() -> None:
    task = asked()
    writer = handrail.load(Path(task["model"]), threads=task["threads"]).writer
    random, times, held = np.random.default_rng(1), [], []
    for number in range(task["count"]):
        prompt = random.integers(1_000, 50_000, size=random.integers(4, 64)).tolist()
        settings = Settings(max_tokens=16, temperature=0.8, top_p=0.95, ignore_end=True, seed=number)
        begun = time.perf_counter()
        writer.generator.answer([prompt], settings)
        times.append(time.perf_counter() - begun)
        if (number + 1) % (task["count"] // PARTS) == 0:
            held.append(resident_mb())
    size = len(times) // PARTS
    # The fastest quarter of each part: what others do to the machine meanwhile makes the rest.
    first, last = (statistics.quantiles(part, n=4)[0] for part in (times[:size], times[-size:]))
    tell({"count": len(times), "first_ms": 1e3 * first, "last_ms": 1e3 * last, "slower_share": last / first - 1,
          "held_mb": held, "grown_mb": held[-1] - held[PARTS // 2 - 1], "took_s": sum(times)})  # fmt: skip


def resident_mb() -> float:
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) / 1e3


main()
