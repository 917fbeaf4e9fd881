"""What the gateway counts, written as Prometheus text; the number of series is fixed by the models served."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
OUTCOMES: Final = ("answered", "refused", "failed", "left")


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
    """The counts of one API."""

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self.in_flight = 0
        self.refused = 0
        self.restarts = 0
        self.request_s = Histogram(SECONDS)
        self.queue_s = Histogram(SECONDS)
        self.compute_s = Histogram(SECONDS)
        self.batch_rows = Histogram(ROWS)


def written(metrics: dict[str, Metrics], ready: dict[str, int], waiting: dict[str, int]) -> str:
    """All of them as Prometheus text. Names of models need no escape: they are [a-z0-9._-]."""
    lines: list[str] = []
    for name, kind, meaning in _FAMILIES:
        lines += [f"# HELP handrail_{name} {meaning}", f"# TYPE handrail_{name} {kind}"]
        for model, counted in metrics.items():
            lines += _samples(f"handrail_{name}", name, f'model="{model}"', counted, ready[model], waiting[model])
    return "\n".join(lines) + "\n"


_FAMILIES: Final = (
    ("requests_total", "counter", "Predictions asked for, by what became of them."),
    ("overloaded_total", "counter", "Requests refused because too much was waiting."),
    ("requests_in_flight", "gauge", "Predictions being answered now."),
    ("queue_length", "gauge", "Requests waiting for a replica."),
    ("replicas_ready", "gauge", "Replicas that have answered their examples right."),
    ("replica_restarts_total", "counter", "Replicas started again after they died."),
    ("request_seconds", "histogram", "From the request's head to the answer."),
    ("queue_seconds", "histogram", "Waiting for a replica."),
    ("compute_seconds", "histogram", "A batch in the replica."),
    ("batch_rows", "histogram", "Rows in a batch."),
)


def _samples(family: str, name: str, label: str, counted: Metrics, ready: int, waiting: int) -> Iterable[str]:
    histograms = {"request_seconds": counted.request_s, "queue_seconds": counted.queue_s,
                  "compute_seconds": counted.compute_s, "batch_rows": counted.batch_rows}  # fmt: skip
    if name in histograms:
        yield from histograms[name].lines(family, label)
    elif name == "requests_total":
        for outcome, count in counted.outcomes.items():
            yield f'{family}{{{label},outcome="{outcome}"}} {count}'
    else:
        values = {
            "overloaded_total": counted.refused,
            "requests_in_flight": counted.in_flight,
            "queue_length": waiting,
            "replicas_ready": ready,
            "replica_restarts_total": counted.restarts,
        }
        yield f"{family}{{{label}}} {values[name]}"
