"""A span of OpenTelemetry for each answer: an extra; where it is not asked for, nothing of it is imported."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from handrail.core.errors import HandrailError
from handrail.serve.http import Request, Response


class Tracing:
    """Spans of one gateway, in the trace that a request's `traceparent` names, else in one of their own.

    `tracer` makes them; where they go is OpenTelemetry's own affair (OTEL_EXPORTER_OTLP_ENDPOINT and its kin).
    """

    def __init__(self, tracer: Any, close: Callable[[], None]) -> None:
        from opentelemetry.trace import SpanKind, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = tracer
        self.close = close
        self._kind = SpanKind.SERVER
        self._error = StatusCode.ERROR
        self._parent = TraceContextTextMapPropagator().extract

    def answered(self, request: Request, response: Response) -> None:
        """One span, from the whole request to its answer. Names and attributes hold no data of anybody's."""
        ended_ns = time.time_ns()
        taken_ns = int((time.perf_counter() - request.started) * 1e9)
        given = {name.decode(): request.headers[name].decode("latin-1") for name in TRACE if name in request.headers}
        span = self._tracer.start_span(
            f"{request.method} {request.path[:200]}",
            context=self._parent(given) if given else None,
            kind=self._kind,
            start_time=ended_ns - taken_ns,
            attributes={
                "http.request.method": request.method,
                "url.path": request.path[:500],
                "http.response.status_code": response.status,
                "http.response.body.size": response.size,
                "handrail.request_id": request.id.decode(),
            },
        )
        if response.status >= 500:
            span.set_status(self._error)
        span.end(end_time=ended_ns)


TRACE = (b"traceparent", b"tracestate")


def tracing_by_environment() -> Tracing:
    """Spans sent as the environment says (OTEL_*). Raises HandrailError where the extra is not installed."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        problem = "tracing is not installed"
        raise HandrailError("environment", problem, "pip install 'handrail[otel]'", field="traces") from error
    # OTEL_SERVICE_NAME has the last word on the name.
    provider = TracerProvider(resource=Resource.create({"service.name": "handrail"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider.get_tracer("handrail"), provider.shutdown)
