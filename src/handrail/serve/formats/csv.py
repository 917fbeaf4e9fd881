"""A table in the body: CSV with a header, answered row by row; and answers as such a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Final

import orjson

from handrail.core.errors import HandrailError
from handrail.core.signature import Output, Signature
from handrail.data.read import read_bytes
from handrail.encode.answers import answer_cells, answer_names, inert
from handrail.serve.formats.call import Values
from handrail.serve.formats.rows import values_of_columns

KIND: Final = b"text/csv; charset=utf-8"
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


def sample_of(signature: Signature) -> str:
    """A table of one row that this model accepts."""
    content = io.StringIO()
    csv.writer(content, lineterminator="\n").writerows(zip(*signature.sample_row().items(), strict=True))
    return content.getvalue()


def too_many(max_rows: int) -> HandrailError:
    return HandrailError("too_large", f"at most {max_rows:,} rows", "send fewer, or use handrail predict NAME FILE")


def answers_of(answers: Sequence[bytes], output: Output) -> bytes:
    """A header and a line for each answer, in the columns that `handrail predict -o answers.csv` writes."""
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\r\n")
    writer.writerow(map(inert, answer_names(output)))
    writer.writerows(map(inert, answer_cells(orjson.loads(answer), output)) for answer in answers)
    return content.getvalue().encode()
