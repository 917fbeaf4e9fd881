"""What the gateway answers: lets in, routes, asks the batcher; every failure has the same shape."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import orjson

from handrail.core.bundle import MODEL_NAME
from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.deploy.rules import TAKEN
from handrail.serve.access_log import line_of
from handrail.serve.api import Api, Version
from handrail.serve.encodings import is_packed, unpacked
from handrail.serve.failures import SOON, count, failure, outcome_of, status_of, with_retry_after
from handrail.serve.formats import native
from handrail.serve.formats.call import Call
from handrail.serve.formats.packed import packed
from handrail.serve.formats.writing import own_settings
from handrail.serve.generation import generation_routes
from handrail.serve.generation_metrics import generation_lines
from handrail.serve.guard import Guard
from handrail.serve.http import Later, Request, Response
from handrail.serve.language import search_routes, summary_routes
from handrail.serve.limits import Limits, Refused, check_host, check_origin, timeout_of
from handrail.serve.metrics import written
from handrail.serve.openapi import openapi
from handrail.serve.page import DOCS_POLICY, PAGE_POLICY, REPORT_POLICY, docs_page, index_page, model_page
from handrail.serve.page_writing import WRITING_POLICY, writing_page
from handrail.serve.routes import (
    Endpoint,
    Reading,
    Route,
    open_inference_routes,
    openai_routes,
    route_of,
    tensorflow_serving_routes,
)
from handrail.serve.tracing import Tracing

log = logging.getLogger("handrail.serve")

# A model that was taught to answer messages has a template of its own for them.
TEMPLATE: Final = "encode/chat_template.txt"
HTML: Final = b"text/html; charset=utf-8"
TEXT: Final = b"text/plain; charset=utf-8"
# Answers to more rows than this are written beside the event loop: it takes milliseconds.
MAX_ROWS_WRITTEN_HERE: Final = 500


class App:
    """Serves some models. Routes are a table of exact paths; a path that is not in it is not served (but see
    `route_of`)."""

    def __init__(
        self,
        apis: Mapping[str, Api],
        *,
        limits: Limits | None = None,
        access_log: Callable[[bytes], object] | None = None,
        guard: Guard | None = None,
        tracing: Tracing | None = None,
        more: Callable[[], Mapping[str, Route]] | None = None,
        coded: Mapping[str, Api] | None = None,
        tell: Callable[[], Sequence[str]] = list,
        find: Callable[[Mapping[str, Route], str], Route | None] = route_of,
    ) -> None:
        """`apis` are of models, `coded` of user code, whose routes are among `more`: routes beside those of the models.
        Call `changed` when they are others. `tell` gives lines for /metrics beside ours,
        `find` the route of a path that names one thing of many."""
        self.apis = apis
        self.coded: Mapping[str, Api] = {} if coded is None else coded
        self._tell = tell
        # Counts of what connections refused, by reason: see `Shared`.
        self.refusals: Mapping[str, int] | None = None
        self._find = find
        self.limits = limits or Limits()
        self.guard = guard or Guard()
        self._more = more
        self.routes: Mapping[str, Route] = {}
        self._pages: dict[str, tuple[tuple[object, ...], Response]] = {}
        self.changed()
        self._access_log = access_log
        self._tracing = tracing
        self._hosts: set[bytes | None] = set()

    def changed(self) -> None:
        """Draws the table of routes anew. Raises HandrailError for a name that cannot be served."""
        for name in self.apis:
            refuse_reserved(name)
        self.routes = self._table()
        if self._more is not None:
            self.routes = {**self.routes, **self._more()}
        self._pages.clear()

    def admit(self, request: Request) -> Response | None:
        """Whether a request is let in, as far as its head says; the answer to one that is not. Asked once for each
        request, before its body is read: it may use up some of what a key may ask."""
        try:
            return self._let_in(request)
        except Exception as error:
            return failure(error, request.id, plain=_wants_plain(request))

    def __call__(self, request: Request) -> Response | Later:
        """The answer to a request, or the promise of one. Never raises."""
        try:
            if request.endpoint is None and (page := self._let_in(request)):
                return page
            assert request.endpoint is not None
            answer = request.endpoint(request)
            return answer if type(answer) is Later else packed(answer, request.headers)  # type: ignore[arg-type]
        except Exception as error:
            return failure(error, request.id, plain=_wants_plain(request))

    def _let_in(self, request: Request) -> Response | None:
        """Finds what answers it; a page instead where a browser has no key. Raises what keeps it out."""
        host = request.headers.get(b"host")
        if host not in self._hosts:
            check_host(request.headers, self.limits)
            if len(self._hosts) < 100:
                self._hosts.add(host)
        check_origin(request.headers, request.method)
        path = request.path
        route = self.routes.get(path) or route_of(self.routes, path) or self._find(self.routes, path)
        guard = self.guard if route is None or route.guard is None else route.guard
        if page := guard.admit(request, None if route is None else route.policy):
            return page
        if route is None:
            raise self._unknown(path)
        request.endpoint = route.methods.get("GET" if request.method == "HEAD" else request.method)
        if request.endpoint is None:
            raise _not_allowed(route, request.method)
        return None

    def answered(self, request: Request, response: Response) -> None:
        """Told of every answer: writes the access log, and the span where traces are asked for."""
        if self._access_log is not None:
            self._access_log(line_of(request, response))
        if self._tracing is not None:
            self._tracing.answered(request, response)

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
            table[f"/{name}"] = Route("reader", {"GET": self.described(name)})
            table[f"/{name}/report"] = Route("reader", {"GET": _reporting(api)})
            table[f"/{name}/predict"] = Route("caller", {"POST": self._natively(api)})
        return {
            **table,
            **open_inference_routes(self.apis, self.predict),
            **tensorflow_serving_routes(self.apis, self.predict),
            **openai_routes(self.apis, self.predict),
            **generation_routes(self.apis, self.limits),
            **search_routes(self.apis, self.predict),
            **summary_routes(self.apis, self.predict),
        }

    def described(self, name: str) -> Endpoint:
        """What says what a model is, to programs and to people."""
        return _describing(self.apis[name])

    def _natively(self, api: Api) -> Endpoint:
        def predict(request: Request) -> Response | Later:
            options = native.options_of(request.query) if request.query else {}
            return self.predict(request, api.chosen(options.get("version"), request), _read_natively(options))

        return predict

    def predict(self, request: Request, version: Version, read: Reading, *, slow: bool = False) -> Later:
        """The answers of a version to what `read` finds in the request; counted, whatever becomes of it."""
        metrics, limits = version.metrics, version.limits or self.limits
        if version.copy is not None:
            version.copy(request, read)
        try:
            timeout_s = timeout_of(request.headers, limits)
            if slow or len(request.body) > limits.large_body_bytes or is_packed(request.headers):
                # Read beside the event loop, so that short requests pass meanwhile.
                work = asyncio.ensure_future(_read_aside(request, version, read, limits, timeout_s, slow=slow))
                later = Later(work, lambda done: self._finish(request, version, None, done))
            else:
                call = read(request, version, limits)
                future = _submitted(version, call, timeout_s)
                if len(call.values) > MAX_ROWS_WRITTEN_HERE:
                    work = asyncio.ensure_future(_written(request, version, call, future))
                    later = Later(work, lambda done: self._finish(request, version, None, done))
                else:
                    later = Later(future, lambda done: self._finish(request, version, call, done))
        except Exception as error:
            count(version, request, outcome_of(error), status_of(error))
            raise with_retry_after(error, version) from None
        metrics.in_flight += 1
        return later

    def _finish(self, request: Request, version: Version, call: Call | None, done: asyncio.Future[Any]) -> Response:
        """The response of what is done: answers that `call` writes, or, where that is None, the response itself."""
        metrics = version.metrics
        metrics.in_flight -= 1
        outcome = "left"
        response = Response(b"")
        if not done.cancelled():
            try:
                found = done.result()
                response = found if call is None else packed(call.write(found), request.headers)
                if version.watch is not None and call is not None:
                    version.watch(request, call, found)
                outcome = "answered"
            except Exception as error:
                outcome = outcome_of(error)
                response = failure(with_retry_after(error, version), request.id, plain=_wants_plain(request))
        count(version, request, outcome, response.status)
        return response

    def _index(self, request: Request) -> Response:
        described = [api.current.description for api in self.apis.values()]
        if request.wants_html:
            return Response(index_page(described), HTML, headers=PAGE_POLICY)
        shown = ("name", "version", "task", "predict", "report")
        models = [{key: one[key] for key in shown} for one in described]
        return Response(orjson.dumps({"models": models, "openapi": "/openapi.json", "docs": "/docs"}))

    def _openapi(self, request: Request) -> Response:
        return self._drawn("openapi", lambda document: Response(orjson.dumps(document)))

    def _docs(self, request: Request) -> Response:
        return self._drawn("docs", lambda document: Response(docs_page(document), HTML, headers=DOCS_POLICY))

    def _drawn(self, name: str, draw: Callable[[dict[str, Any]], Response]) -> Response:
        """What is drawn from the OpenAPI document, drawn once for the versions that are current."""
        seen = (self.guard.asks, *(api.current for api in self.apis.values()))
        kept = self._pages.get(name)
        if kept is None or kept[0] != seen:
            kept = (seen, draw(self._document()))
            self._pages[name] = kept
        return kept[1]

    def _document(self) -> dict[str, Any]:
        described = [api.current.description for api in self.apis.values()]
        more = {path: route.about for path, route in self.routes.items() if route.about}
        return openapi(described, self.limits, asks=self.guard.asks, more=more)

    def _metrics(self, request: Request) -> Response:
        apis = (*self.apis.values(), *self.coded.values())
        text = written([version.seen() for api in apis for version in api.versions.values()], self.refusals)
        writing = [(one.seen().labels, one.streams) for api in self.apis.values() for one in api.versions.values()]
        lines = generation_lines((labels, streams) for labels, streams in writing if streams is not None)
        text += "".join(f"{line}\n" for line in (*lines, *self._tell()))
        return Response(text.encode(), b"text/plain; version=0.0.4; charset=utf-8")

    def _health(self, request: Request) -> Response:
        return Response(b"ok\n", TEXT)

    def _readiness(self, request: Request) -> Response:
        apis = {**self.apis, **self.coded}
        ready = all(api.is_ready for api in apis.values())
        told: dict[str, Any] = {"ready": ready}
        if not self.guard.asks:  # anyone may ask here: where there are keys, which models there are is not said
            told["models"] = {name: api.current.pool.state() for name, api in apis.items()}
        return Response(orjson.dumps(told)) if ready else Response(orjson.dumps(told), status=503, headers=(SOON,))

    def _unknown(self, path: str) -> HandrailError:
        name = path.strip("/").split("/")[0]
        hint = did_you_mean(name, self.apis).strip() if MODEL_NAME.fullmatch(name) else ""
        return HandrailError("not_found", "nothing is served at this path", hint or f"served: {listed(self.apis)}")


def refuse_reserved(name: str) -> None:
    """Raises HandrailError for the name of a route of the server's own."""
    if name in TAKEN:
        raise HandrailError("usage", f"a model called '{name}' cannot be served", "give it another name")


def _wants_plain(request: Request) -> bool:
    return request.path.startswith("/v2/")


def _submitted(version: Version, call: Call, timeout_s: float) -> asyncio.Future[list[bytes]]:
    if call.rows is not None:
        return version.batcher.submit(call.rows, timeout_s=timeout_s, do="explain")
    return version.batcher.submit(call.values, timeout_s=timeout_s)


async def _read_aside(
    request: Request, version: Version, read: Reading, limits: Limits, timeout_s: float, *, slow: bool
) -> Response:
    def unpacked_and_read() -> Call:
        if is_packed(request.headers):
            request.body = unpacked(request.body, request.headers, limits)
        return read(request, version, limits)

    call = await asyncio.to_thread(unpacked_and_read)
    return await _written(request, version, call, _submitted(version, call, timeout_s), slow=slow)


async def _written(
    request: Request, version: Version, call: Call, future: asyncio.Future[list[bytes]], *, slow: bool = False
) -> Response:
    answers, headers = await future, request.headers
    if version.watch is not None:
        version.watch(request, call, answers)
    if slow or len(answers) > MAX_ROWS_WRITTEN_HERE:
        return await asyncio.to_thread(lambda: packed(call.write(answers), headers))
    return packed(call.write(answers), headers)


def _read_natively(options: dict[str, str]) -> Reading:
    def read(request: Request, version: Version, limits: Limits) -> Call:
        return native.call_of(request.body, request.headers, options, version.signature, version.check, limits)

    return read


def _not_allowed(route: Route, method: str) -> Refused:
    allowed = listed([*route.methods, *(["HEAD"] if "GET" in route.methods else [])])
    error = HandrailError("method", f"{method[:20]} is not answered here", f"here: {allowed}")
    return Refused(405, error, (b"allow", allowed.encode()))


def _describing(api: Api) -> Endpoint:
    def describe(request: Request) -> Response:
        described = api.current.description
        if request.wants_html and api.current.streams is not None:
            manifest = api.current.model.manifest
            # Who learnt prose was taught on a base that may have chatted before.
            chats = TEMPLATE in manifest.files and bool(manifest.plan.get("dialogue", True))
            page = writing_page(
                described, asdict(own_settings(api.current.model)), chats=chats,
                reports="report.html" in manifest.files,
            )  # fmt: skip
            return Response(page, HTML, headers=WRITING_POLICY)
        if request.wants_html:
            return Response(model_page(described, api.current.signature), HTML, headers=PAGE_POLICY)
        return Response(orjson.dumps(described))

    return describe


def _reporting(api: Api) -> Endpoint:
    def report(request: Request) -> Later:
        bundle = api.current.model.bundle
        if "report.html" not in bundle.manifest.files:
            raise HandrailError("not_found", "this model has no report", f"see /{api.name}")
        return aside(request, asyncio.to_thread(bundle.read, "report.html"), _report)

    return report


def _report(content: bytes) -> Response:
    return Response(content, HTML, headers=REPORT_POLICY)


def aside(request: Request, work: Awaitable[Any], write: Callable[[Any], Response]) -> Later:
    """An answer made of what an awaitable gives."""

    def finish(done: asyncio.Future[Any]) -> Response:
        if done.cancelled():
            return Response(b"")
        try:
            return write(done.result())
        except Exception as error:
            return failure(error, request.id)

    return Later(asyncio.ensure_future(work), finish)
