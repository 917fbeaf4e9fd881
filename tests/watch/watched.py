"""A watched model without a server: rows, answers, and a watcher of its own."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from handrail.core.field import Field
from handrail.core.signature import Output, Signature
from handrail.watch.profile import Profile, profile_of
from handrail.watch.watcher import Watcher

FIELDS = (
    Field("age", "number", optional=True),
    Field("plan", "category", optional=True, choices=("basic", "pro")),
    Field("note", "text", optional=True),
    Field("since", "date", optional=True, pattern="%d.%m.%Y"),
    Field("active", "boolean", optional=True),
)
SIGNATURE = Signature(FIELDS, Output("churned", "label", ("no", "yes")))
PRICE = Signature((Field("age", "number"),), Output("price", "number"))
TAGS = Signature((Field("note", "text"),), Output("tags", "labels", ("a", "b", "c")))
WORDS = ["late", "broken", "fine", "thanks", "refund", "parcel", "again", "never", "quick", "blue"]


@dataclass(frozen=True)
class Asked:
    """What is asked to be kept: `deploy.spec.Monitoring` without its package."""

    model_type: Any = None
    key: str | None = None
    sample: float = 0.0
    keep: int = 10_000
    redact: tuple[str, ...] = ()


def columns(rows: int, seed: int = 0, *, shift: float = 0.0, words: Sequence[str] = WORDS) -> dict[str, list[Any]]:
    """Cells of FIELDS as a file has them."""
    draw = np.random.default_rng(seed)
    ages = draw.normal(40 + shift, 10, rows).round(1).tolist()
    drawn = draw.choice(words, (rows, 12)).tolist()
    notes = [" ".join(some[:count]) for some, count in zip(drawn, draw.integers(3, 12, rows).tolist(), strict=True)]
    return {
        "age": [None if lost else age for age, lost in zip(ages, draw.random(rows) < 0.05, strict=True)],
        "plan": draw.choice(["basic", "pro", "plus"], rows, p=[0.6, 0.3, 0.1]).tolist(),
        "note": notes,
        "since": [f"{day:02d}.{month:02d}.2024" for day, month in draw.integers(1, [29, 13], (rows, 2)).tolist()],
        "active": draw.choice(["yes", "no"], rows).tolist(),
    }


def answers(rows: int, seed: int = 0) -> list[str]:
    return np.random.default_rng(seed).choice(["no", "yes"], rows, p=[0.7, 0.3]).tolist()


@functools.cache
def profile(rows: int = 2_000) -> Profile:
    return profile_of(SIGNATURE, columns(rows, 1), answers(rows, 2), answers(rows // 4, 3))


def checked(cells: dict[str, list[Any]]) -> list[list[Any]]:
    """Rows as the gateway has checked them."""
    parsed = [field.parse_column(cells[field.name]).tolist() for field in FIELDS]
    return [[None if cell != cell else cell for cell in row] for row in zip(*parsed, strict=True)]


def label(word: str) -> bytes:
    return orjson.dumps({"label": word, "probability": 0.9, "probabilities": {"no": 0.1, "yes": 0.9}})


@contextlib.contextmanager
def watching(
    home: Path, asked: Asked = Asked(), signature: Signature | None = SIGNATURE, **given: Any
) -> Iterator[Watcher]:
    watcher = Watcher(home, "churn", asked, signature, given.pop("profile", None), **{"version": "churn@1", **given})
    try:
        yield watcher
    finally:
        watcher.close()


def everything_in(home: Path) -> bytes:
    """All bytes of the files, the journal's too."""
    return b"".join(path.read_bytes() for path in sorted((home / "watch").iterdir()))
