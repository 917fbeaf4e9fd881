"""What a request asks of a model, whatever format it came in: checked rows, and how their answers are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from handrail.serve.http import Response

# A row's cells in the order of the inputs: numbers (None when missing), words and None, or a vector's float32 as bytes.
Values = list[float | str | bytes | None]
# Answers as JSON texts, one for each row, to the response.
Write = Callable[[Sequence[bytes]], Response]


@dataclass(frozen=True, slots=True)
class Call:
    """`rows` holds the rows as they were sent where an explanation is asked for; else it is None."""

    values: Sequence[Values]
    write: Write
    rows: Sequence[Any] | None = None
