"""What a long act tells while it runs; a face draws it, a test collects it.

An act takes one function, `tell`, and calls it with one of these values. It never prints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Said:
    """A sentence a person may want to read: a decision with its reason."""

    text: str


@dataclass(frozen=True)
class Warned:
    """A sentence a person should read: a leak, a repair, something left out."""

    text: str


@dataclass(frozen=True)
class Planned:
    """The plan, before anything is done. `lines` are (word, explanation) pairs in reading order."""

    lines: tuple[tuple[str, str], ...]
    plan: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """`done` of `total` (both in the same unit; total 0 means unknown) while `doing`, best score so far in words."""

    doing: str
    done: float
    total: float
    best: str = ""


@dataclass(frozen=True)
class Tried:
    """One candidate was fitted and scored out of fold; `score` is in `metric`'s own unit, None when it failed."""

    name: str
    metric: str
    score: float | None
    seconds: float
    best: bool
    note: str = ""


Event = Said | Warned | Planned | Progress | Tried
Tell = Callable[[Event], None]


def quiet(event: Event) -> None:
    """Hears everything and says nothing."""
