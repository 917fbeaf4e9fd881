"""What schemathesis is not to send, because OpenAPI cannot say it; each with its reason."""

from __future__ import annotations

import re
from typing import Any

import schemathesis

LARGEST_FLOAT32 = 3.4e38
MOST_TOKENS, MOST_TEXTS = 50, 6


@schemathesis.hook
def filter_case(ctx: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    refused = _explains(case) and not _is_one_row(case)
    return not (
        _is_huge(case.body)
        or refused
        or _is_other_table(case)
        or _is_long(case.body)
        or _has_schema(case.body)
        or _is_of_tokens(case.body)
    )


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


def _is_long(body: Any) -> bool:
    """A text of 60,000 tokens is right, and is written: here there is no time for it."""
    if isinstance(body, dict) and isinstance(body.get("n"), int | float) and body["n"] > MOST_TEXTS:
        return True
    counts = [body.get(name) for name in ("max_tokens", "max_completion_tokens")] if isinstance(body, dict) else []
    return _rows(body) > MOST_TOKENS or any(isinstance(count, int | float) and count > MOST_TOKENS for count in counts)


def _rows(body: Any) -> int:
    rows = body.get("instances", body.get("rows")) if isinstance(body, dict) else body
    return len(rows) if isinstance(rows, list) else 0


def _has_schema(body: Any) -> bool:
    """A JSON schema is an object, and not every object is one."""
    return isinstance(body, dict) and isinstance(body.get("json_schema"), dict)


def _is_of_tokens(body: Any) -> bool:
    """Which numbers are tokens is known where the tokenizer is."""
    prompt = body.get("prompt") if isinstance(body, dict) else None
    return isinstance(prompt, list) and any(isinstance(one, int | float) for one in prompt)
