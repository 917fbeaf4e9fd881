"""Values as JSON, arrays and numbers of numpy and torch among them."""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def as_json(value: Any) -> bytes:
    """The value as JSON; what is not a number is null. Raises TypeError that names what JSON has no word for."""
    try:
        return orjson.dumps(value, default=_plain, option=OPTIONS)
    except orjson.JSONEncodeError as error:
        # Whole numbers of more than 64 bits and lone surrogates are Python's alone.
        if isinstance(error.__cause__, TypeError):
            raise error.__cause__ from None
        try:
            return json.dumps(value, default=_plain).encode()
        except (ValueError, RecursionError):
            raise TypeError(str(error)) from None


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # an array of numpy or torch that is not in one piece, or a scalar
        return value.tolist()
    kind = type(value)
    raise TypeError(f"JSON has no word for {kind.__module__}.{kind.__qualname__}".replace("builtins.", ""))
