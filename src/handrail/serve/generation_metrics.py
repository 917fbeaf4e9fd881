"""What is counted of texts that are written: tokens, times to the first one, and how full the replicas are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from handrail.serve.metrics import Histogram

SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
PHASES: Final = ("queue", "prompt", "writing")
TOKENS: Final = ("prompt", "completion", "cached")


@dataclass
class Generated:
    """The counts of one version of a model that writes text, over all of its replicas."""

    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TOKENS, 0))
    cancelled: int = 0
    resumed: int = 0
    first_token_s: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    phase_s: dict[str, Histogram] = field(default_factory=lambda: {phase: Histogram(SECONDS) for phase in PHASES})


class Writing(Protocol):
    """What is looked at: `Streams`."""

    @property
    def generated(self) -> Generated: ...
    @property
    def waiting(self) -> int: ...
    @property
    def running(self) -> int: ...
    def states(self) -> Sequence[Mapping[str, float]]: ...


def generation_lines(versions: Iterable[tuple[str, Writing]]) -> list[str]:
    """Lines for /metrics of versions, each with its labels; none where there is none."""
    seen = list(versions)
    lines: list[str] = []
    for name, (kind, meaning, samples) in _FAMILIES.items() if seen else ():
        family = f"handrail_generation_{name}"
        lines += [f"# HELP {family} {meaning}", f"# TYPE {family} {kind}"]
        for labels, writing in seen:
            lines += samples(family, labels, writing)
    return lines


Samples = Callable[[str, str, Writing], Iterable[str]]


def _one(value: Callable[[Writing], float]) -> Samples:
    return lambda family, labels, writing: [f"{family}{{{labels}}} {value(writing):.9g}"]


def _told(name: str) -> Samples:
    """A number that each replica tells of itself, added up."""
    return _one(lambda writing: sum(state.get(name, 0) for state in writing.states()))


def _tokens(family: str, labels: str, writing: Writing) -> Iterable[str]:
    for kind, count in writing.generated.tokens.items():
        yield f'{family}{{{labels},kind="{kind}"}} {count}'


def _phases(family: str, labels: str, writing: Writing) -> Iterable[str]:
    for phase, histogram in writing.generated.phase_s.items():
        yield from histogram.lines(family, f'{labels},phase="{phase}"')


_FAMILIES: Final[dict[str, tuple[str, str, Samples]]] = {
    "tokens_total": ("counter", "Tokens read, written, and read before by others.", _tokens),
    "tokens_per_second": ("gauge", "Tokens written of late, each second.", _told("tokens_per_s")),
    "running": ("gauge", "Continuations being written.", _one(lambda writing: writing.running)),
    "waiting": ("gauge", "Continuations waiting for a slot.", _one(lambda writing: writing.waiting)),
    "kv_bytes": ("gauge", "Memory of keys and values in use.", _told("kv_bytes_used")),
    "kv_budget_bytes": ("gauge", "Memory that keys and values may take.", _told("kv_bytes_budget")),
    "cancelled_total": (
        "counter", "Continuations given up: their client left, or was told too late.",
        _one(lambda writing: writing.generated.cancelled),
    ),
    "resumed_total": (
        "counter", "Continuations that went on in another replica.", _one(lambda writing: writing.generated.resumed),
    ),
    "first_token_seconds": (
        "histogram", "From the request to its first token.",
        lambda family, labels, writing: writing.generated.first_token_s.lines(family, labels),
    ),
    "seconds": ("histogram", "Waiting, reading the prompt, and writing.", _phases),
}  # fmt: skip
