"""Calls of tools in the text that a model wrote: read as JSON, never run."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson


def tool_calls(text: str) -> tuple[str, list[dict[str, Any]]]:
    """The words of an answer and the tools that it calls: [{"name": …, "arguments": {…}}].

    Read are <tool_call>{…}</tool_call> of Qwen, SmolLM2 and Hermes, and answers that are nothing but JSON: Llama's
    {"name": …, "parameters": {…}}, one or several with semicolons between, and Mistral's list.
    """
    if "<tool_call>" in text:
        calls = [call for part in re.findall(r"<tool_call>(.*?)(?:</tool_call>|\Z)", text, re.DOTALL)
                 for call in _calls(part)]  # fmt: skip
        said = re.sub(r"<tool_call>.*?(?:</tool_call>|\Z)", "", text, flags=re.DOTALL).strip()
        return (said, calls) if calls else (text, [])
    bare = text.strip().removeprefix("[TOOL_CALLS]").removeprefix("<|python_tag|>")
    calls = _calls(bare)
    return ("", calls) if calls else (text, [])


def _calls(text: str) -> list[dict[str, Any]]:
    """The calls in a text that is JSON and nothing else; none where it is anything but calls."""
    found, decoder = [], json.JSONDecoder(parse_constant=_no_number)
    rest = text.strip()
    while rest:
        try:
            value, end = decoder.raw_decode(rest)
        except (ValueError, RecursionError):
            return []
        found += value if isinstance(value, list) else [value]
        rest = rest[end:].lstrip("; \r\n\t")
    calls = [_call(value) for value in found]
    return [call for call in calls if call] if all(calls) else []


def _call(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    given = value.get("arguments", value.get("parameters"))
    call = {"name": value["name"], "arguments": given}
    return call if isinstance(given, dict) and _can_be_told(call) else None


def _can_be_told(call: dict[str, Any]) -> bool:
    """False for what JSON cannot carry on: half of a surrogate pair, numbers and depths beyond all bounds."""
    try:
        orjson.dumps(call)
    except TypeError:
        return False
    return True


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
