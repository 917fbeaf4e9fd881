"""One process, no server: rows a second in batches of each size, and one row alone. Prints one JSON object.

python benchmarks/offline.py BUNDLE ROWS.json SECONDS
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import time
from pathlib import Path

import handrail

SIZES = (1, 2, 4, 8, 16, 32, 64)


def main() -> None:
    model = handrail.load(Path(sys.argv[1]))
    rows = json.loads(Path(sys.argv[2]).read_text())
    seconds = float(sys.argv[3])
    model(rows[0])
    lone_ms = [1000 * took for took in taken(model, rows, 1, seconds)]
    per_s = {}
    for size in SIZES:
        times = taken(model, rows, size, seconds)
        per_s[size] = size * len(times) / sum(times)
    best = max(per_s, key=per_s.__getitem__)
    print(
        json.dumps(
            {"best_batch": best, "best_per_s": per_s[best], "lone_p50_ms": statistics.median(lone_ms), "per_s": per_s}
        )
    )


def taken(model: handrail.Model, rows: list[object], size: int, seconds: float) -> list[float]:
    """Seconds of each batch."""
    turn = itertools.cycle(rows)
    end = time.perf_counter() + seconds
    times = []
    while (begun := time.perf_counter()) < end:
        model(list(itertools.islice(turn, size)))
        times.append(time.perf_counter() - begun)
    return times


if __name__ == "__main__":
    main()
