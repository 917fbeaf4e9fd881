"""A table in the body: CSV with a header, answered row by row as a list."""

from __future__ import annotations

from typing import Final

from handrail.core.errors import HandrailError
from handrail.core.signature import Signature
from handrail.data.read import read_bytes
from handrail.serve.formats.call import Values
from handrail.serve.formats.rows import values_of_columns

MAX_HEADER_BYTES: Final = 2**16


def values_of(body: bytes, signature: Signature, max_rows: int) -> list[Values]:
    """The rows of a CSV, checked. Raises HandrailError that names line or row, and column."""
    if body.count(b"\n") > max_rows + body.count(b'"') + 1:
        raise too_many(max_rows)
    if body.find(b"\n", 0, MAX_HEADER_BYTES) < 0 and len(body) > MAX_HEADER_BYTES:
        raise HandrailError(
            "too_large", f"a header of more than {MAX_HEADER_BYTES:,} bytes", "send the model's columns"
        )
    table = read_bytes(body, "body.csv", header=True)
    if len(table) > max_rows:
        raise too_many(max_rows)
    return values_of_columns(signature, signature.columns_of_table(table.columns))


def too_many(max_rows: int) -> HandrailError:
    return HandrailError("too_large", f"at most {max_rows:,} rows", "send fewer, or use handrail predict NAME FILE")
