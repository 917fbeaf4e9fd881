"""The budget of a fit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

LOOK_S = 0.05
Result = TypeVar("Result")


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


def unless(stopped: Callable[[], bool], act: Callable[[], Result]) -> Result:
    """What `act` gives, for acts of libraries that cannot be interrupted.

    Raises TimeoutError once it is stopped: then the act is not waited for, goes on by itself and gives nothing.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(act())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    while not wait([future], LOOK_S).done:
        if stopped():
            raise TimeoutError
    return future.result()
