"""A matrix of numbers as rows: its columns are the signature's inputs in their order, and NaN is a missing cell."""

from __future__ import annotations

import math

import numpy as np

from handrail.core.errors import HandrailError, listed
from handrail.core.signature import Signature
from handrail.serve.formats.call import Values

NUMERIC = ("number", "boolean")


def takes_matrix(signature: Signature) -> bool:
    """True where every input is a number or a boolean, or a vector."""
    return signature.takes_vectors() or all(field.kind in NUMERIC for field in signature.inputs)


def width_of(signature: Signature) -> int:
    """The columns that a matrix of rows has: one for each input, as many as it holds for a vector."""
    return sum(field.size or 1 for field in signature.inputs)


def values_of(matrix: np.ndarray, signature: Signature) -> list[Values]:
    """The rows of a matrix `(rows, width)` of any numbers, checked. Raises HandrailError that names row and field."""
    if matrix.ndim != 2 or matrix.shape[1] != width_of(signature):
        problem = f"expected an array of shape (rows, {width_of(signature)}), received {matrix.shape}"
        raise HandrailError("data", problem, f"send columns for each of {listed(signature.names())}, in this order")
    return _vectors(matrix, signature) if signature.takes_vectors() else _numbers(matrix, signature)


def _vectors(matrix: np.ndarray, signature: Signature) -> list[Values]:
    with np.errstate(over="ignore"):
        vectors = matrix.astype("<f4")
    off = ~np.isfinite(vectors).all(axis=1)
    if off.any():
        raise _refusal(matrix, int(off.argmax()), signature)
    return [[part.tobytes() for part in parts] for parts in zip(*_split(vectors, signature), strict=True)]


def _split(matrix: np.ndarray, signature: Signature) -> list[np.ndarray]:
    """The columns of each input: `(rows, size)` for a vector."""
    ends = np.cumsum([field.size or 1 for field in signature.inputs])
    return np.split(matrix, ends[:-1], axis=1)


def _numbers(matrix: np.ndarray, signature: Signature) -> list[Values]:
    numbers = matrix.astype(np.float64)
    missing = np.isnan(numbers)
    off = np.isinf(numbers) | _missing_where_needed(missing, signature) | _no_booleans(numbers, missing, signature)
    if off.any():
        raise _refusal(numbers, int(off.any(axis=1).argmax()), signature)
    if not missing.any():
        return numbers.tolist()  # type: ignore[no-any-return]
    cells = numbers.astype(object)
    cells[missing] = None
    return cells.tolist()  # type: ignore[no-any-return]


def _missing_where_needed(missing: np.ndarray, signature: Signature) -> np.ndarray:
    off: np.ndarray = missing & np.array([not field.optional for field in signature.inputs])
    return off


def _no_booleans(numbers: np.ndarray, missing: np.ndarray, signature: Signature) -> np.ndarray:
    booleans = np.array([field.kind == "boolean" for field in signature.inputs])
    off: np.ndarray = booleans & ~missing & (numbers != 0) & (numbers != 1)
    return off


def _refusal(matrix: np.ndarray, place: int, signature: Signature) -> HandrailError:
    """What the signature says about the first row that is off."""
    parts = [part[0].tolist() for part in _split(matrix[place : place + 1], signature)]
    cells = parts if signature.takes_vectors() else [None if math.isnan(part[0]) else part[0] for part in parts]
    try:
        signature.columns_of_rows([dict(zip(signature.names(), cells, strict=True))])
    except HandrailError as error:
        problem = error.problem.replace("row 1: ", f"row {place + 1}: ")
        return HandrailError(error.code, problem, error.mend, field=error.field)
    raise AssertionError("a row was off and the signature takes it")
