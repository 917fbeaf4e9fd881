"""Inputs that are kept: as a client would send them, without what is redacted."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from handrail.core.field import Field
from handrail.core.signature import Signature
from handrail.core.values import Cell
from handrail.watch.said import parsed

MOST_ROW_BYTES: Final = 2**18
PAGE_BYTES: Final = 4_096
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def input_of(values: Any, signature: Signature | None, redact: Collection[str]) -> bytes | None:
    """A row as JSON, None where it is not kept: it is too large, no JSON, or holds vectors.

    `values` are checked values in the order of the signature's inputs, or, without a signature, whatever was sent:
    JSON, or bytes that are JSON.
    """
    if signature is None:
        row = without(parsed(values) if isinstance(values, bytes) else values, redact)
        if row is None:
            return None
    elif signature.takes_vectors():
        return None
    else:
        pairs = zip(signature.inputs, values, strict=True)
        row = {field.name: cell_of(field, value) for field, value in pairs if field.name not in redact}
    try:
        content = orjson.dumps(row)
    except (TypeError, ValueError):
        return None
    return content if len(content) <= MOST_ROW_BYTES else None


def without(value: Any, redact: Collection[str]) -> Any:
    """A JSON value in which nothing stands under the redacted names, however deep."""
    if isinstance(value, Mapping):
        return {name: without(inner, redact) for name, inner in value.items() if name not in redact}
    return [without(inner, redact) for inner in value] if isinstance(value, list | tuple) else value


def without_examples(signature: Signature, redact: Collection[str]) -> Signature:
    """The signature with nothing of what training saw in the redacted fields."""
    inputs = (
        Field(field.name, field.kind, field.optional, size=field.size) if field.name in redact else field
        for field in signature.inputs
    )
    return replace(signature, inputs=tuple(inputs))


def cell_of(field: Field, value: float | str | None) -> Cell:
    """A checked value as a cell that this field reads again, for instance a date in its own pattern."""
    if value is None or isinstance(value, str):
        return value
    if field.kind == "boolean":
        return bool(value)
    if field.kind == "date":
        return date_text(value, field.pattern)
    return int(value) if float(value).is_integer() and abs(value) < 2**53 else value


def date_text(seconds: float, pattern: str) -> Cell:
    """Seconds since 1970 as `pattern` writes them; None for a moment that no calendar has."""
    if pattern in ("epoch_s", "epoch_ms"):
        number = seconds * (1000 if pattern == "epoch_ms" else 1)
        return int(number) if number.is_integer() else number
    try:
        moment = EPOCH + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        return None
    if pattern != "iso":
        return moment.strftime(pattern)
    text = moment.replace(tzinfo=None).isoformat()
    return text.removesuffix("T00:00:00")


def held_bytes(parts: Sequence[bytes]) -> int:
    """About how much room a row takes in the file: what is large lies on pages of its own."""
    size = sum(map(len, parts)) + 200
    return size if size < PAGE_BYTES // 4 else math.ceil(size / PAGE_BYTES) * PAGE_BYTES
