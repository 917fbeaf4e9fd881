"""User code behind an API: what is known of a version of it, and its routes. Requests go to it as they came."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from handrail.serve.api import Api, Copy, Watch
from handrail.serve.batcher import Batcher
from handrail.serve.formats.call import Call
from handrail.serve.formats.predictor import packed, response_of
from handrail.serve.guard import Guard
from handrail.serve.http import Later, Request, Response
from handrail.serve.limits import Limits
from handrail.serve.messages import Header
from handrail.serve.metrics import Metrics, Seen
from handrail.serve.openapi_engine import code_asked, code_described
from handrail.serve.pool import Pool
from handrail.serve.quantiles import Recent
from handrail.serve.routes import Predict, Route
from handrail.serve.user_metrics import UserMetrics


@dataclass(eq=False)
class CodeVersion:
    """One version of user code as it is served: what a `Version` is for a model, without a signature."""

    name: str
    number: str
    batcher: Batcher
    pool: Pool
    metrics: Metrics
    limits: Limits | None = None
    recent: Recent = field(default_factory=Recent)
    watch: Watch | None = None
    copy: Copy | None = None

    def seen(self) -> Seen:
        """What is counted of it, and how it stands now."""
        pool = self.pool
        return Seen(self.name, self.number, self.metrics, pool.ready, self.batcher.waiting, pool.memory_bytes())

    def hear(self, told: UserMetrics) -> None:
        """From now on what its replies say beside their answers is kept: metrics, and that memory ran out."""

        def heard(header: Header) -> None:
            told.take(self.name, header)
            for problem in header["failed"].values():
                if problem["field"] == "mem":
                    self.pool.last_failure = f"a request failed: {problem['problem']}"

        self.batcher.heard = heard

    @property
    def description(self) -> dict[str, Any]:
        """What a program may want to know of it."""
        return {"name": self.name, "version": int(self.number), "task": "predictor", "predict": f"/{self.name}/predict"}


def coded_routes(
    apis: Mapping[str, Api], predict: Predict, answered: Callable[[Request, Response], None], guard: Guard
) -> dict[str, Route]:
    """`POST /NAME` and `POST /NAME/predict` of each API of user code; `GET /NAME` says what it is.

    `answered` is told of every reply. Where `guard` asks for keys, they are none of the code's business.
    """
    table = {}
    for name, api in apis.items():
        ask = _asking(api, predict, answered, guard)
        table[f"/{name}"] = Route("caller", {"GET": _describing(api), "POST": ask}, about=code_described(name))
        table[f"/{name}/predict"] = Route("caller", {"POST": ask}, about=code_asked(name))
    return table


def _asking(
    api: Api, predict: Predict, answered: Callable[[Request, Response], None], guard: Guard
) -> Callable[[Request], Later]:
    def read(request: Request, version: Any, limits: Limits) -> Call:
        headers = request.headers
        if guard.asks:
            headers = {name: value for name, value in headers.items() if name != b"authorization"}
        row = packed(request.method, request.path, request.query, headers, request.body, request.id)

        def write(answers: Sequence[bytes]) -> Response:
            response = response_of(answers[0])
            answered(request, response)
            return response

        return Call([row], write)  # type: ignore[list-item]

    return lambda request: predict(request, api.chosen(None, request), read)


def _describing(api: Api) -> Callable[[Request], Response]:
    return lambda request: Response(orjson.dumps(api.current.description))
