"""What schemathesis is not to send, because OpenAPI cannot say it; each with its reason."""

from __future__ import annotations

import re
from typing import Any

import schemathesis

LARGEST_FLOAT32 = 3.4e38


@schemathesis.hook
def filter_case(ctx: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    refused = _explains(case) and not _is_one_row(case)
    return not (_is_huge(case.body) or refused or _is_other_table(case))


def _explains(case: Any) -> bool:
    """An explanation is of one row, and no document can tie an option to the shape of a body."""
    return str(case.query.get("explain", "false")).lower() in ("true", "1")


def _is_one_row(case: Any) -> bool:
    return case.media_type != "text/csv" and isinstance(case.body, dict) and "rows" not in case.body


def _is_other_table(case: Any) -> bool:
    """The pattern of a table is that of plain cells, and says that others are read, too."""
    return case.media_type == "text/csv" and case.meta is not None and case.meta.generation.mode.is_negative


def _is_huge(value: Any) -> bool:
    """Models compute with single precision: what it cannot hold makes the softmax of the test's model no number."""
    if isinstance(value, dict):
        return any(map(_is_huge, value.values()))
    if isinstance(value, list):
        return any(map(_is_huge, value))
    if isinstance(value, str):
        return any(_is_huge(float(word)) for word in re.findall(r"\d{1,400}\.?\d*[eE]\+?\d{1,4}", value))
    return isinstance(value, int | float) and abs(value) > LARGEST_FLOAT32
