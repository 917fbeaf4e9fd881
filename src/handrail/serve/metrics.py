"""What the gateway counts, written as Prometheus text; the number of series is fixed by the models served."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
OUTCOMES: Final = ("answered", "refused", "failed", "left")
PHASES: Final = ("encode", "run", "decode")
# Why a connection, or a request, was refused before any model was asked: what was off about the connection or its
# bytes, then what was off about a head.
REFUSALS: Final = (
    "connections", "malformed", "address_too_large", "head_too_large", "head_too_slow", "body_too_large",
    "body_too_slow", "large_bodies", "unread", "host", "origin", "key", "rate", "path", "method",
)  # fmt: skip


class Histogram:
    """Counts of values by upper bound."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str, labels: str) -> Iterable[str]:
        seen = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            seen += count
            yield f'{name}_bucket{{{labels},le="{bound}"}} {seen}'
        yield f"{name}_sum{{{labels}}} {self.total:.9g}"
        yield f"{name}_count{{{labels}}} {seen}"


class Metrics:
    """The counts of one version of a model."""

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self.in_flight = 0
        self.refused = 0
        self.restarts = 0
        self.request_s = Histogram(SECONDS)
        self.queue_s = Histogram(SECONDS)
        self.phase_s = {phase: Histogram(SECONDS) for phase in PHASES}
        self.batch_rows = Histogram(ROWS)

    def count(self, outcome: str, seconds: float) -> None:
        """One request is over."""
        self.outcomes[outcome] += 1
        self.request_s.observe(seconds)


@dataclass(frozen=True)
class Seen:
    """A version of a model at this moment."""

    name: str
    number: str
    metrics: Metrics
    ready: int
    waiting: int
    memory_bytes: int

    @property
    def labels(self) -> str:
        # Names of models need no escape: they are [a-z0-9._-].
        return f'model="{self.name}",version="{self.number}"'


def no_refusals() -> dict[str, int]:
    """Counts of refusals, by reason."""
    return dict.fromkeys(REFUSALS, 0)


def written(versions: Sequence[Seen], refusals: Mapping[str, int] | None = None) -> str:
    """All of them as Prometheus text, and how many were refused before a version was asked."""
    lines: list[str] = []
    if refusals is not None:
        lines += _refusals("handrail_refusals_total", refusals)
    for name, (kind, meaning, samples) in _FAMILIES.items():
        family = f"handrail_{name}"
        lines += [f"# HELP {family} {meaning}", f"# TYPE {family} {kind}"]
        for seen in versions:
            lines += samples(family, seen)
    return "\n".join(lines) + "\n"


def _refusals(family: str, refusals: Mapping[str, int]) -> Iterable[str]:
    yield f"# HELP {family} Connections and requests refused before a model was asked, by reason."
    yield f"# TYPE {family} counter"
    for reason, count in refusals.items():
        yield f'{family}{{reason="{reason}"}} {count}'


Samples = Callable[[str, Seen], Iterable[str]]


def _one(value: Callable[[Seen], float]) -> Samples:
    return lambda family, seen: [f"{family}{{{seen.labels}}} {value(seen)}"]


def _histogram(found: Callable[[Metrics], Histogram]) -> Samples:
    return lambda family, seen: found(seen.metrics).lines(family, seen.labels)


def _outcomes(family: str, seen: Seen) -> Iterable[str]:
    for outcome, count in seen.metrics.outcomes.items():
        yield f'{family}{{{seen.labels},outcome="{outcome}"}} {count}'


def _phases(family: str, seen: Seen) -> Iterable[str]:
    for phase, histogram in seen.metrics.phase_s.items():
        yield from histogram.lines(family, f'{seen.labels},phase="{phase}"')


_FAMILIES: Final[dict[str, tuple[str, str, Samples]]] = {
    "requests_total": ("counter", "Predictions asked for, by what became of them.", _outcomes),
    "overloaded_total": ("counter", "Requests refused: too much was waiting.", _one(lambda s: s.metrics.refused)),
    "requests_in_flight": ("gauge", "Predictions being answered now.", _one(lambda s: s.metrics.in_flight)),
    "queue_length": ("gauge", "Requests waiting for a replica.", _one(lambda s: s.waiting)),
    "replicas_ready": ("gauge", "Replicas that have answered their examples right.", _one(lambda s: s.ready)),
    "replica_restarts_total": (
        "counter", "Replicas started again after they died.", _one(lambda s: s.metrics.restarts),
    ),
    "replica_memory_bytes": ("gauge", "Memory of the replicas (resident).", _one(lambda s: s.memory_bytes)),
    "request_seconds": ("histogram", "From the whole request to the answer.", _histogram(lambda m: m.request_s)),
    "queue_seconds": ("histogram", "Waiting for a replica.", _histogram(lambda m: m.queue_s)),
    "compute_seconds": ("histogram", "A batch in the replica, by phase.", _phases),
    "batch_rows": ("histogram", "Rows in a batch.", _histogram(lambda m: m.batch_rows)),
}  # fmt: skip
