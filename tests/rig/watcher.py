"""Memory and file descriptors of a process and all that came from it, over time, and how fast they grow."""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.rig.server import family

# Samples that are compared in pairs: so many at most.
PAIRED = 200
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Sample:
    """What a family of processes holds at a moment. Pages that two of them share count for each."""

    at_s: float
    memory_bytes: int
    # Of the first of them alone: the gateway.
    root_bytes: int
    descriptors: int
    threads: int
    processes: int


@dataclass(frozen=True)
class Growth:
    """What became of it between two moments, by a straight line through all samples between them.

    `steady_mb_per_h` is the median slope of all pairs of moments (Theil and Sen): a leak is in every pair, while a
    burst that needs a little more room once is in few.
    """

    seconds: float
    memory_mb: float
    memory_mb_per_h: float
    steady_mb_per_h: float
    descriptors_per_h: float
    threads_per_h: float


def sampled(root: int, at_s: float) -> Sample:
    """How it is now."""
    members = family(root)
    return Sample(
        at_s,
        sum(map(_memory_bytes, members)),
        _memory_bytes(root),
        sum(_entries(pid, "fd") for pid in members),
        sum(_entries(pid, "task") for pid in members),
        len(members),
    )


async def watching(root: int, *, seconds: float, every_s: float = 0.25) -> list[Sample]:
    """Samples over some seconds."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    samples = []
    while loop.time() - begun < seconds:
        samples.append(sampled(root, loop.time() - begun))
        await asyncio.sleep(every_s)
    return samples


def growth(samples: Sequence[Sample], *, after_s: float = 0.0) -> Growth:
    """How fast it grew after the first `after_s` seconds, in which a server warms up."""
    kept = [sample for sample in samples if sample.at_s >= after_s]
    times = [sample.at_s for sample in kept]
    held_mb = [sample.memory_bytes / 2**20 for sample in kept]
    memory = slope(times, held_mb)
    return Growth(
        seconds=times[-1] - times[0],
        memory_mb=memory * (times[-1] - times[0]),
        memory_mb_per_h=3600 * memory,
        steady_mb_per_h=3600 * median_slope(times, held_mb),
        descriptors_per_h=3600 * slope(times, [sample.descriptors for sample in kept]),
        threads_per_h=3600 * slope(times, [sample.threads for sample in kept]),
    )


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """By how much a value grows in a second: least squares."""
    middle, level = sum(times) / len(times), sum(values) / len(values)
    spread = sum((time - middle) ** 2 for time in times)
    return sum((time - middle) * (value - level) for time, value in zip(times, values, strict=True)) / spread


def median_slope(times: Sequence[float], values: Sequence[float]) -> float:
    """By how much a value grows in a second, between most pairs of moments."""
    every = max(1, len(times) // PAIRED)
    points = list(zip(times[::every], values[::every], strict=True))
    return statistics.median(
        (late[1] - early[1]) / (late[0] - early[0]) for early, late in itertools.combinations(points, 2)
    )


def _memory_bytes(pid: int) -> int:
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES
    return 0


def _entries(pid: int, folder: str) -> int:
    with suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/{folder}"))  # noqa: PTH208 - names only, many times a second
    return 0
