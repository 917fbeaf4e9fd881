"""The gateway's ASGI callable: lets in, routes, answers; every failure has the same shape."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import orjson

from handrail.core.bundle import MODEL_NAME
from handrail.core.errors import HandrailError, did_you_mean, listed, printable
from handrail.serve.api import Api
from handrail.serve.limits import (
    REQUEST_ID,
    GoneError,
    Headers,
    Limits,
    Receive,
    Refused,
    check_host,
    check_origin,
    checked_headers,
    is_large,
    read_body,
)
from handrail.serve.metrics import written
from handrail.serve.openapi import openapi
from handrail.serve.page import DOCS_POLICY, PAGE_POLICY, REPORT_POLICY, docs_page, index_page, model_page

Send = Callable[[dict[str, Any]], Awaitable[None]]
Pairs = tuple[tuple[bytes, bytes], ...]
log = logging.getLogger("handrail.serve")

JSON: Final = b"application/json"
HTML: Final = b"text/html; charset=utf-8"
TEXT: Final = b"text/plain; charset=utf-8"
RESERVED: Final = ("docs", "healthz", "readyz", "metrics", "openapi.json")


@dataclass(frozen=True)
class Request:
    """What an endpoint needs of a request."""

    receive: Receive
    headers: Headers
    query: bytes
    gone: Callable[[], bool] | None

    @property
    def wants_html(self) -> bool:
        return b"text/html" in self.headers.get(b"accept", b"")


@dataclass(frozen=True)
class Response:
    """What an endpoint answers."""

    body: bytes
    content_type: bytes = JSON
    status: int = 200
    headers: Pairs = ()


Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """What may be done at a path, and who may: "anyone" (health), "reader", or "caller" (predictions)."""

    policy: str
    methods: Mapping[str, Endpoint]


class App:
    """Serves some models. Routes are a table of exact paths; a path that is not in it is not served."""

    def __init__(
        self,
        apis: Mapping[str, Api],
        *,
        limits: Limits | None = None,
        access_log: Callable[[bytes], object] | None = None,
    ) -> None:
        for name in apis:
            if name in RESERVED:
                raise HandrailError("usage", f"a model called '{name}' cannot be served", "give it another name")
        self.apis = apis
        self.limits = limits or Limits()
        self.routes = self._table()
        self._access_log = access_log
        self._prefix = os.urandom(4).hex()
        self._numbers = count(1)
        self._large_bodies = 0

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _not_http(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = f"{self._prefix}-{next(self._numbers):x}".encode()
        try:
            headers = checked_headers(scope["headers"])
            asked = headers.get(b"x-request-id")
            if asked is not None and REQUEST_ID.fullmatch(asked):
                request_id = asked
            response = await self._answered(scope, headers, receive)
        except GoneError:
            return
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            return  # the work was dropped because the client left
        except (HandrailError, Refused) as error:
            response = failure(error, request_id)
        except Exception:
            log.exception("request %s failed", request_id.decode())
            mend = "report it with the request's id"
            response = failure(HandrailError("bug", "something went wrong here", mend), request_id)
        await send(
            {
                "type": "http.response.start",
                "status": response.status,
                "headers": [
                    (b"content-type", response.content_type),
                    (b"content-length", b"%d" % len(response.body)),
                    (b"x-request-id", request_id),
                    (b"x-content-type-options", b"nosniff"),
                    *response.headers,
                ],
            }
        )
        await send({"type": "http.response.body", "body": response.body})
        if self._access_log is not None:
            self._access_log(_access_line(scope, response, request_id, time.perf_counter() - started))

    async def _answered(self, scope: Mapping[str, Any], headers: Headers, receive: Receive) -> Response:
        check_host(headers, self.limits)
        method = scope["method"]
        check_origin(headers, method)
        route = self.routes.get(scope["path"])
        if route is None:
            raise self._unknown(scope["path"])
        endpoint = route.methods.get("GET" if method == "HEAD" else method)
        if endpoint is None:
            allowed = listed([*route.methods, *(["HEAD"] if "GET" in route.methods else [])])
            error = HandrailError("method", f"{method[:20]} is not answered here", f"here: {allowed}")
            raise Refused(405, error, (b"allow", allowed.encode()))
        return await endpoint(Request(receive, headers, scope["query_string"], scope.get("handrail.gone")))

    def _table(self) -> dict[str, Route]:
        table = {
            "/": Route("reader", {"GET": self._index}),
            "/openapi.json": Route("reader", {"GET": self._openapi}),
            "/docs": Route("reader", {"GET": self._docs}),
            "/metrics": Route("reader", {"GET": self._metrics}),
            "/healthz": Route("anyone", {"GET": self._health}),
            "/readyz": Route("anyone", {"GET": self._readiness}),
        }
        for name, api in self.apis.items():
            table[f"/{name}"] = Route("reader", {"GET": _describing(api)})
            table[f"/{name}/report"] = Route("reader", {"GET": _reporting(api)})
            table[f"/{name}/predict"] = Route("caller", {"POST": self._predicting(api)})
        return table

    def _predicting(self, api: Api) -> Endpoint:
        metrics, limits = api.metrics, self.limits

        async def predict(request: Request) -> Response:
            started = time.perf_counter()
            outcome = "left"
            metrics.in_flight += 1
            large = is_large(request.headers, limits)
            self._large_bodies += large
            try:
                if large and self._large_bodies > limits.max_large_bodies:
                    raise HandrailError(
                        "overloaded", "too many large bodies at a time", "try again, or send fewer rows"
                    )
                body = await read_body(request.receive, request.headers, limits)
                answer = await api.answer(body, request.headers, request.query, limits, request.gone)
                outcome = "answered"
                return Response(answer)
            except (HandrailError, Refused) as error:
                outcome = "failed" if getattr(error, "code", "") in ("bug", "timeout") else "refused"
                if getattr(error, "code", "") == "overloaded":
                    assert isinstance(error, HandrailError)
                    retry_after = b"%d" % api.batcher.retry_after_s()
                    raise Refused(503, error, (b"retry-after", retry_after)) from None
                raise
            finally:
                self._large_bodies -= large
                metrics.in_flight -= 1
                metrics.outcomes[outcome] += 1
                metrics.request_s.observe(time.perf_counter() - started)

        return predict

    async def _index(self, request: Request) -> Response:
        if request.wants_html:
            return Response(index_page([api.description for api in self.apis.values()]), HTML, headers=PAGE_POLICY)
        shown = ("name", "version", "task", "predict", "report")
        models = [{key: api.description[key] for key in shown} for api in self.apis.values()]
        return Response(orjson.dumps({"models": models, "openapi": "/openapi.json", "docs": "/docs"}))

    async def _openapi(self, request: Request) -> Response:
        return Response(orjson.dumps(openapi([api.description for api in self.apis.values()])))

    async def _docs(self, request: Request) -> Response:
        return Response(docs_page(openapi([api.description for api in self.apis.values()])), HTML, headers=DOCS_POLICY)

    async def _metrics(self, request: Request) -> Response:
        text = written(
            {name: api.metrics for name, api in self.apis.items()},
            {name: api.pool.ready for name, api in self.apis.items()},
            {name: api.batcher.waiting for name, api in self.apis.items()},
        )
        return Response(text.encode(), b"text/plain; version=0.0.4; charset=utf-8")

    async def _health(self, request: Request) -> Response:
        return Response(b"ok\n", TEXT)

    async def _readiness(self, request: Request) -> Response:
        states = {name: {"ready": api.pool.ready, "replicas": api.pool.wanted} for name, api in self.apis.items()}
        ready = all(api.pool.is_ready for api in self.apis.values())
        return Response(orjson.dumps({"ready": ready, "models": states}), status=200 if ready else 503)

    def _unknown(self, path: str) -> HandrailError:
        name = path.strip("/").split("/")[0]
        hint = did_you_mean(name, self.apis).strip() if MODEL_NAME.fullmatch(name) else ""
        return HandrailError("not_found", "nothing is served at this path", hint or f"served: {listed(self.apis)}")


def failure(error: HandrailError | Refused, request_id: bytes) -> Response:
    """The one shape of every error. Places on this machine's disk stay here."""
    status, headers = (error.status, error.headers) if isinstance(error, Refused) else (error.http_status, ())
    said = error.error if isinstance(error, Refused) else error
    body = said.as_dict(request_id.decode())
    if said.code in ("bundle", "environment", "bug"):
        body["error"].pop("where", None)  # type: ignore[attr-defined]
    return Response(orjson.dumps(body), status=status, headers=headers)


def _describing(api: Api) -> Endpoint:
    async def describe(request: Request) -> Response:
        if request.wants_html:
            return Response(model_page(api.description, api.signature), HTML, headers=PAGE_POLICY)
        return Response(orjson.dumps(api.description))

    return describe


def _reporting(api: Api) -> Endpoint:
    async def report(request: Request) -> Response:
        if "report.html" not in api.model.manifest.files:
            raise HandrailError("not_found", "this model has no report", f"see /{api.name}")
        content = await asyncio.to_thread(api.model.bundle.read, "report.html")
        return Response(content, HTML, headers=REPORT_POLICY)

    return report


async def _not_http(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] != "lifespan":
        return
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


UNPRINTED: Final = re.compile(r"[^\x20-\x7e]")


def _access_line(scope: Mapping[str, Any], response: Response, request_id: bytes, took_s: float) -> bytes:
    """One line of JSON. A path is what a stranger chose, so what is not plain in it is escaped, and it is cut."""
    path = UNPRINTED.sub(lambda found: found[0].encode("unicode_escape").decode(), printable(scope["path"][:500]))
    line = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "client": scope["client"][0] if scope.get("client") else None,
        "method": scope["method"],
        "path": path,
        "status": response.status,
        "bytes": len(response.body),
        "took_ms": round(took_s * 1000, 3),
        "request_id": request_id.decode(),
    }
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
