"""One run of a training: its key, its deadline, and what Ctrl-C does."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from handrail import __version__
from handrail.core.events import Tell, Warned
from handrail.data.look import Look, fingerprint
from handrail.learn.clock import Clock
from handrail.tasks import Order, Plan
from handrail.training.parts import Parts

# What comes after the fit (export is part of the fit): read back, answer, score, explain, draw, write.
RESERVE_SHARE = 0.06
RESERVE_LEAST_S = 1.0
RESERVE_MOST_S = 8.0
# After Ctrl-C nobody waits for what is not needed.
STOPPED_S = 1.0


class Deadline:
    """When the whole act must be over; no end where trials are counted."""

    def __init__(self, seconds: float | None, started: float) -> None:
        self.seconds = seconds
        self.started = started
        self._clock = Clock(None)

    def clock_for_fit(self) -> Clock:
        """The clock of the fit: what is left, less a reserve for what follows it."""
        if self.seconds is not None:
            reserve_s = min(max(RESERVE_LEAST_S, RESERVE_SHARE * self.seconds), RESERVE_MOST_S)
            self._clock = Clock(max(0.1, self.left() - reserve_s))
        return self._clock

    def left(self) -> float:
        """Seconds to the end, inf where there is none, few once the fit was stopped."""
        left_s = math.inf if self.seconds is None else self.started + self.seconds - time.monotonic()
        return min(left_s, STOPPED_S) if self._clock.stopped() else left_s


def run_key(look: Look, parts: Parts, order: Order, plan: Plan) -> str:
    """The same for the same data, question, split and plan: what lets a killed run find its pieces again.

    The time is not in it: what was finished in a shorter or longer one serves as well.
    """
    columns = [(column.name, column.kind, column.used, column.field) for column in look.columns]
    told = json.dumps(
        [__version__, look.fingerprint, look.target, look.problem, look.labels, look.label_separator, columns,
         look.target_field, parts.look.split.kind, parts.look.split.column, len(parts.train), parts.test_rows.tolist(),
         fingerprint(parts.replay.columns), order.seed, order.effort, order.trials, plan.settings],
        sort_keys=True, default=str,
    )  # fmt: skip
    return hashlib.sha256(told.encode()).hexdigest()[:24]


@contextlib.contextmanager
def stopping_on_interrupt(clock: Clock, tell: Tell) -> Iterator[Clock]:
    """Makes the first Ctrl-C end the fit with the best so far, and the second one drop it."""
    if threading.current_thread() is not threading.main_thread():
        yield clock
        return

    def stop(number: int, frame: FrameType | None) -> None:
        clock.stop()
        signal.signal(signal.SIGINT, before)
        tell(Warned("stopping: the best so far is kept; press Ctrl-C again to drop it"))

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield clock
    finally:
        signal.signal(signal.SIGINT, before)
