"""Arrays as numpy saves them: a header of a few plain words, then numbers; nothing in one can run."""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from handrail.core.errors import HandrailError
from handrail.core.signature import Signature
from handrail.serve.formats import matrix
from handrail.serve.formats.call import Values
from handrail.serve.formats.csv import too_many
from handrail.serve.limits import Refused

MAGIC: Final = b"\x93NUMPY"
MAX_HEADER_BYTES: Final = 4_096
NUMBERS: Final = re.compile(r"[<>=|]?(?:f[248]|[iu][1248]|b1)")
TYPE: Final = re.compile(rb"'descr': ?'([^']{1,20})'")
ORDER: Final = re.compile(rb"'fortran_order': ?(True|False)")
SHAPE: Final = re.compile(rb"'shape': ?\((\d{1,12}), ?(\d{1,12}),? ?\)")


def values_of(body: bytes, signature: Signature, max_rows: int) -> list[Values]:
    """The rows of a `.npy` body `(rows, inputs)`, checked. Raises HandrailError or Refused that says what is off.

    The header is read with patterns, not evaluated, and no more is looked at than the body holds.
    Source: numpy's own description of the format, versions 1.0 and 2.0.
    """
    header, start = _header(body)
    kind = _dtype(header)
    order, shape = ORDER.search(header), SHAPE.search(header)
    if order is None or shape is None:
        raise HandrailError("data", "expected an array of two dimensions", f"send (rows, {len(signature.inputs)})")
    rows, columns = int(shape[1]), int(shape[2])
    if rows > max_rows:
        raise too_many(max_rows)
    if rows * columns * kind.itemsize != len(body) - start:
        raise _refused(f"an array of {rows} × {columns} is not {len(body) - start:,} bytes long")
    flat = np.frombuffer(body, kind, offset=start)
    return matrix.values_of(
        flat.reshape(columns, rows).T if order[1] == b"True" else flat.reshape(rows, columns), signature
    )


def _header(body: bytes) -> tuple[bytes, int]:
    """The words in front of the numbers, and where the numbers start."""
    if not body.startswith(MAGIC) or body[6:8] not in (b"\x01\x00", b"\x02\x00"):
        raise _refused("the body is no array that numpy saved")
    width = 2 if body[6] == 1 else 4
    start = 8 + width + int.from_bytes(body[8 : 8 + width], "little")
    if start > MAX_HEADER_BYTES or start > len(body):
        raise _refused("the array's header is longer than it may be")
    return body[8 + width : start], start


def _dtype(header: bytes) -> np.dtype:
    found = TYPE.search(header)
    name = found[1].decode("latin-1") if found else ""
    if name in ("|O", "O"):
        raise HandrailError(
            "data", "arrays of objects are not read: they hold code", "send numbers: array.astype(float)"
        )
    if NUMBERS.fullmatch(name) is None:
        raise HandrailError(
            "data", f"arrays of '{name or 'records'}' are not read", "send numbers: array.astype(float)"
        )
    return np.dtype(name)


def _refused(problem: str) -> Refused:
    return Refused(400, HandrailError("usage", problem, "send what numpy.save writes"))
