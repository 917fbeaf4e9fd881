"""OpenAI's chat: messages are answered with a message, which may call tools or keep to a JSON schema.

Source: the API reference of OpenAI, "Chat Completions".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.core.field import described
from handrail.generate.settings import ANY_JSON, settings_from
from handrail.serve.api import Version
from handrail.serve.formats.generation import messages_of
from handrail.serve.formats.openai_asked import (
    PASSED_OVER,
    SAME,
    Envelope,
    Numbers,
    as_called,
    includes_usage,
    likeliest,
    refuse_unsupported,
    same_settings,
)
from handrail.serve.formats.openai_tools import Reader, forced_schema, is_forced, tools_in
from handrail.serve.formats.writing import Json, Wish, asked_of, event, refuse_unknown, settings_of, true_or_false
from handrail.serve.talks import Said

NAMES: Final = (
    "model", "messages", "tools", "tool_choice", "response_format", "max_completion_tokens", "logprobs",
    "top_logprobs", "stream", "stream_options", "logit_bias", "modalities", "functions", "function_call",
    *SAME, *PASSED_OVER,
)  # fmt: skip
MAX_TOKENS: Final = 1_024
MOST_LOGPROBS: Final = 20
UNSUPPORTED: Final[dict[str, tuple[Any, str]]] = {
    "logit_bias": ((None, {}), "use stop, a penalty or a JSON schema"),
    "modalities": ((None, ["text"]), "text is all that is written here"),
    "functions": ((None, []), "use tools"),
    "function_call": ((None, "none"), "use tool_choice"),
}


def wish_of(given: Json, version: Version) -> Wish:
    """What a request asks. Raises HandrailError that says what is off."""
    refuse_unknown(given, NAMES)
    refuse_unsupported(given, UNSUPPORTED)
    tools, choice = tools_in(given)
    prompt = messages_of({"messages": given.get("messages"), "tools": tools})
    wanted = likeliest(given.get("top_logprobs"), "top_logprobs", MOST_LOGPROBS)
    logprobs = (wanted or 0) if true_or_false(given, "logprobs") else None
    if wanted is not None and logprobs is None:
        raise HandrailError("data", "'top_logprobs' goes with logprobs", "say logprobs: true", field="top_logprobs")
    asked = {**same_settings(given), "logprobs": logprobs, "json_schema": _schema(given.get("response_format"))}
    if tools and is_forced(choice):
        asked["json_schema"] = forced_schema(tools, choice)
    if given.get("max_completion_tokens") is not None:
        settings_from({"max_tokens": given.get("max_tokens")})
        asked["max_tokens"] = as_called(
            "max_tokens", given["max_completion_tokens"], "max_completion_tokens"
        ).max_tokens
    settings = settings_of(asked, version.model, max_tokens=MAX_TOKENS)
    is_stream = true_or_false(given, "stream")
    writer = Chat(version, settings.n, calls=bool(tools), streams=is_stream, usage=includes_usage(given))
    return Wish(asked_of([prompt], settings, version.model), is_stream, writer)


class Chat:
    """Texts as messages, one for each of `n`. `calls`: there are tools, so a text may be a call of one."""

    def __init__(self, version: Version, count: int, *, calls: bool, streams: bool, usage: bool) -> None:
        self._numbers = Numbers(count)
        kind = "chat.completion.chunk" if streams else "chat.completion"
        self._envelope = Envelope("chatcmpl", kind, version, self._numbers, usage=usage)
        self._readers = [Reader(calls=calls) for _ in range(count)]
        self._begun: set[int] = set()

    def whole(self, found: Sequence[Sequence[Said]]) -> bytes:
        return self._envelope.whole([self._choice(said) for said in found])

    def events(self, some: Sequence[Said]) -> bytes:
        return b"".join(self._envelope.event(choice) for said in some for choice in self._deltas(said))

    def last(self) -> bytes:
        return self._envelope.last()

    def failed(self, error: Json) -> bytes:
        return event(error)

    def _choice(self, said: Sequence[Said]) -> Json:
        place = said[0].place
        self._numbers.add(said[-1])
        content, calls = self._readers[place].whole("".join(one.text for one in said))
        message: Json = {"role": "assistant", "content": content if content or not calls else None, "refusal": None}
        if calls:
            message["tool_calls"] = calls
        logprobs = None
        if any(one.logprobs is not None for one in said):
            logprobs = {"content": [told for one in said for told in _logprobs(one)], "refusal": None}
        finish = "tool_calls" if calls and said[-1].finish == "stop" else said[-1].finish
        return {"index": place, "message": message, "logprobs": logprobs, "finish_reason": finish}

    def _deltas(self, said: Said) -> list[Json]:
        place, found = said.place, []
        if place not in self._begun:
            self._begun.add(place)
            found.append(_delta(place, {"role": "assistant", "content": ""}))
        reader = self._readers[place]
        content = reader.feed(said.text)
        calls: list[Json] = []
        if said.finish is not None:
            self._numbers.add(said)
            rest, calls = reader.end()
            content += rest
        logprobs = None if said.logprobs is None else {"content": _logprobs(said), "refusal": None}
        if content or said.logprobs:
            found.append(_delta(place, {"content": content}, logprobs=logprobs))
        if calls:
            numbered = [{"index": number, **call} for number, call in enumerate(calls)]
            found.append(_delta(place, {"tool_calls": numbered}))
        if said.finish is not None:
            finish = "tool_calls" if calls and said.finish == "stop" else said.finish
            found.append(_delta(place, {}, finish=finish))
        return found


def _delta(place: int, delta: Json, *, logprobs: Json | None = None, finish: str | None = None) -> Json:
    return {"index": place, "delta": delta, "logprobs": logprobs, "finish_reason": finish}


def _schema(wanted: object) -> object:
    """The setting that a response format is."""
    if wanted is None or wanted == {"type": "text"}:
        return None
    if wanted == {"type": "json_object"}:
        return ANY_JSON
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        named = wanted.get("json_schema")
        if isinstance(named, dict) and isinstance(named.get("schema"), dict):
            return named["schema"]
    problem = (
        f"'response_format': expected text, json_object, or json_schema with a schema, received {described(wanted)}"
    )
    mend = '{"type": "json_schema", "json_schema": {"name": "answer", "schema": {…}}}'
    raise HandrailError("data", problem, mend, field="response_format")


def _logprobs(said: Said) -> list[Json]:
    return [
        {**_named(token, content, logprob), "top_logprobs": [_named(*one) for one in top]}
        for token, content, logprob, top in said.logprobs or ()
    ]


def _named(token: str, content: list[int], logprob: float) -> Json:
    return {"token": token, "bytes": content, "logprob": logprob}
