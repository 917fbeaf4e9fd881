"""Requests that are answered later: promised when they are on the disk, then asked as a client would ask."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import orjson

from handrail.core.errors import HandrailError
from handrail.jobs import webhook
from handrail.jobs.requests import NewRequest
from handrail.jobs.runner import Answer, Runner
from handrail.serve.app import aside
from handrail.serve.failures import failure
from handrail.serve.http import Headers, Later, Request, Response
from handrail.serve.limits import Refused
from handrail.serve.routes import Route

KEY: Final = re.compile(rb"[!-~]{1,255}")
# What belongs to one connection, to one client, or to the promise itself, and not to what is asked.
LEFT_OUT: Final = frozenset({
    b"authorization", b"connection", b"content-length", b"cookie", b"expect", b"host", b"idempotency-key",
    b"keep-alive", b"origin", b"prefer", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"webhook",
    b"x-deadline-ms",
})  # fmt: skip
# Stands among the headers of a request that is kept; no client can send one of that name.
QUERY: Final = ":query"


def is_for_later(headers: Headers) -> bool:
    """Whether a client prefers to be answered later.

    Source: https://www.rfc-editor.org/rfc/rfc7240#section-4.1
    """
    wanted = (part.split(b";")[0].strip().lower() for part in headers.get(b"prefer", b"").split(b","))
    return b"respond-async" in wanted


def later(request: Request, api: str, runner: Runner) -> Later:
    """Keeps a request, and then promises an answer: 202 with its id and its place."""
    key = key_of(request.headers)
    url = request.headers.get(b"webhook")
    told = None if url is None else url.decode("latin-1")
    if told is not None:
        webhook.checked(told, runner.settings.webhooks)
    new = NewRequest(api, request.body, _kept(request), key, digest_of(request, b"content-type"), told)

    async def submit() -> tuple[str, bool]:
        with _overload(runner, api):
            return await runner.submit_request(new)

    def write(found: tuple[str, bool]) -> Response:
        place = f"/{api}/requests/{found[0]}".encode()
        headers = ((b"location", place), (b"preference-applied", b"respond-async"))
        return Response(orjson.dumps({"id": found[0]}), status=202, headers=headers)

    return aside(request, submit(), write)


@contextlib.contextmanager
def _overload(runner: Runner, api: str) -> Iterator[None]:
    """Says Retry-After where too much waits."""
    try:
        yield
    except HandrailError as error:
        if error.code != "rate_limited":
            raise
        raise Refused(429, error, (b"retry-after", b"%d" % runner.retry_after_s(api))) from None


def live_answers(routes: Callable[[], Mapping[str, Route]]) -> Answer:
    """Asks the API's own `/NAME/predict`, as it is served at that moment. It asks nobody for a key: who sent the
    request had one."""

    async def answer(api: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, bytes]:
        named = {name.encode("latin-1"): value.encode("latin-1") for name, value in headers.items() if name != QUERY}
        query = headers.get(QUERY, "").encode("latin-1")
        request = Request("POST", f"/{api}/predict", query, named, body, "", b"later", time.perf_counter())
        response = await _answered(routes().get(request.path), request)
        return response.status, response.content_type, response.body

    return answer


async def _answered(route: Route | None, request: Request) -> Response:
    try:
        if route is None:
            raise HandrailError("not_found", "this API is not served any more", "deploy it again")
        answer = route.methods["POST"](request)
        if not isinstance(answer, Later):
            return answer
        await asyncio.wait([answer.future])
        return answer.finish(answer.future)
    except Exception as error:
        return failure(error, request.id)


def key_of(headers: Headers) -> str | None:
    """The key under which a request is made once, however often it is sent."""
    key = headers.get(b"idempotency-key")
    if key is None:
        return None
    if KEY.fullmatch(key) is None:
        problem = "idempotency-key: expected 1 to 255 letters without blanks"
        raise HandrailError("usage", problem, "for example a UUID", field="idempotency-key")
    return key.decode("ascii")


def digest_of(request: Request, *headers: bytes) -> str:
    """What tells this request from another one under the same key."""
    told = [request.body, request.query, *(request.headers.get(name, b"") for name in headers)]
    return hashlib.sha256(b"\0".join(told)).hexdigest()


def _kept(request: Request) -> dict[str, str]:
    """The headers that say what is asked, and the query."""
    found = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in request.headers.items()
        if name not in LEFT_OUT
    }
    return {**found, QUERY: request.query.decode("latin-1")} if request.query else found
