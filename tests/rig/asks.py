"""Requests that know their right answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.rig.wire import Answer

# Rows of a batch are computed together, so the last digits of an answer depend on its company.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Ask:
    """A request as bytes, the status that is right, and the right answer of each version that may give it."""

    raw: bytes
    rights: tuple[Any, ...] = ()
    status: int = 200
    _known: dict[bytes, int] = field(default_factory=dict, compare=False)

    def version(self, answer: Answer) -> int | None:
        """Which version's right answer this is; None when it is no right answer at all."""
        if answer.status != self.status:
            return None
        if self.status != 200:
            return 0
        if answer.body not in self._known:
            found = [place for place, right in enumerate(self.rights) if is_close(loaded(answer.body), right)]
            if not found:
                return None
            self._known[answer.body] = found[0]
        return self._known[answer.body]


def asks_of(
    name: str, rows: Sequence[Any], *models: Callable[[Any], Any], headers: Mapping[str, str] | None = None
) -> list[Ask]:
    """One ask for each row, with what each of the models answers to it."""
    path = f"/{name}/predict"
    return [
        Ask(post(path, json.dumps(row).encode(), headers), tuple(plain(model(row)) for model in models)) for row in rows
    ]


def refused_asks(name: str, bodies: Iterable[tuple[bytes, int]]) -> list[Ask]:
    """Bodies that are off, each with the status that says so."""
    return [Ask(post(f"/{name}/predict", body), status=status) for body, status in bodies]


def post(path: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """A request as it goes over the wire."""
    named = {"host": "127.0.0.1", "content-type": "application/json", "content-length": str(len(body))}
    lines = [f"POST {path} HTTP/1.1", *(f"{key}: {value}" for key, value in {**named, **(headers or {})}.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def plain(answer: Any) -> Any:
    """An answer as it reads after its way through JSON."""
    return json.loads(json.dumps(answer))


def loaded(body: bytes) -> Any:
    """The value of a JSON text; None where it is none."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def is_close(found: Any, right: Any) -> bool:
    """The same words and shapes, and numbers that differ in the last digits only."""
    if isinstance(right, dict):
        return isinstance(found, dict) and found.keys() == right.keys() and _are_close(found.values(), right.values())
    if isinstance(right, list):
        return isinstance(found, list) and len(found) == len(right) and _are_close(found, right)
    if isinstance(right, int | float) and isinstance(found, int | float):
        return abs(found - right) <= TOLERANCE * max(1.0, abs(right))
    return bool(found == right)


def _are_close(found: Iterable[Any], right: Iterable[Any]) -> bool:
    return all(is_close(one, other) for one, other in zip(found, right, strict=True))
