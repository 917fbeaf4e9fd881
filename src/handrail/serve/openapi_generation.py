"""The routes that write text in the OpenAPI document: our own, and OpenAI's completions and chat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from handrail.generate import settings as bounds
from handrail.serve.formats import openai_completions
from handrail.serve.formats.writing import MOST_TEXTS
from handrail.serve.openapi_parts import PREDICTING, TEXT, body_of, json_of, list_of, object_of, operation_of
from handrail.serve.processes import WRITING

Json = dict[str, Any]
BOOLEAN: Final[Json] = {"type": "boolean"}
EVENTS: Final[Json] = {"text/event-stream": {"schema": {}}}
STREAMED: Final = "With stream: true the answer comes as server-sent events while it is written."


def generation_paths(models: Sequence[Json]) -> Json:
    """/NAME/generate of each model that writes; OpenAI's routes where there is one."""
    names = [model["name"] for model in models if model["task"] == WRITING]
    paths: Json = {f"/{name}/generate": {"post": _generate(name)} for name in names}
    if names:
        paths["/v1/completions"] = {"post": _completions(names)}
        paths["/v1/chat/completions"] = {"post": _chat(names)}
    return paths


def _generate(name: str) -> Json:
    ways = [
        {"prompt": TEXT},
        {"prompts": list_of(TEXT, minItems=1, maxItems=16)},
        {"messages": _MESSAGES},
    ]
    settings = {**_SETTINGS, "stream": _or_null(BOOLEAN)}
    asked = {"anyOf": [_closed(way, settings) for way in ways]}
    example = {"prompt": "Once upon a time", "max_tokens": 32, "seed": 1}
    return operation_of(
        "Goes on from a prompt, from several, or answers messages", name,
        {**json_of({"anyOf": [_ANSWER, object_of(answers=list_of(_ANSWER))]}), **EVENTS}, statuses=PREDICTING,
        requestBody=body_of(json_of(asked, examples={"a beginning": {"value": example}})), description=STREAMED,
    )  # fmt: skip


def _completions(names: Sequence[str]) -> Json:
    tokens = list_of({"type": "integer", "minimum": 0}, minItems=1)
    prompt = {"anyOf": [TEXT, list_of(TEXT, minItems=1, maxItems=16), tokens]}
    asked = _closed({"model": {**TEXT, "enum": list(names)}, "prompt": prompt}, {
        **_settings_of_openai(), "echo": _or_null(BOOLEAN),
        "logprobs": _whole(0, openai_completions.MOST_LOGPROBS),
    })  # fmt: skip
    # Nobody tells how likely the tokens of a prompt are, so that is not asked for.
    asked["not"] = {"required": ["echo", "logprobs"]}
    example = {"model": names[0], "prompt": "Once upon a time", "max_tokens": 32}
    return _openai("OpenAI: a prompt goes on as text", asked, "text", example)


def _chat(names: Sequence[str]) -> Json:
    asked = _closed({"model": {**TEXT, "enum": list(names)}, "messages": _MESSAGES}, {
        **_settings_of_openai(), "max_completion_tokens": _SETTINGS["max_tokens"], "logprobs": _or_null(BOOLEAN),
        "response_format": {"anyOf": [{"const": {"type": kind}} for kind in ("text", "json_object")] + [_NULL]},
    })  # fmt: skip
    example = {"model": names[0], "messages": [{"role": "user", "content": "Hello!"}], "max_completion_tokens": 32}
    return _openai("OpenAI: messages are answered with a message", asked, "message", example)


def _openai(summary: str, asked: Json, part: str, example: Json) -> Json:
    choice = object_of(index=_INTEGER, finish_reason={**TEXT, "enum": ["stop", "length", "tool_calls"]})
    choice["properties"][part] = {}
    said = object_of(id=TEXT, object=TEXT, created=_INTEGER, model=TEXT, choices=list_of(choice), usage=_USAGE)
    body = body_of(json_of(asked, examples={"a request": {"value": example}}))
    return operation_of(
        summary, "openai", {**json_of(said), **EVENTS}, statuses=PREDICTING, requestBody=body,
        description=f"{STREAMED} More fields of OpenAI's are read than are listed here, tools and JSON schemas among "
        "them; what is not supported is refused by name.",
    )  # fmt: skip


def _settings_of_openai() -> Json:
    ours = {name: schema for name, schema in _SETTINGS.items() if name not in ("logprobs", "json_schema")}
    usage = {"type": ["object", "null"], "properties": {"include_usage": _or_null(BOOLEAN)}}
    return {**ours, "stream": _or_null(BOOLEAN), "stream_options": usage, "user": {}}


def _closed(needed: Json, more: Json) -> Json:
    schema = object_of(**needed)
    schema["properties"] |= more
    schema["additionalProperties"] = False
    return schema


def _or_null(schema: Json) -> Json:
    return {**schema, "type": [schema["type"], "null"]}


def _whole(least: int, most: int) -> Json:
    return {"type": ["integer", "null"], "minimum": least, "maximum": most}


def _real(least: float, most: float) -> Json:
    return {"type": ["number", "null"], "minimum": least, "maximum": most}


_NULL: Final[Json] = {"type": "null"}
_INTEGER: Final[Json] = {"type": "integer"}
_STOP: Final[Json] = {"type": "string", "minLength": 1, "maxLength": bounds.MAX_STOP_CHARACTERS}
_SETTINGS: Final[Json] = {
    "max_tokens": _whole(1, bounds.MAX_TOKENS),
    "temperature": _real(0, bounds.MAX_TEMPERATURE),
    "top_k": _whole(0, bounds.MAX_TOP_K),
    "top_p": _real(0, 1),
    "min_p": _real(0, 1),
    "repetition_penalty": _real(*bounds.REPETITION_PENALTIES),
    "presence_penalty": _real(*bounds.PENALTIES),
    "frequency_penalty": _real(*bounds.PENALTIES),
    "seed": _whole(*bounds.SEEDS),
    "stop": {"anyOf": [_STOP, list_of(_STOP, maxItems=bounds.MAX_STOPS), _NULL]},
    "logprobs": _whole(0, bounds.MAX_LOGPROBS),
    "json_schema": {
        "anyOf": [{"const": bounds.ANY_JSON}, {"type": ["object", "null"]}],
        "description": "A JSON schema that the text is to keep to",
    },
    "n": {**_whole(1, bounds.MAX_N), "description": f"With several prompts, at most {MOST_TEXTS} texts in all"},
    "ignore_end": _or_null(BOOLEAN),
}
_MESSAGE: Final = object_of(role={**TEXT, "enum": ["system", "user", "assistant"]})
_MESSAGE["properties"]["content"] = _or_null(TEXT)
_MESSAGES: Final = list_of(_MESSAGE, minItems=1, maxItems=100)
_COUNTS: Final = ("prompt_tokens", "completion_tokens")
_USAGE: Final = object_of(**dict.fromkeys((*_COUNTS, "total_tokens"), _INTEGER))
_ANSWER: Final = object_of(
    text=TEXT, finish={**TEXT, "enum": ["stop", "length"]},
    usage=object_of(**dict.fromkeys((*_COUNTS, "cached_tokens", "slid_tokens"), _INTEGER)),
)  # fmt: skip
