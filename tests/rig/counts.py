"""What became of requests: every one of them is right, wrong, refused, lost, or was left by its own client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.rig.asks import Ask
from tests.rig.wire import Answer

SHOWN = 5


@dataclass
class Counts:
    """Outcomes. Times run from when a request was due, not from when a late client came to send it."""

    sent: int = 0
    right: int = 0
    wrong: int = 0
    left: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    versions: Counter[int] = field(default_factory=Counter)
    without_retry_after: int = 0
    right_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    # How late the client itself was with sending: a busy machine shows here.
    late_s: list[float] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    def add(self, ask: Ask, answer: Answer, took_s: float) -> None:
        """An answer came."""
        version = ask.version(answer)
        if version is not None:
            self.right += 1
            self.versions[version] += 1
            self.right_s.append(took_s)
        elif answer.status in (200, ask.status):
            self.wrong += 1
            self._show(f"wrong: {answer.body[:200]!r} to {ask.raw[-200:]!r}")
        else:
            self._refused(answer, took_s)

    def add_lost(self, reason: str, *, reused: bool, idled_s: float) -> None:
        """No answer came."""
        self.lost[f"{reason}, {'reused' if reused else 'new'} connection"] += 1
        self._show(f"lost: {reason}, on a connection that was idle for {idled_s:.3f} s before")

    def _refused(self, answer: Answer, took_s: float) -> None:
        self.refused[answer.status] += 1
        self.refused_s.append(took_s)
        if answer.status in (429, 503) and b"retry-after" not in answer.headers:
            self.without_retry_after += 1
        self._show(f"{answer.status}: {answer.body[:200]!r}")

    def _show(self, line: str) -> None:
        if len(self.examples) < SHOWN:
            self.examples.append(line)

    @property
    def failed(self) -> int:
        """Requests whose client got no right answer."""
        return self.wrong + self.refused.total() + self.lost.total()

    def as_dict(self) -> dict[str, Any]:
        """For people and programs."""
        return {
            "sent": self.sent,
            "right": self.right,
            "wrong": self.wrong,
            "refused": dict(self.refused),
            "lost": dict(self.lost),
            "left": self.left,
            "versions": dict(self.versions),
            "without_retry_after": self.without_retry_after,
            "right_ms": quantiles_ms(self.right_s),
            "refused_ms": quantiles_ms(self.refused_s),
            "client_late_ms": quantiles_ms(self.late_s),
            "examples": self.examples,
        }


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the others do not exceed; 0 when there are none."""
    return sorted(values)[int(share * (len(values) - 1))] if values else 0.0


def quantiles_ms(values: Sequence[float]) -> dict[str, float]:
    """The median, the tail and the worst, in milliseconds."""
    return {
        name: round(1000 * quantile(values, share), 2) for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }
