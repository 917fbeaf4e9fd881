"""What the gateway answers, asked without a network."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace

import pytest

from handrail.core.errors import HandrailError
from handrail.core.field import Field
from handrail.model import Model
from handrail.serve.app import App
from handrail.serve.limits import Limits
from tests.serve.bundles import FIELDS, ROW, ROWS, make_bundle
from tests.serve.served import Ask, within

# What other protocols ask for instead of a row.
BODIES = {
    "/v2/models/churn/infer": {
        "inputs": [
            {"name": "plan", "datatype": "BYTES", "shape": [1], "data": ["pro"]},
            {"name": "active", "datatype": "BOOL", "shape": [1], "data": [True]},
        ]
    },
    "/v1/models/churn:predict": {"instances": [ROW]},
    "/v1/embeddings": {"model": "churn", "input": "a text"},
}


def test_a_row_gives_an_answer_and_a_list_gives_a_list(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        assert (await ask("POST", "/churn/predict", ROW)).json == model(ROW)
        assert (await ask("POST", "/churn/predict", [ROW])).json == [model(ROW)]
        assert (await ask("POST", "/churn/predict", ROWS)).json == model(ROWS)
        assert (await ask("POST", "/churn/predict", {"rows": ROWS})).json == model(ROWS)

    within(model, act)


def test_more_rows_than_a_batch_come_back_in_order(model: Model) -> None:
    rows = [{**ROW, "age": age % 90} for age in range(1_500)]

    async def act(ask: Ask, app: App) -> None:
        assert (await ask("POST", "/churn/predict", rows)).json == model(rows)

    within(model, act)


def test_csv_gives_a_list(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        body = b"plan,age,active\npro,30,yes\nbasic,,no\n"
        asked = await ask("POST", "/churn/predict", body, content_type="text/csv; charset=utf-8")
        assert asked.json == model([ROW, ROWS[1]])
        asked = await ask("POST", "/churn/predict", b"age,plan\n3,pro\n", content_type="text/csv")
        assert (asked.status, asked.json["error"]["field"]) == (422, "active")

    within(model, act)


def test_a_bare_text_is_a_row_only_where_a_model_takes_one_text(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        assert (await ask("POST", "/churn/predict", "hello")).status == 422
        assert (await ask("POST", "/churn/predict", b"hello", content_type="text/plain")).status == 415

    within(model, act)


def test_off_rows_are_named_with_their_fields(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        asked = await ask("POST", "/churn/predict", [ROW, {"age": "old", "plan": "pro", "activ": True}])
        error = asked.json["error"]
        assert asked.status == 422
        assert "row 2: field 'age': expected a number, received 'old'" in error["message"]
        assert "field 'active' is missing" in error["message"]
        assert "did you mean 'active'?" in error["message"]
        assert error["request_id"] == asked.headers["x-request-id"]
        assert '"plan": "basic"' in error["hint"]

    within(model, act)


def test_the_answer_can_come_with_its_explanation(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        asked = await ask("POST", "/churn/predict", ROW, query="explain=true")
        assert asked.status == 200
        assert asked.json["label"] == model(ROW)["label"]
        assert {part["name"] for part in asked.json["explanation"]["contributions"]} == {"age", "plan", "active"}
        assert (await ask("POST", "/churn/predict", ROWS, query="explain=true")).status == 400
        assert (
            (await ask("POST", "/churn/predict", ROW, query="explian=true")).json["error"]["hint"].startswith("Did you")
        )

    within(model, act)


def test_another_version_than_the_served_one_is_not_found(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        for version in ("7", "latest", "-1", "1e1", "../1"):
            assert (await ask("POST", "/churn/predict", ROW, query=f"version={version}")).status == 404

    within(model, act)


def test_a_deadline_is_a_number_of_milliseconds(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        for wrong in ("-1", "0", "abc", "1e3", "9" * 400):
            assert (await ask("POST", "/churn/predict", ROW, x_deadline_ms=wrong)).status == 400
        for right in ("2000", "1000000000000"):
            assert (await ask("POST", "/churn/predict", ROW, x_deadline_ms=right)).status == 200

    within(model, act)


def test_only_some_large_bodies_are_held_at_a_time(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        rows = [ROW] * 100
        found = await asyncio.gather(*(ask("POST", "/churn/predict", rows) for _ in range(3)))
        assert [asked.status for asked in found] == [200, 200, 503]
        assert found[2].headers["retry-after"]
        assert (await ask("POST", "/churn/predict", rows)).status == 200

    within(model, act, limits=Limits(large_body_bytes=1_000, max_large_bodies=2))


def test_every_route_says_what_it_is_and_how_it_may_be_asked(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        for path, route in app.routes.items():
            assert route.policy in ("anyone", "reader", "caller")
            for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
                asked = await ask(method, path, BODIES.get(path, ROW) if method == "POST" else None)
                known = method in route.methods or (method == "HEAD" and "GET" in route.methods)
                right = {"classify": 400, "regress": 400, "embeddings": 404}.get(re.split("[:/]", path)[-1], 200)
                assert asked.status == (right if known else 405), (method, path)
                assert known or set(asked.headers["allow"].split(", ")) >= set(route.methods)

    within(model, act)


def test_unknown_paths_are_not_found_and_the_nearest_model_is_named(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        asked = await ask("GET", "/chrun")
        assert (asked.status, asked.json["error"]["hint"]) == (404, "Did you mean 'churn'?")
        for path in ("/churn/", "//churn", "/churn/../churn", "/churn;x", "/CHURN", "/churn/predict/", "/\x00", "/é"):
            assert (await ask("GET", path)).status == 404

    within(model, act)


def test_pages_are_for_browsers_and_json_for_programs(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        for path in ("/", "/churn"):
            page = await ask("GET", path, accept="text/html,*/*")
            assert page.headers["content-type"].startswith("text/html")
            assert "default-src 'none'" in page.headers["content-security-policy"]
            assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
            assert page.headers["x-content-type-options"] == "nosniff"
            assert (await ask("GET", path)).json
        described = (await ask("GET", "/churn")).json
        assert [field["name"] for field in described["inputs"]] == ["age", "plan", "active"]
        assert described["output"]["labels"] == ["no", "yes"]
        report = await ask("GET", "/churn/report")
        assert b"fine" in report.body
        assert "sandbox" in report.headers["content-security-policy"]

    within(model, act)


def test_readiness_follows_the_replicas_and_health_does_not(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        for path in ("/readyz", "/v2/health/ready", "/v2/models/churn/ready"):
            asked = await ask("GET", path)
            assert (asked.status, asked.headers["retry-after"]) == (503, "1")
        assert (await ask("GET", "/healthz")).status == 200

    within(model, act, ready=0)


def test_metrics_count_answers_and_refusals_with_a_fixed_number_of_series(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        before = (await ask("GET", "/metrics")).body
        await ask("POST", "/churn/predict", ROW)
        for number in range(30):
            await ask("POST", f"/nobody{number}/predict", ROW)
            await ask("POST", "/churn/predict", {"age": "x"})
        after = (await ask("GET", "/metrics")).body
        assert b'handrail_requests_total{model="churn",version="0",outcome="answered"} 1\n' in after
        assert b'handrail_requests_total{model="churn",version="0",outcome="refused"} 30\n' in after
        assert b'handrail_batch_rows_count{model="churn",version="0"} 1\n' in after
        assert len(before.splitlines()) == len(after.splitlines()) < 200

    within(model, act)


def test_a_request_id_is_kept_when_it_is_plain_and_replaced_when_not(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        assert (await ask("GET", "/healthz", x_request_id="abc-1")).headers["x-request-id"] == "abc-1"
        for odd in ("a b", "x" * 65, "a\x1b[31m", ""):
            assert (await ask("GET", "/healthz", x_request_id=odd)).headers["x-request-id"] != odd

    within(model, act)


def test_the_access_log_is_one_line_of_plain_json(model: Model) -> None:
    lines: list[bytes] = []

    async def act(ask: Ask, app: App) -> None:
        await ask("GET", "/a\r\n\x1b]0;x\u202e" + "y" * 5_000)

    within(model, act, access_log=lines.append)
    (line,) = lines
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert re.fullmatch(rb"[\x20-\x7e]+", line.rstrip(b"\n"))
    assert json.loads(line)["status"] == 404
    assert len(line) < 2_000


def test_a_model_whose_name_is_a_route_is_refused(model: Model, tmp_path: object) -> None:
    with pytest.raises(HandrailError, match="cannot be served"):
        App({"metrics": None})  # type: ignore[dict-item]


XSS = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "'\"><svg onload=alert(1)>",
    "javascript:alert(1)",
]


def test_pages_stay_inert_whatever_names_and_words_say(tmp_path_factory: pytest.TempPathFactory) -> None:
    fields = (*FIELDS, *(Field(word, "category", choices=(word, "b"), example=word) for word in XSS))
    output = replace(
        make_bundle(tmp_path_factory.mktemp("plain")).signature.output, name=XSS[0], labels=(XSS[1], XSS[2])
    )
    hostile = make_bundle(tmp_path_factory.mktemp("hostile"), fields=fields, output=output)

    async def act(ask: Ask, app: App) -> None:
        for path in ("/", "/churn", "/docs"):
            body = (await ask("GET", path, accept="text/html")).body.decode()
            assert body.count("<script") == body.count("</script>") == (2 if path == "/churn" else 0)
            assert "<img" not in body
            assert "<svg" not in body

    within(hostile, act)
