"""Our own way to ask for text: a prompt, prompts or messages with settings; the text as JSON, or as events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from handrail.core.errors import HandrailError
from handrail.core.field import described
from handrail.generate.settings import READERS
from handrail.serve.api import Version
from handrail.serve.formats.writing import (
    Json,
    Wish,
    asked_of,
    event,
    object_in,
    refuse_unknown,
    settings_of,
    true_or_false,
)
from handrail.serve.talks import Said

PROMPTS: Final = ("prompt", "prompts", "messages")
NAMES: Final = (*PROMPTS, "tools", "stream", *READERS)
SAMPLE: Final = '{"prompt": "Once upon a time", "max_tokens": 64}'


def wish_of(body: bytes, version: Version) -> Wish:
    """What a request asks. Raises HandrailError or Refused that says what is off."""
    given = object_in(body, SAMPLE)
    refuse_unknown(given, NAMES)
    prompts = _prompts(given)
    settings = settings_of({name: given[name] for name in READERS if name in given}, version.model)
    alone = "prompts" not in given and settings.n == 1
    writer = Native(settings.seed, settings.n, alone=alone)
    return Wish(asked_of(prompts, settings, version.model), true_or_false(given, "stream"), writer)


class Native:
    """`{"text", "finish", "usage", "seed"}`, under "answers" where several were asked for."""

    def __init__(self, seed: int | None, count: int, *, alone: bool) -> None:
        self._seed = seed
        self._count = count
        self._alone = alone

    def whole(self, found: Sequence[Sequence[Said]]) -> bytes:
        answers = [self._answer(said) for said in found]
        return orjson.dumps({**(answers[0] if self._alone else {"answers": answers}), "seed": self._seed})

    def events(self, some: Sequence[Said]) -> bytes:
        return b"".join(event(told) for said in some if (told := self._event(said)))

    def last(self) -> bytes:
        return b""

    def failed(self, error: Json) -> bytes:
        return b"event: error\n" + event(error)

    def _answer(self, said: Sequence[Said]) -> Json:
        answer: Json = {"text": "".join(one.text for one in said), "finish": said[-1].finish, "usage": said[-1].usage}
        if any(one.logprobs is not None for one in said):
            answer["logprobs"] = [told for one in said for told in _logprobs(one)]
        return {**self._place(said[0].place), **answer}

    def _event(self, said: Said) -> Json:
        told: Json = {"text": said.text} if said.text else {}
        if said.logprobs is not None:
            told["logprobs"] = _logprobs(said)
        if said.finish is not None:
            told |= {"finish": said.finish, "usage": said.usage, "seed": self._seed}
        return {**self._place(said.place), **told} if told else {}

    def _place(self, place: int) -> Json:
        return {} if self._alone else {"prompt": place // self._count, "index": place % self._count}


def _prompts(given: Json) -> list[Json]:
    named = [name for name in PROMPTS if given.get(name) is not None]
    if len(named) != 1:
        problem = f"expected one of prompt, prompts and messages, received {' and '.join(named) or 'none of them'}"
        raise HandrailError("data", problem, f"send {SAMPLE}", field="prompt")
    value = given[named[0]]
    if named == ["messages"]:
        return [messages_of(given)]
    if given.get("tools") is not None:
        raise HandrailError("data", "tools are for messages", "send messages, or leave tools out", field="tools")
    texts = [value] if named == ["prompt"] else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        wanted = "a text" if named == ["prompt"] else "a list of texts"
        problem = f"'{named[0]}': expected {wanted}, received {described(value)}"
        raise HandrailError("data", problem, f"send {SAMPLE}", field=named[0])
    return [{"text": text} for text in texts]


def messages_of(given: Json) -> Json:
    """A prompt of messages and tools; what is in them is looked at where the model's template is."""
    messages, tools = given["messages"], given.get("tools")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        problem = f"'messages': expected a list of objects with role and content, received {described(messages)}"
        mend = 'send {"messages": [{"role": "user", "content": "Hello"}]}'
        raise HandrailError("data", problem, mend, field="messages")
    if tools is not None and (not isinstance(tools, list) or not all(isinstance(one, dict) for one in tools)):
        problem = f"'tools': expected a list of objects, received {described(tools)}"
        raise HandrailError("data", problem, "leave tools out, or describe functions", field="tools")
    return {"messages": messages, "tools": tools or None}


def _logprobs(said: Said) -> list[Json]:
    return [
        {"token": token, "logprob": logprob, "top": [_top(one) for one in top]}
        for token, _, logprob, top in said.logprobs or ()
    ]


def _top(one: Sequence[Any]) -> Json:
    return {"token": one[0], "logprob": one[2]}
