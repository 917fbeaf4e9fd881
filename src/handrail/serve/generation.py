"""Texts over HTTP: our own /NAME/generate, and OpenAI's /v1/completions and /v1/chat/completions; whole or streamed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

import orjson

from handrail.core.errors import HandrailError
from handrail.serve.api import Api, Version
from handrail.serve.encodings import is_packed, unpacked
from handrail.serve.exchange import Later, Request, Response
from handrail.serve.failures import count, failure, outcome_of, status_of, with_retry_after
from handrail.serve.formats import generation, native, openai_chat, openai_completions
from handrail.serve.formats.openai_asked import chosen
from handrail.serve.formats.packed import packed
from handrail.serve.formats.writing import Json, Wish, object_in
from handrail.serve.limits import Limits, deadline_of, timeout_of
from handrail.serve.routes import Endpoint, Route
from handrail.serve.streams import Streams
from handrail.serve.talks import Said, Talk

EVENTS: Final = b"text/event-stream; charset=utf-8"
# A proxy on the way is to keep nothing and hold nothing back.
AT_ONCE: Final = ((b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"))
COMPLETION: Final = '{"model": …, "prompt": "Once upon a time"}'
CHAT: Final = '{"model": …, "messages": [{"role": "user", "content": "Hello"}]}'

OpenAI = Callable[[Json, Version], Wish]


def generation_routes(apis: Mapping[str, Api], limits: Limits) -> dict[str, Route]:
    """The routes of every model that writes text; those of OpenAI are there where one does."""
    writing = {name: api for name, api in apis.items() if api.current.streams is not None}

    def ask(request: Request, version: Version, read: Callable[[Version], Wish]) -> Later:
        return talked(request, version, read, version.limits or limits)

    def natively(api: Api) -> Endpoint:
        def generate(request: Request) -> Later:
            body, options = _plain(request, limits), native.options_of(request.query) if request.query else {}
            version = api.chosen(options.get("version"), request)
            return ask(request, version, lambda version: generation.wish_of(body, version))

        return generate

    def as_openai(wish_of: OpenAI, sample: str) -> Endpoint:
        def complete(request: Request) -> Later:
            given = object_in(_plain(request, limits), sample)
            api = chosen(given, apis.values())
            api.admit(request)
            return ask(request, api.chosen(None, request), lambda version: wish_of(given, version))

        return complete

    table = {f"/{name}/generate": Route("caller", {"POST": natively(api)}) for name, api in writing.items()}
    if writing:
        for path, wish_of, sample in (
            ("/v1/completions", openai_completions.wish_of, COMPLETION),
            ("/v1/chat/completions", openai_chat.wish_of, CHAT),
        ):
            table[path] = Route("caller", {"POST": as_openai(wish_of, sample)})
    return table


def talked(request: Request, version: Version, read: Callable[[Version], Wish], limits: Limits) -> Later:
    """The texts of a version to what `read` finds in the request; counted, whatever becomes of it."""
    try:
        streams = _streams(version)
        wish = read(version)
        talk = _opened(request, streams, wish, limits)
    except Exception as error:
        count(version, request, outcome_of(error), status_of(error))
        raise with_retry_after(error, version) from None
    version.metrics.in_flight += 1
    # The head of a stream goes out with its first piece: until then a refusal still has its status.
    work = asyncio.ensure_future(talk.some() if wish.streams else talk.all())
    return Later(work, Answering(request, version, wish, talk).finish)


class Answering:
    """One request from its first piece to its end."""

    def __init__(self, request: Request, version: Version, wish: Wish, talk: Talk) -> None:
        self.request = request
        self.writer = wish.writer
        self.talk = talk
        self._version = version
        self._streams = wish.streams

    def finish(self, done: asyncio.Future[list[Any]]) -> Response:
        """The response, or the beginning of one."""
        if done.cancelled():
            self.over("left")
            return Response(b"")
        try:
            found = done.result()
            if self._streams:
                return Response(b"", EVENTS, headers=AT_ONCE, pieces=Events(self, found))
            response = packed(Response(self.writer.whole(found)), self.request.headers)
        except Exception as error:
            self.over(outcome_of(error), status_of(error))
            return failure(with_retry_after(error, self._version), self.request.id)
        self.over("answered")
        return response

    def over(self, outcome: str, status: int = 200) -> None:
        """Takes note of the end, and gives up what is not written yet."""
        self.talk.close()
        self._version.metrics.in_flight -= 1
        count(self._version, self.request, outcome, status)


class Events:
    """A stream: pieces as events, then the last ones; what goes wrong on the way is an event as well."""

    def __init__(self, answering: Answering, found: list[Said]) -> None:
        self._answering = answering
        self._found = found
        self._outcome = ("left", 200)
        self._is_over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._is_over:
            raise StopAsyncIteration
        writer = self._answering.writer
        while True:
            try:
                found, self._found = self._found or await self._answering.talk.some(), []
                content = writer.events(found) if found else writer.last()
            except Exception as error:
                self._is_over, self._outcome = True, (outcome_of(error), status_of(error))
                request = self._answering.request
                return writer.failed(orjson.loads(failure(error, request.id).body))
            if not found:
                self._is_over, self._outcome = True, ("answered", 200)
                if not content:
                    raise StopAsyncIteration
            if content:
                return content

    def close(self) -> None:
        self._answering.over(*self._outcome)


def _streams(version: Version) -> Streams:
    """Raises HandrailError where another kind of model took over under the same name."""
    if version.streams is None:
        problem = f"version {version.number} of {version.name} writes no text"
        raise HandrailError(
            "not_found", problem, f"ask /{version.name}/predict; GET /{version.name} says what it takes"
        )
    return version.streams


def _opened(request: Request, streams: Streams, wish: Wish, limits: Limits) -> Talk:
    return streams.open(
        wish.asked, client=_client(request), timeout_s=timeout_of(request.headers, limits),
        whole_s=_whole_s(request, streams),
    )  # fmt: skip


def _whole_s(request: Request, streams: Streams) -> float:
    asked_s = deadline_of(request.headers)
    return streams.whole_s if asked_s is None else min(asked_s, streams.whole_s)


def _client(request: Request) -> str:
    """Whose turn it is: that of a key, else of an address. The key itself stays here."""
    key = request.headers.get(b"authorization")
    return request.client if key is None else hashlib.blake2b(key, digest_size=8).hexdigest()


def _plain(request: Request, limits: Limits) -> bytes:
    return unpacked(request.body, request.headers, limits) if is_packed(request.headers) else request.body
