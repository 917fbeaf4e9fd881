"""Watched predictions over HTTP: right answers by request id, what is known of an API, its numbers for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import orjson

from handrail.core.errors import HandrailError, listed
from handrail.data.read import read_bytes
from handrail.serve.api import Watch
from handrail.serve.encodings import is_packed, unpacked
from handrail.serve.formats import json
from handrail.serve.formats.call import Call
from handrail.serve.http import JSON, Headers, Later, Request, Response
from handrail.serve.limits import Limits
from handrail.serve.openapi_engine import feedback_taken, monitoring_told
from handrail.serve.routes import Route
from handrail.watch.feedback import Right
from handrail.watch.watcher import Watcher

__all__ = ["Watcher", "prometheus", "rights_in", "saw_reply", "watch_of", "watching_routes"]

# The watchers of an API that are open, that of its current version first.
Watchers = Callable[[], Sequence[Watcher]]
# `app.aside`: an answer made of what an awaitable gives.
Aside = Callable[[Request, Awaitable[Any], Callable[[Any], Response]], Later]
CSV: Final = b"text/csv"
LONGEST_ID: Final = 64
LONGEST_TEXT: Final = 1_000
ID_NAMES: Final = ("request_id", "id")
ANSWER_NAMES: Final = ("answer", "right_answer", "truth", "label")
SAMPLE: Final = '{"id": "the x-request-id of an answer", "answer": "the right answer"}'
# Lines for one API at most: classes, and columns that drift.
MOST_CLASSES: Final = 20
MOST_COLUMNS: Final = 20


def watch_of(watcher: Watcher) -> Watch:
    """What a version of a model calls for each answer (`Version.watch`). Explanations are no predictions."""
    seen = watcher.seen

    def watch(request: Request, call: Call, answers: Sequence[bytes]) -> None:
        if call.rows is None:
            seen(request.id, call.values, answers)

    return watch


def saw_reply(watcher: Watcher, request: Request, response: Response) -> None:
    """The same for somebody's own code: of what it answers, JSON and short texts are looked at; failures are not."""
    if not HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
        return
    answer = response.body
    if response.content_type.startswith(b"text/plain") and len(answer) <= LONGEST_TEXT:
        answer = orjson.dumps(answer.decode("utf-8", "replace"))
    watcher.seen(request.id, [request.body], [answer])


def watching_routes(watched: Mapping[str, Watchers], limits: Limits, aside: Aside) -> dict[str, Route]:
    """`POST /NAME/feedback` and `GET /NAME/monitoring` for each API that is watched."""
    table = {}
    for name, watchers in watched.items():
        table[f"/{name}/feedback"] = Route(
            "caller", {"POST": _feedback(watchers, limits, aside)}, about=feedback_taken(name)
        )
        table[f"/{name}/monitoring"] = Route(
            "reader", {"GET": _monitoring(watchers, aside)}, about=monitoring_told(name)
        )
    return table


def rights_in(body: bytes, headers: Headers, limits: Limits) -> list[Right]:
    """The right answers in a body: one JSON object, a list of them, or CSV with `request_id` and `answer`.

    Raises HandrailError or Refused that says what is off, and where.
    """
    if is_packed(headers):
        body = unpacked(body, headers, limits)
    kind = headers.get(b"content-type", b"").lower().partition(b";")[0].strip()
    if kind == CSV:
        given = _rows_of_table(body)
    elif kind == JSON:
        value = json.parsed(body)
        given = value if isinstance(value, list) else [value]
    else:
        shown = kind.decode("latin-1")[:80] or "none"
        raise HandrailError("media_type", f"content-type {shown} is not read here", "send application/json or text/csv")
    if not given:
        raise HandrailError("data", "no feedback", f"send {SAMPLE}")
    if len(given) > limits.max_rows:
        raise HandrailError("too_large", f"at most {limits.max_rows:,} right answers", "send fewer at a time")
    return [_right(one, place) for place, one in enumerate(given, start=1)]


def prometheus(watchers: Iterable[Watcher]) -> list[str]:
    """The numbers of watched APIs as lines of Prometheus' text, family by family. Never waits for a disk."""
    told = {watcher.api: watcher.status() for watcher in watchers}
    lines: list[str] = []
    for name, (kind, meaning, samples) in _FAMILIES.items():
        family = f"handrail_{name}"
        found = [
            f"{family}{{{','.join([f'model={_quoted(api)}', *labels])}}} {value}"
            for api, one in told.items()
            if one
            for labels, value in samples(one)
        ]
        if found:
            lines += [f"# HELP {family} {meaning}", f"# TYPE {family} {kind}", *found]
    return lines


def _feedback(watchers: Watchers, limits: Limits, aside: Aside) -> Callable[[Request], Later]:
    def keep(request: Request) -> bytes:
        given = rights_in(request.body, request.headers, limits)
        current, *others = watchers()
        for other in others:
            other.flush()
        return orjson.dumps(current.feedback(given))

    return lambda request: aside(request, asyncio.to_thread(keep, request), Response)


def _monitoring(watchers: Watchers, aside: Aside) -> Callable[[Request], Later]:
    def tell() -> bytes:
        current, *others = watchers()
        for other in others:
            other.flush()
        return orjson.dumps(current.report())

    return lambda request: aside(request, asyncio.to_thread(tell), Response)


def _rows_of_table(body: bytes) -> list[dict[str, Any]]:
    table = read_bytes(body, "body.csv", header=True)
    ids = next((name for name in ID_NAMES if name in table.columns), None)
    answers = next((name for name in ANSWER_NAMES if name in table.columns), None)
    if ids is None or answers is None:
        problem = f"expected the columns request_id and answer, received {listed(table.columns)}"
        raise HandrailError("data", problem, "name the columns request_id,answer (and row, where requests had several)")
    rows = table.columns.get("row", [None] * len(table))
    columns = zip(table.columns[ids], table.columns[answers], rows, strict=True)
    return [{"id": _text(one), "answer": answer, "row": _row_of(row)} for one, answer, row in columns]


def _right(value: Any, place: int) -> Right:
    known = {"id", "answer", "row"}
    if not isinstance(value, dict) or not {"id", "answer"} <= value.keys() <= known:
        problem = f"feedback {place}: expected an object with id and answer (and row)"
        raise HandrailError("data", problem, f"send {SAMPLE}")
    request_id, row = value["id"], value.get("row")
    if not isinstance(request_id, str) or not 0 < len(request_id) <= LONGEST_ID:
        problem = f"feedback {place}: expected the id of a request, a text of 1 to {LONGEST_ID} letters"
        raise HandrailError("data", problem, "the header x-request-id of an answer has it", field="id")
    if row is not None and (type(row) is not int or row < 1):
        problem = f"feedback {place}: expected a row, 1 for the first"
        raise HandrailError("data", problem, "leave row out where a request had one", field="row")
    return Right(request_id, value["answer"], row)


def _row_of(cell: Any) -> Any:
    text = _text(cell)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else (cell if text else None)


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()


Samples = Callable[[dict[str, Any]], Iterator[tuple[list[str], float]]]


def _one(*keys: str) -> Samples:
    """A number of a summary, where it has one."""

    def sample(told: dict[str, Any]) -> Iterator[tuple[list[str], float]]:
        value: Any = told
        for key in keys:
            value = value.get(key) if value else None
        if value is not None:
            yield [], value

    return sample


def _classes(told: dict[str, Any]) -> Iterator[tuple[list[str], float]]:
    counts = list((told["classes"] or {}).items())
    for word, count in counts[:MOST_CLASSES]:
        yield [f"class={_quoted(word)}"], count
    if rest := told["other_classes"] + sum(count for _, count in counts[MOST_CLASSES:]):
        yield ['class=""'], rest


def _drift(told: dict[str, Any]) -> Iterator[tuple[list[str], float]]:
    for one in told["drift"]["columns"][:MOST_COLUMNS]:
        yield [f"column={_quoted(one['column'] or '')}", f"what={_quoted(one['what'])}"], one["psi"]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _sum(told: dict[str, Any]) -> Iterator[tuple[list[str], float]]:
    if numbers := told["numbers"]:
        yield [], numbers["mean"] * numbers["count"]


_FAMILIES: Final[dict[str, tuple[str, str, Samples]]] = {
    "watched_rows_total": ("counter", "Rows answered while watched.", _one("rows")),
    "watch_dropped_total": ("counter", "Requests that were answered and not watched.", _one("dropped")),
    "predicted_total": ("counter", 'Answers by class; "" is every other class.', _classes),
    "predicted_sum": ("counter", "Sum of the numbers answered.", _sum),
    "predicted_count": ("counter", "Numbers answered.", _one("numbers", "count")),
    "predicted_min": ("gauge", "Smallest number answered.", _one("numbers", "min")),
    "predicted_max": ("gauge", "Largest number answered.", _one("numbers", "max")),
    "samples_kept": ("gauge", "Rows whose inputs are kept.", _one("samples", "kept")),
    "feedback_rows": ("gauge", "Rows with a right answer.", _one("feedback")),
    "live_accuracy": ("gauge", "Share of answers that were right.", _one("accuracy", "accuracy")),
    "live_mae": ("gauge", "Mean absolute error of answers.", _one("accuracy", "mae")),
    "drift_rows": ("gauge", "Rows of late that are compared with the training data.", _one("drift", "rows")),
    "drift_psi": ("gauge", "Population stability index against the training data.", _drift),
}  # fmt: skip
