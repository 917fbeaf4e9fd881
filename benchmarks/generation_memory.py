"""How fast this machine reads memory now, in GB/s: what decoding one text at a time is bounded by.

A dot product of a long array with itself reads it once; each thread has its own part. The best of several windows.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # the threads are ours

import numpy as np

BYTES_EACH, WINDOWS = 256 * 2**20, 11


def main() -> None:
    threads = len(os.sched_getaffinity(0))
    parts = [np.ones(BYTES_EACH // 4, np.float32) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        took = [window(pool, parts) for _ in range(WINDOWS)]
    print(threads * BYTES_EACH / min(took) / 1e9)


def window(pool: ThreadPoolExecutor, parts: list[np.ndarray]) -> float:
    begun = time.perf_counter()
    list(pool.map(lambda part: np.dot(part, part), parts))
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
