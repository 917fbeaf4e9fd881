"""Numbers that a predictor reports about itself: `metrics_client.increment("cache_hits")`."""

from __future__ import annotations

import logging
import math
import re
import threading
from collections.abc import Mapping
from typing import Final

# Counts, levels and distributions, as Prometheus knows them.
Told = tuple[str, str, float, dict[str, str]]
MAX_TOLD: Final = 1_000
MAX_TAGS: Final = 20
MAX_CHARS: Final = 200

log = logging.getLogger("handrail.predictors")


class MetricsClient:
    """Collects what is told until the next reply takes it along. A metric that is none is a line in the log."""

    def __init__(self) -> None:
        self._told: list[Told] = []
        self._lock = threading.Lock()

    def increment(self, metric: str, value: float = 1, tags: Mapping[str, str] | None = None) -> None:
        """Adds to a count."""
        self._tell("increment", metric, value, tags)

    def gauge(self, metric: str, value: float, tags: Mapping[str, str] | None = None) -> None:
        """Sets a level that goes up and down."""
        self._tell("gauge", metric, value, tags)

    def histogram(self, metric: str, value: float, tags: Mapping[str, str] | None = None) -> None:
        """Adds one value to a distribution."""
        self._tell("histogram", metric, value, tags)

    def taken(self) -> list[Told]:
        """What was told since the last time."""
        with self._lock:
            told, self._told = self._told, []
        return told

    def _tell(self, kind: str, metric: str, value: float, tags: Mapping[str, str] | None) -> None:
        try:
            told = (kind, _name(metric), _number(value), _tags(tags or {}))
        except (TypeError, ValueError, AttributeError) as error:
            log.warning("the metric %.60r is left out: %s", metric, error)
            return
        with self._lock:
            if len(self._told) < MAX_TOLD:
                self._told.append(told)


def _name(written: str) -> str:
    """Letters, digits and underscores are what Prometheus reads; all else becomes an underscore."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", written)[:MAX_CHARS]
    if not name or name[0].isdigit():
        raise ValueError("a name starts with a letter")
    return name


def _number(value: float) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no number to count with")
    return number


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    if len(tags) > MAX_TAGS:
        raise ValueError(f"more than {MAX_TAGS} tags")
    return {_name(str(name)): str(value)[:MAX_CHARS] for name, value in tags.items()}
