"""The budget of a fit."""

from __future__ import annotations

import time


class Clock:
    """Counts from when it is made. Without seconds it never runs out, but it can still be stopped."""

    def __init__(self, seconds: float | None) -> None:
        self._started = time.monotonic()
        self._seconds = float("inf") if seconds is None else seconds
        self._stopped = False

    def left(self) -> float:
        """Seconds to go: 0 when stopped or over, inf where only trials are counted."""
        return 0.0 if self._stopped else max(0.0, self._seconds - self.spent())

    def spent(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._started

    def expired(self) -> bool:
        return self.left() <= 0.0

    def stop(self) -> None:
        """Ends the budget now: what Ctrl-C does."""
        self._stopped = True

    def stopped(self) -> bool:
        return self._stopped
