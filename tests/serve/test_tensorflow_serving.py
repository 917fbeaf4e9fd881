"""TensorFlow Serving's REST: rows and columns in, predictions and outputs out, versions and labels in the path."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from handrail.core.field import Field
from handrail.model import Model, load
from handrail.serve.app import App
from handrail.store import Store
from tests.serve.bundles import ROW, ROWS, make_bundle, publish
from tests.serve.served import Ask, within

PREDICT = "/v1/models/churn:predict"
WORDS = {name: [row[name] for row in ROWS] for name in ROW}


def packed(text: str) -> dict[str, str]:
    return {"b64": base64.b64encode(text.encode()).decode()}


def as_row(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "probabilities": list(answer["probabilities"].values())}


def test_instances_are_rows_and_predictions_are_their_answers(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        wanted = {"predictions": [as_row(answer) for answer in model(ROWS)]}
        assert (await ask("POST", PREDICT, {"instances": ROWS})).json == wanted
        named = {"signature_name": "serving_default", "instances": ROWS}
        assert (await ask("POST", PREDICT, named, content_type="application/x-www-form-urlencoded")).json == wanted
        packed_rows = [{**row, "plan": packed(row["plan"])} for row in ROWS]
        assert (await ask("POST", PREDICT, {"instances": packed_rows})).json == wanted

    within(model, act)


def test_inputs_are_columns_and_outputs_are_columns(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        wanted = [as_row(answer) for answer in model(ROWS)]
        columns = {name: [answer[name] for answer in wanted] for name in wanted[0]}
        assert (await ask("POST", PREDICT, {"inputs": WORDS})).json == {"outputs": columns}
        upright = {name: [[cell] for cell in cells] for name, cells in WORDS.items()}
        assert (await ask("POST", PREDICT, {"inputs": upright})).json == {"outputs": columns}

    within(model, act)


def test_numbers_may_stand_side_by_side_where_all_inputs_are_numbers(tmp_path: Path) -> None:
    of_numbers = make_bundle(tmp_path, fields=(Field("a", "number"), Field("b", "number", optional=True)))

    async def act(ask: Ask, app: App) -> None:
        wanted = [as_row(answer) for answer in of_numbers([{"a": 1, "b": 2}, {"a": 3, "b": None}])]
        for name in ("instances", "inputs"):
            found = (await ask("POST", PREDICT, {name: [[1, 2], [3, None]]})).json
            assert name == "inputs" or found == {"predictions": wanted}
            assert name == "instances" or found["outputs"]["label"] == [answer["label"] for answer in wanted]
        assert (await ask("POST", PREDICT, {"instances": [[1, 2, 3]]})).status == 422

    within(of_numbers, act)


def test_a_model_of_one_field_takes_bare_cells(tmp_path: Path) -> None:
    of_one = make_bundle(tmp_path, fields=(Field("word", "category", choices=("a", "b")),))

    async def act(ask: Ask, app: App) -> None:
        wanted = {"predictions": [as_row(answer) for answer in of_one(["a", "b"])]}
        assert (await ask("POST", PREDICT, {"instances": ["a", packed("b")]})).json == wanted
        assert (await ask("POST", PREDICT, {"instances": [["a"], ["b"]]})).json == wanted
        assert "outputs" in (await ask("POST", PREDICT, {"inputs": ["a", "b"]})).json

    within(of_one, act)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ([], 400, "either"),
        ({}, 400, "either"),
        ({"instances": ROWS, "inputs": WORDS}, 400, "either"),
        ({"instances": 7}, 400, "list of rows"),
        ({"instances": []}, 422, "no rows"),
        ({"instances": [7]}, 422, "expected an object"),
        ({"instances": [{**ROW, "plan": {"b64": "a"}}]}, 422, "holds no base64"),
        ({"instances": [{**ROW, "plan": {"b64": "/w=="}}]}, 422, "holds no UTF-8"),
        ({"instances": [{**ROW, "plan": {"b64": 7}}]}, 422, "holds no base64"),
        ({"instances": [{**ROW, "plan": {"b64": "é"}}]}, 422, "holds no base64"),
        ({"instances": [[1, 2, 3]]}, 422, "expected an object"),
        ({"inputs": [1]}, 400, "a list for each of"),
        ({"inputs": {"age": 3}}, 400, "list for each field"),
        ({"inputs": {**WORDS, "age": [1]}}, 422, "equally long"),
        ({"inputs": {"plan": ["pro"]}}, 422, "field 'active' is missing"),
        ({"signature_name": "other", "instances": ROWS}, 400, "one signature"),
        ({"instances": [ROW] * 10_001}, 413, "at most 10,000 rows"),
    ],
)
def test_what_is_off_is_told(model: Model, body: object, status: int, said: str) -> None:
    async def act(ask: Ask, app: App) -> None:
        asked = await ask("POST", PREDICT, body)
        assert asked.status == status
        assert said in asked.json["error"]["message"]

    within(model, act)


def test_classify_and_regress_point_to_predict(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        for verb in ("classify", "regress"):
            asked = await ask("POST", f"/v1/models/churn:{verb}", {"examples": []})
            assert (asked.status, asked.json["error"]["hint"]) == (400, f"POST {PREDICT}")

    within(model, act)


def test_status_and_metadata_are_told_as_that_server_tells_them(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        (state,) = (await ask("GET", "/v1/models/churn")).json["model_version_status"]
        assert (state["version"], state["state"], state["status"]["error_code"]) == ("0", "AVAILABLE", "OK")
        said = (await ask("GET", "/v1/models/churn/metadata")).json
        named = said["metadata"]["signature_def"]["signature_def"]["serving_default"]
        assert named["inputs"]["plan"]["dtype"] == "DT_STRING"
        assert named["outputs"]["probabilities"]["tensor_shape"]["dim"][1]["size"] == "2"

    within(model, act)


def test_a_label_moves_only_to_a_version_that_is_served(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for weight in (0.02, -0.05):
        publish(store, weight=weight)
    store.alias("churn", "stable", 1)
    before, after = (load(f"churn@{number}", home=tmp_path) for number in (1, 2))

    async def act(ask: Ask, app: App) -> None:
        async def labelled() -> list[str] | int:
            asked = await ask("POST", "/v1/models/churn/labels/stable:predict", {"instances": ROWS})
            return [row["label"] for row in asked.json["predictions"]] if asked.status == 200 else asked.status

        wanted = [answer["label"] for answer in before(ROWS)]
        assert wanted != [answer["label"] for answer in after(ROWS)]
        store.alias("churn", "stable", 2)
        assert await labelled() == wanted
        api = app.apis["churn"]
        first = api.current
        api.add(dataclasses.replace(first, model=after))
        assert api.labels == {"stable": "1"}
        await labelled()
        assert api.labels == {"stable": "2"}
        store.unalias("churn", "stable")
        assert await labelled() == 404

    within(before, act)


def test_a_path_may_name_a_version_or_a_label(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish(store)
    store.alias("churn", "stable", 1)
    stored = load("churn", home=tmp_path)

    async def act(ask: Ask, app: App) -> None:
        for way in ("", "/versions/1", "/labels/stable"):
            (state,) = (await ask("GET", f"/v1/models/churn{way}")).json["model_version_status"]
            assert state["version"] == "1"
            assert (await ask("GET", f"/v1/models/churn{way}/metadata")).json["model_spec"]["version"] == "1"
            asked = await ask("POST", f"/v1/models/churn{way}:predict", {"instances": ROWS})
            assert [row["label"] for row in asked.json["predictions"]] == [one["label"] for one in stored(ROWS)]
        for way in ("/versions/2", "/labels/canary", "/versions/latest", "/versions/-1", "/labels/1"):
            assert (await ask("POST", f"/v1/models/churn{way}:predict", {"instances": ROWS})).status == 404
        assert (await ask("GET", "/v2/models/churn/versions/1")).json["versions"] == ["1"]
        assert (await ask("GET", "/v2/models/churn/versions/1/ready")).json["ready"] is True
        tensor = [{"name": name, "datatype": kind, "shape": [3], "data": WORDS[name]}
                  for name, kind in (("age", "FP64"), ("plan", "BYTES"), ("active", "BOOL"))]  # fmt: skip
        asked = await ask("POST", "/v2/models/churn/versions/1/infer", {"inputs": tensor})
        assert asked.json["model_version"] == "1"

    within(stored, act)
