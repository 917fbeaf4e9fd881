"""What the C library does with memory that is free again. Only glibc's can be told; the others do as they do."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Final

# mallopt's numbers, from malloc.h.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
# Once told, glibc no longer moves its limits by itself: these are where it would have moved them after arrays as large.
USUAL: Final = {TRIM_THRESHOLD: 64 * 2**20, MMAP_THRESHOLD: 32 * 2**20}
KEPT: Final = {TRIM_THRESHOLD: 2**31 - 1, MMAP_THRESHOLD: 2**30}


def give_back() -> None:
    """Free memory goes back to the system."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def keeping_memory() -> Iterator[None]:
    """Free memory is kept for what is asked for next, until the block ends.

    Where the same large arrays come and go, fetching their pages anew takes a tenth of the time.
    """
    _tell(KEPT)
    try:
        yield
    finally:
        _tell(USUAL)
        give_back()


def _tell(options: dict[int, int]) -> None:
    with contextlib.suppress(AttributeError, OSError, TypeError):
        library = ctypes.CDLL(None)
        for option, value in options.items():
            library.mallopt(option, value)
