"""Spans for answers, where OpenTelemetry is asked for."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from handrail.model import Model
from handrail.serve.app import App
from handrail.serve.tracing import Tracing
from tests.serve.bundles import ROW
from tests.serve.served import Ask, serving, within

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_an_answer_is_a_span_in_the_trace_of_its_request(model: Model) -> None:
    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))

    async def act(ask: Ask, app: App) -> None:
        await ask("POST", "/churn/predict", ROW, traceparent=f"00-{TRACE}-{PARENT}-01")
        await ask("POST", "/churn/predict", {"age": "x"}, traceparent="nonsense")

    within(model, act, tracing=Tracing(provider.get_tracer("test"), provider.shutdown))
    first, second = kept.get_finished_spans()
    assert format(first.context.trace_id, "032x") == TRACE
    assert first.parent is not None
    assert format(first.parent.span_id, "016x") == PARENT
    assert first.attributes is not None
    assert first.attributes["http.response.status_code"] == 200
    assert 0 < first.end_time - first.start_time < 20e9  # type: ignore[operator]
    assert second.parent is None
    assert second.attributes is not None
    assert second.attributes["http.response.status_code"] == 422


def test_traces_without_the_extra_say_what_to_install(model: Model) -> None:
    with pytest.raises(RuntimeError, match=r"handrail\[otel\]"), serving(model.bundle.path, traces=True):
        pass
