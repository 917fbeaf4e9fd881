"""What OpenAI's two ways to ask for text have in common: the fields, the numbers, the model, the ends."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.field import described
from handrail.core.values import quoted
from handrail.generate.settings import Settings, settings_from
from handrail.serve.api import Api, Version
from handrail.serve.formats.writing import Json, event, true_or_false
from handrail.serve.talks import Said

DONE: Final = b"data: [DONE]\n\n"
# Fields with the same name and meaning as ours; the last four are ours alone, and a client sends them as extra_body.
SAME: Final = (
    "max_tokens", "temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "stop", "n",
    "top_k", "min_p", "repetition_penalty", "ignore_end",
)  # fmt: skip
# Fields that say nothing about the text.
PASSED_OVER: Final = (
    "user", "metadata", "store", "service_tier", "parallel_tool_calls", "prompt_cache_key", "safety_identifier",
    "reasoning_effort", "verbosity", "prompt_cache_retention",
)  # fmt: skip


def chosen(given: Json, apis: Iterable[Api]) -> Api:
    """The API that a request names. Raises HandrailError for one that is not served, or writes no text."""
    name = given.get("model")
    if not isinstance(name, str):
        raise HandrailError("data", f"'model': expected a name, received {described(name)}", "name one", field="model")
    writing = {api.name: api for api in apis if api.current.streams is not None}
    if name not in writing:
        mend = did_you_mean(name, writing).strip() or f"there are {listed(writing) or 'none here'}"
        raise HandrailError("not_found", f"no model called {quoted(name)} writes text", mend, field="model")
    return writing[name]


def refuse_unsupported(given: Json, refused: dict[str, tuple[Any, str]]) -> None:
    """Raises HandrailError for a field that is not supported; the values in `refused` change nothing and are."""
    for name, (harmless, mend) in refused.items():
        if given.get(name) not in harmless:
            raise HandrailError("data", f"'{name}' is not supported", mend, field=name)


def same_settings(given: Json) -> Json:
    """Settings that are called alike."""
    return {name: given[name] for name in SAME if name in given}


def includes_usage(given: Json) -> bool:
    """Whether the usage is told at the end of a stream."""
    options = given.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        problem = f"'stream_options': expected an object, received {described(options)}"
        raise HandrailError("data", problem, '{"include_usage": true}', field="stream_options")
    return true_or_false(options, "include_usage")


def as_called(setting: str, value: object, name: str) -> Settings:
    """The value of a setting that the client calls otherwise. Raises HandrailError that calls it as the client did."""
    try:
        return settings_from({setting: value})
    except HandrailError as error:
        mend = f"mend or leave out {name}"
        raise HandrailError(error.code, error.problem.replace(f"'{setting}'", f"'{name}'"), mend, field=name) from None


def likeliest(value: object, name: str, most: int) -> int | None:
    """How many of the likeliest tokens are told. Raises HandrailError that calls the field as the client did."""
    wanted = as_called("logprobs", value, name).logprobs
    if wanted is not None and wanted > most:
        problem = f"'{name}': at most {most}, received {wanted}"
        raise HandrailError("data", problem, "ask for fewer", field=name)
    return wanted


class Numbers:
    """The usage of a request: every prompt counts once, however many texts were written for it."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._totals = dict.fromkeys(("prompt_tokens", "completion_tokens", "cached_tokens", "slid_tokens"), 0)

    def add(self, said: Said) -> None:
        """Takes note of the last piece of a text."""
        for name in self._totals:
            if said.usage and (said.place % self._count == 0 or name in ("completion_tokens", "slid_tokens")):
                self._totals[name] += int(said.usage.get(name, 0))

    @property
    def usage(self) -> Json:
        prompt, completion = self._totals["prompt_tokens"], self._totals["completion_tokens"]
        return {
            "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": self._totals["cached_tokens"]},
        }  # fmt: skip

    @property
    def more(self) -> Json:
        """What OpenAI has no field for: that the beginning fell out of the window while the text was written."""
        slid = self._totals["slid_tokens"]
        return {"handrail": {"slid_tokens": slid}} if slid else {}


class Envelope:
    """What stands around every answer and event of one request: who wrote it, and `numbers`. `usage`: the numbers come
    in an event of their own, at the end."""

    def __init__(self, prefix: str, kind: str, version: Version, numbers: Numbers, *, usage: bool) -> None:
        self._numbers, self._usage = numbers, usage
        self._fields: Json = {
            "id": f"{prefix}-{os.urandom(12).hex()}", "object": kind, "created": int(time.time()),
            "model": version.name, "system_fingerprint": f"{version.name}@{version.number}",
        }  # fmt: skip

    def whole(self, choices: Sequence[Json]) -> bytes:
        return orjson.dumps(self._with_numbers(choices))

    def event(self, choice: Json) -> bytes:
        if self._usage:
            return event({**self._fields, "choices": [choice], "usage": None})
        more = {} if choice["finish_reason"] is None else self._numbers.more
        return event({**self._fields, "choices": [choice], **more})

    def last(self) -> bytes:
        return (event(self._with_numbers([])) if self._usage else b"") + DONE

    def _with_numbers(self, choices: Sequence[Json]) -> Json:
        return {**self._fields, "choices": choices, "usage": self._numbers.usage, **self._numbers.more}
