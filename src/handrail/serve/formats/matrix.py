"""A matrix of numbers as rows: its columns are the signature's inputs in their order, and NaN is a missing cell."""

from __future__ import annotations

import numpy as np

from handrail.core.errors import HandrailError, listed
from handrail.core.signature import Signature
from handrail.serve.formats.call import Values

NUMERIC = ("number", "boolean")


def takes_matrix(signature: Signature) -> bool:
    """True where every input is a number or a boolean."""
    return all(field.kind in NUMERIC for field in signature.inputs)


def values_of(matrix: np.ndarray, signature: Signature) -> list[Values]:
    """The rows of a matrix `(rows, inputs)` of any numbers, checked. Raises HandrailError that names row and field."""
    inputs = len(signature.inputs)
    if matrix.ndim != 2 or matrix.shape[1] != inputs:
        problem = f"expected an array of shape (rows, {inputs}), received {matrix.shape}"
        raise HandrailError("data", problem, f"send one column for each of {listed(signature.names())}, in this order")
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


def _refusal(numbers: np.ndarray, place: int, signature: Signature) -> HandrailError:
    """What the signature says about the first row that is off."""
    cells = [None if cell != cell else cell for cell in numbers[place].tolist()]  # noqa: PLR0124 - NaN is not itself
    try:
        signature.columns_of_rows([dict(zip(signature.names(), cells, strict=True))])
    except HandrailError as error:
        problem = error.problem.replace("row 1: ", f"row {place + 1}: ")
        return HandrailError(error.code, problem, error.mend, field=error.field)
    raise AssertionError("a row was off and the signature takes it")
