"""Tools in OpenAI's chat: how they are described, how one is made sure to be called, and calls found in a text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

import orjson

from handrail.core.errors import HandrailError, listed
from handrail.core.field import described
from handrail.encode.tool_calls import tool_calls
from handrail.serve.formats.writing import Json

MARK: Final = "<tool_call>"
# An answer that begins so may be nothing but calls.
BARE: Final = ("{", "[", MARK, "<|python_tag|>")
CHOICES: Final = ("none", "auto", "required")
SAMPLE: Final = '{"type": "function", "function": {"name": …, "parameters": {…}}}'


def tools_in(given: Json) -> tuple[list[Json], object]:
    """The tools that may be called, and the choice among them. Raises HandrailError for what is none."""
    tools, choice = given.get("tools"), given.get("tool_choice")
    if tools is not None and not isinstance(tools, list):
        raise _off("tools", f"expected a list, received {described(tools)}")
    for number, tool in enumerate(tools or (), 1):
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise _off("tools", f"tool {number} is no function with a name")
        if not isinstance(function.get("parameters"), dict | None):
            raise _off("tools", f"tool {number}: its parameters are no JSON schema")
    names = [tool["function"]["name"] for tool in tools or ()]
    if not (choice is None or choice in CHOICES or _named(choice) in names):
        raise _off("tool_choice", f"expected {listed(CHOICES)}, or one of the tools, received {described(choice)}")
    if not names and choice not in (None, "none", "auto"):
        raise _off("tool_choice", "there are no tools to choose from")
    return ([] if choice == "none" else tools or []), choice


def is_forced(choice: object) -> bool:
    """Whether a tool has to be called."""
    return choice == "required" or isinstance(choice, dict)


def forced_schema(tools: Sequence[Json], choice: object) -> Json:
    """The JSON that calls one of the tools, the one that was chosen where one was, and can be nothing else."""
    wanted = [tool["function"] for tool in tools if choice == "required" or tool["function"]["name"] == _named(choice)]
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"enum": [function["name"]]},
                "arguments": {"type": "object", **(function.get("parameters") or {})},
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for function in wanted
    ]
    return calls[0] if len(calls) == 1 else {"anyOf": calls}


class Reader:
    """A text as it comes, parted into words and calls. What may yet be a call is kept back until the end."""

    def __init__(self, *, calls: bool) -> None:
        self._calls = calls
        self._held = ""
        self._begun = False
        self._holds = False

    def feed(self, text: str) -> str:
        """The words that are certain since the last call."""
        if not self._calls:
            return text
        self._held += text
        if self._holds:
            return ""
        if not self._begun:
            start = self._held.lstrip()
            if start.startswith(BARE) or any(mark.startswith(start) for mark in BARE):
                self._holds = start.startswith(BARE)
                return ""
            self._begun = True
        place = self._held.find(MARK)
        self._holds = place >= 0
        if place < 0:
            place = len(self._held) - _overlap(self._held)
        words, self._held = self._held[:place], self._held[place:]
        return words

    def end(self) -> tuple[str, list[Json]]:
        """The words and the calls in what was kept back."""
        return self.whole(self._held)

    def whole(self, text: str) -> tuple[str, list[Json]]:
        """The words and the calls of a whole text."""
        words, calls = tool_calls(text) if self._calls else (text, [])
        return words, [_called(call) for call in calls]


def _overlap(text: str) -> int:
    """How many letters at the end of a text may be the beginning of a mark."""
    return next((size for size in range(len(MARK) - 1, 0, -1) if text.endswith(MARK[:size])), 0)


def _called(call: Json) -> Json:
    function = {"name": call["name"], "arguments": orjson.dumps(call["arguments"]).decode()}
    return {"id": f"call_{os.urandom(12).hex()}", "type": "function", "function": function}


def _named(choice: object) -> Any:
    function = choice.get("function") if isinstance(choice, dict) else None
    return function.get("name") if isinstance(function, dict) else None


def _off(field: str, problem: str) -> HandrailError:
    return HandrailError("data", f"'{field}': {problem}", f"a tool is {SAMPLE}", field=field)
