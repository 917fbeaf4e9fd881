"""Watched predictions over HTTP, in Prometheus' text, and on the terminal."""

from __future__ import annotations

import contextlib
import gzip
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from handrail.model import Model
from handrail.serve.app import App, aside
from handrail.serve.formats.rows import compiled
from handrail.serve.http import Request, Response
from handrail.serve.limits import Limits
from handrail.serve.watching import prometheus, saw_reply, watch_of, watching_routes
from handrail.watch import watcher
from handrail.watch.feedback import Right
from handrail.watch.watcher import Watcher
from tests.faces.conftest import Cli
from tests.serve.bundles import ROWS, make_bundle
from tests.serve.served import Ask, within
from tests.watch.watched import PRICE, Asked, checked, columns, everything_in, label, profile, watching


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for more to come."""
    monkeypatch.setattr(watcher, "GATHER_S", 0.01)
    monkeypatch.setattr(watcher, "PAUSE_S", 0.0)
    monkeypatch.setattr(watcher, "REFRESH_S", 0.05)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "churn")


@pytest.fixture
def watched(home: Path, model: Model) -> Iterator[Watcher]:
    found = Watcher(home, "churn", Asked(sample=1.0), model.signature)  # type: ignore[arg-type]
    yield found
    found.close()


def asking(model: Model, watched: Watcher, act: Callable[[Ask], Awaitable[None]], limits: Limits | None = None) -> None:
    """A gateway whose predictions are watched; the prediction's rows are `one` (yes, no, …) and `many`."""
    values, answers = compiled(model.signature)(ROWS), [orjson.dumps(answer) for answer in model(ROWS)]
    watched.seen(b"one", [values[0]], [answers[0]])
    watched.seen(b"many", values, answers)

    async def run(ask: Ask, app: App) -> None:
        app.routes.update(watching_routes({"churn": lambda: [watched]}, limits or Limits(), aside))
        await act(ask)

    within(model, run)


def test_feedback_is_kept_and_seen_in_monitoring(model: Model, watched: Watcher) -> None:
    async def act(ask: Ask) -> None:
        asked = await ask("POST", "/churn/feedback", {"id": "one", "answer": "yes"})
        assert (asked.status, asked.json) == (200, {"accepted": 1, "unknown": [], "unknown_count": 0})
        both = [{"id": "one", "answer": "no"}, {"id": "many", "answer": ["yes", "no", None]}]
        assert (await ask("POST", "/churn/feedback", both)).json["accepted"] == 3
        assert (await ask("POST", "/churn/feedback", {"id": "many", "row": 3, "answer": "no"})).json["accepted"] == 1
        told = (await ask("GET", "/churn/monitoring")).json
        assert (told["requests"], told["rows"], told["feedback"]) == (2, 4, 4)
        assert told["accuracy"]["rows"] == 4

    asking(model, watched, act)


@pytest.mark.parametrize(
    "body",
    [
        b"request_id,answer\none,yes\n",
        b"id,answer\r\none,yes\r\n",
        b"request_id,row,truth\nmany,2,no\nmany,3,yes\none,,no\n",
    ],
)
def test_feedback_may_be_a_table(model: Model, watched: Watcher, body: bytes) -> None:
    async def act(ask: Ask) -> None:
        asked = await ask("POST", "/churn/feedback", body, content_type="text/csv; charset=utf-8")
        assert (asked.status, asked.json["accepted"]) == (200, body.count(b"\n") - 1)
        packed = gzip.compress(body)
        again = await ask("POST", "/churn/feedback", packed, content_type="text/csv", content_encoding="gzip")
        assert again.json == asked.json

    asking(model, watched, act)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"id": "two", "answer": "yes"}, 404, "no prediction with the id 'two' is remembered"),
        ({"id": "one", "answer": "maybe"}, 422, "expected one of no, yes, received"),
        ({"id": "one"}, 422, "feedback 1: expected an object with id and answer"),
        ([{"id": "one", "answer": "yes"}, "one"], 422, "feedback 2: expected an object with id and answer"),
        ({"id": "one", "answer": "yes", "sure": 1}, 422, "expected an object with id and answer"),
        ({"id": 1, "answer": "yes"}, 422, "expected the id of a request"),
        ({"id": "x" * 65, "answer": "yes"}, 422, "expected the id of a request"),
        ({"id": "one", "answer": "yes", "row": 0}, 422, "expected a row, 1 for the first"),
        ({"id": "one", "answer": "yes", "row": True}, 422, "expected a row, 1 for the first"),
        ({"id": "many", "answer": "yes"}, 422, "it had 3 rows"),
        ([], 422, "no feedback"),
        ([{"id": "one", "answer": "yes"}] * 11, 413, "at most 10 right answers"),
        (b"{", 400, "not JSON"),
        (b'{"id": "one", "id": "two", "answer": "yes"}', 400, "names one field twice"),
        (b"", 400, "the body is empty"),
        (None, 400, "the body is empty"),
    ],
)
def test_feedback_that_is_off_is_refused_in_the_one_shape(
    model: Model, watched: Watcher, body: Any, status: int, said: str
) -> None:
    async def act(ask: Ask) -> None:
        asked = await ask("POST", "/churn/feedback", body)
        assert (asked.status, asked.json["error"]["request_id"]) == (status, asked.headers["x-request-id"])
        assert said in asked.json["error"]["message"]
        assert (await ask("GET", "/churn/monitoring")).json["feedback"] == 0

    asking(model, watched, act, Limits(max_rows=10))


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b"who,what\none,yes\n", "text/csv", 422, "expected the columns request_id and answer, received who, what"),
        (b"request_id,answer,row\none,yes,first\n", "text/csv", 422, "expected a row, 1 for the first"),
        (b"request_id,answer\n,yes\n", "text/csv", 422, "expected the id of a request"),
        (b"one,yes", "text/plain", 415, "content-type text/plain is not read here"),
        (b"\xff\xfe", "application/json", 400, "not UTF-8"),
    ],
)
def test_tables_that_are_off_are_refused(
    model: Model, watched: Watcher, body: bytes, kind: str, status: int, said: str
) -> None:
    async def act(ask: Ask) -> None:
        asked = await ask("POST", "/churn/feedback", body, content_type=kind)
        assert (asked.status, said in asked.json["error"]["message"]) == (status, True), asked.json

    asking(model, watched, act)


def test_predictions_are_watched_and_explanations_are_not(model: Model, watched: Watcher) -> None:
    async def act(ask: Ask, app: App) -> None:
        app.apis["churn"].current.watch = watch_of(watched)
        app.routes.update(watching_routes({"churn": lambda: [watched]}, Limits(), aside))  # type: ignore[attr-defined]
        asked = await ask("POST", "/churn/predict", ROWS, x_request_id="mine")
        assert asked.json == model(ROWS)
        await ask("POST", "/churn/predict", ROWS[0], query="explain=true")
        await ask("POST", "/churn/predict", gzip.compress(json.dumps(ROWS).encode()), content_encoding="gzip")
        assert (await ask("POST", "/churn/feedback", {"id": "mine", "answer": ["yes"] * 3})).json["accepted"] == 3
        told = (await ask("GET", "/churn/monitoring")).json
        assert (told["requests"], told["rows"], told["samples"]["kept"]) == (2, 6, 6)

    within(model, act)


def test_replies_of_somebodys_own_code_are_watched(home: Path) -> None:
    def request(body: bytes, name: bytes) -> Request:
        return Request("POST", "/iris/predict", b"", {}, body, "", name, 0.0)

    asked = Asked("classification", sample=1.0, redact=("card",))
    with watching(home, asked, signature=None) as watched:
        saw_reply(
            watched, request(b'{"x": 1, "card": "SECRET"}', b"one"), Response(b"setosa", b"text/plain; charset=utf-8")
        )
        saw_reply(watched, request(b"\xff\xd8 a picture", b"two"), Response(b'"virginica"'))
        saw_reply(watched, request(b"{}", b"three"), Response(b'{"error": {}}', status=500))
        saw_reply(watched, request(b"{}", b"four"), Response(b"\xff\xd8", b"image/jpeg"))
        told = watched.report()
        content = everything_in(home)
    assert told["classes"] == {"setosa": 1, "virginica": 1}
    assert (told["requests"], told["uncounted"], told["samples"]["kept"]) == (3, 1, 2)
    assert b"SECRET" not in content


def test_other_methods_are_not_answered(model: Model, watched: Watcher) -> None:
    async def act(ask: Ask) -> None:
        assert (await ask("GET", "/churn/feedback")).status == 405
        assert (await ask("POST", "/churn/monitoring", {})).status == 405

    asking(model, watched, act)


def test_a_disk_that_cannot_be_written_is_told_to_who_asks(model: Model, home: Path) -> None:
    home.mkdir()
    (home / "watch").write_text("a file stands in the way")
    found = Watcher(home, "churn", Asked(), model.signature)  # type: ignore[arg-type]

    async def act(ask: Ask) -> None:
        for method, path, body in (("GET", "monitoring", None), ("POST", "feedback", {"id": "one", "answer": "no"})):
            asked = await ask(method, f"/churn/{path}", body)
            assert (asked.status, asked.json["error"]["code"]) == (503, "environment")
            assert str(home) not in asked.body.decode()

    asking(model, found, act)
    found.close()


def until_told(is_told: Callable[[], bool]) -> None:
    """Waits for the watchers' threads to have told all; what they tell may be some seconds old."""
    ending = time.monotonic() + 30
    while time.monotonic() < ending:
        with contextlib.suppress(KeyError):
            if is_told():
                return
        time.sleep(0.02)
    pytest.fail("the watchers did not tell everything in 30 s")


def test_prometheus_has_every_number_and_a_bounded_number_of_lines(home: Path) -> None:
    assert prometheus([]) == []
    with (
        watching(home / "one", Asked("classification", "city"), signature=None) as one,
        watching(home / "other", Asked(), profile=profile()) as other,
        watching(home / "third", signature=PRICE) as third,
    ):
        assert not [line for line in prometheus([one, other]) if "churn" in line]
        one.api, other.api, third.api = "one", "other", "third"
        for place in range(90):
            one.seen(b"id", None, [orjson.dumps({"city": f'c"{place}\n'})])
        one.feedback([Right("id", "x")])
        for row in checked(columns(120)):
            other.seen(b"id", [row], [label("no")])
        third.seen(b"id", None, [b'{"value":2.5}'])
        until_told(lambda: one.status()["feedback"] == 1 and one.status()["rows"] == 90)
        until_told(lambda: other.status()["rows"] == 120 and third.status()["rows"] == 1)
        lines = prometheus([one, other, third])
    assert 'handrail_watched_rows_total{model="one"} 90' in lines
    assert sum(line.startswith("handrail_predicted_total{") and 'model="one"' in line for line in lines) == 21
    assert 'class="c\\"0\\n"' in "\n".join(lines)
    assert all("\n" not in line for line in lines)
    assert 'handrail_live_accuracy{model="one"} 0.0' in lines
    assert any(line.startswith('handrail_drift_psi{model="other",column="age",what="value"}') for line in lines)
    assert 'handrail_predicted_sum{model="third"} 2.5' in lines
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families))
    assert len(lines) < 120


def test_the_terminal_shows_counts_drift_and_accuracy(home: Path, cli: Cli) -> None:
    with watching(home, Asked(sample=1.0), profile=profile()) as watched:
        for part in range(4):
            for place, row in enumerate(checked(columns(100, part, shift=15.0))):
                watched.seen(b"id-%d" % place, [row], [label("yes" if place % 4 else "no")])
            watched.flush()
            watched._room = watcher.EXAMINED_ROWS
        watched.feedback([Right("id-1", "yes"), Right("id-2", "no")])
        done = cli("monitor", "churn")
        as_json = json.loads(cli("monitor", "churn", "--json").out)
    assert done.status == 0
    assert "churn: 400 requests, 400 rows" in done.out
    assert "yes  300  75.0%  ██████████████████" in done.out
    assert "churn@1: 50.0% right" in done.out
    assert "much: 400 rows of late against the training data" in done.out
    assert "kept: 100 inputs" in done.out
    assert (as_json["api"], as_json["drift"]["judged"]) == ("churn", "much")


def test_the_terminal_shows_the_range_of_numbers(home: Path, cli: Cli) -> None:
    with watching(home, signature=PRICE) as watched:
        for value in (1.0, 2.0, 6.0):
            watched.seen(b"id", None, [orjson.dumps({"value": value})])
        watched.feedback([Right("id", 5)])
        done = cli("monitor", "churn")
    assert [line.split() for line in done.out.splitlines() if line.startswith(("min", "mean", "max"))] == [
        ["min", "1"], ["mean", "3"], ["max", "6"],
    ]  # fmt: skip
    assert "off by 1 on average (RMSE 1), 1 row" in done.out
    assert "the model does not know what its training data look like" in done.out


def test_what_is_not_watched_is_said_with_the_nearest_name(home: Path, cli: Cli) -> None:
    none = cli("monitor", "churn")
    assert (none.status, "nothing is kept of 'churn'" in none.err) == (4, True)
    with watching(home) as watched:
        watched.seen(b"id", None, [label("no")])
        watched.flush()
        near = cli("monitor", "chrun")
    assert "Did you mean 'churn'?" in near.err
    assert cli("monitor", "../churn").status == 2
