"""Rows on their way from gateway to replica: checked values to bytes, and bytes to columns. Nothing in them can run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
import orjson

from handrail.core.signature import Columns, Signature

Pack = Callable[[Sequence[Any]], bytes]
NUMBERS: Final = ("number", "boolean", "date")
FLOAT32: Final = np.dtype("<f4")


def pack_for(signature: Signature) -> Pack:
    """What makes one payload of checked rows: JSON, or, where inputs are vectors, their bytes one after the other."""
    return _joined if signature.takes_vectors() else orjson.dumps


def rows_in(payload: bytes, signature: Signature) -> Sequence[Sequence[Any]]:
    """The rows of a payload, as they were packed."""
    if not signature.takes_vectors():
        rows: list[list[Any]] = orjson.loads(payload)
        return rows
    width = sum(field.size for field in signature.inputs)
    return np.frombuffer(payload, FLOAT32).reshape(-1, width)  # type: ignore[return-value]


def columns_of(rows: Sequence[Sequence[Any]], signature: Signature) -> Columns:
    """Columns of rows whose cells were parsed by the gateway."""
    if isinstance(rows, np.ndarray):
        ends = np.cumsum([field.size for field in signature.inputs])
        parts = np.split(rows, ends[:-1], axis=1)
        return {field.name: part for field, part in zip(signature.inputs, parts, strict=True)}
    if all(field.kind in NUMBERS for field in signature.inputs):
        # One array for all of them: an array of its own for each would take most of the time of a lone row.
        numbers = np.array(rows, dtype=np.float64)
        return {field.name: numbers[:, place] for place, field in enumerate(signature.inputs)}
    columns: dict[str, np.ndarray] = {}
    for field, cells in zip(signature.inputs, zip(*rows, strict=True), strict=True):
        if field.kind in ("category", "text"):
            column = np.empty(len(cells), dtype=object)
            column[:] = cells
        else:
            column = np.array(cells, dtype=np.float64)
        columns[field.name] = column
    return columns


def _joined(rows: Sequence[Any]) -> bytes:
    return b"".join(chain.from_iterable(rows))
