"""The OpenAPI document: valid, whole, and true: schemathesis finds nothing that is not as it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from handrail.core.field import Field
from handrail.model import Model
from handrail.serve.app import App
from handrail.serve.openapi import openapi
from handrail.serve.openapi_parts import STATUSES
from tests.generation_bundles import generation_bundle
from tests.serve.bundles import FIELDS, make_bundle
from tests.serve.served import Ask, serving, within

NUMBERS = (Field("age", "number", optional=True), Field("size", "number"), Field("active", "boolean"))
WORD = (Field("word", "category", choices=("a", "b")),)
ROOT = Path(__file__).parents[2]
SENT = [
    "400",
    "401",
    "403",
    "404",
    "405",
    "408",
    "409",
    "413",
    "414",
    "415",
    "421",
    "422",
    "429",
    "431",
    "500",
    "503",
    "504",
]


def described(signature: dict[str, Any], version: int | None = None) -> dict[str, Any]:
    """What `Version.description` would say of a model."""
    return {"name": "m", "version": version, "task": "t", "predict": "/m/predict", "report": "/m/report", "ignored": [],
            "examples": [], **signature}  # fmt: skip


def field(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, "optional": False, "choices": [], "minimum": None, "maximum": None,
            "example": None, "pattern": "iso", "decimal": ".", "thousands": "", "size": 0, **more}  # fmt: skip


OUTPUTS = [
    {"name": "y", "kind": "label", "labels": ["a", "b"], "separator": "|", "size": 0},
    {"name": "y", "kind": "labels", "labels": ["a", "b"], "separator": "|", "size": 0},
    {"name": "y", "kind": "number", "labels": [], "separator": "|", "size": 0},
    {"name": "y", "kind": "vector", "labels": [], "separator": "|", "size": 3},
]
INPUTS = [
    [field("n", "number"), field("d", "date"), field("t", "text", optional=True), field("c", "category")],
    [field("t", "text")],
    [field("rows", "number", decimal=",")],
    [field("v", "vector", size=4)],
    [field("d", "date", pattern="epoch_s"), field("o", "date", pattern="%d.%m.%Y", optional=True)],
]


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output["kind"])
@pytest.mark.parametrize("inputs", INPUTS, ids=lambda inputs: inputs[0]["kind"])
def test_the_document_is_valid_for_every_kind_of_model(inputs: list[Any], output: dict[str, Any]) -> None:
    for version in (None, 3):
        document = openapi([described({"inputs": inputs, "output": output}, version)])
        validate(document, cls=OpenAPIV31SpecValidator)
        options = [one["name"] for one in document["paths"]["/m/predict"]["post"]["parameters"]]
        assert ("explain" in options) is (output["kind"] != "vector")
        assert ("/v2/models/m/versions/{version}/infer" in document["paths"]) is (version is not None)


def test_every_route_and_every_status_is_in_the_document(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        document = (await ask("GET", "/openapi.json")).json
        validate(document, cls=OpenAPIV31SpecValidator)
        told = set(document["paths"])
        # Two are there to be refused with a hint, and one serves only models that give vectors.
        untold = {"/v1/models/churn:classify", "/v1/models/churn:regress", "/v1/embeddings"}
        assert told == set(app.routes) - untold
        for path, item in document["paths"].items():
            assert {verb.upper() for verb in item} == set(app.routes[path].methods)
        assert list(document["components"]["responses"]) == SENT == list(STATUSES)
        assert document["paths"]["/healthz"]["get"]["security"] == []

    within(model, act)


def test_a_body_is_told_by_kind_and_an_answer_with_what_is_always_in_it(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        document = (await ask("GET", "/openapi.json")).json
        predict = document["paths"]["/churn/predict"]["post"]
        assert set(predict["requestBody"]["content"]) == {"application/json", "text/csv", "multipart/form-data"}
        schemas = document["components"]["schemas"]
        assert set(schemas["churn.row"]["properties"]) == {"age", "plan", "active", "churned"}
        assert schemas["churn.row"]["required"] == ["plan", "active"]
        assert schemas["churn.answer"]["required"] == ["label", "probability", "probabilities"]
        assert "explanation" in schemas["churn.answer"]["properties"]
        assert [one["name"] for one in predict["parameters"]] == ["explain", "version"]
        page = (await ask("GET", "/docs")).body.decode()
        for path in document["paths"]:
            assert f"<code>{path}</code>" in page

    within(model, act)


def test_a_server_with_keys_says_so() -> None:
    document = openapi([described({"inputs": INPUTS[0], "output": OUTPUTS[0]})], asks=True)
    assert document["paths"]["/m/predict"]["post"]["security"] == [{"key": []}]
    assert document["paths"]["/v2/health/live"]["get"]["security"] == []


@pytest.mark.slow
def test_schemathesis_finds_nothing_where_texts_are_written(tmp_path: Path) -> None:
    refuses_nothing(generation_bundle(tmp_path / "tiny"), tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(FIELDS, id="mixed"),
        pytest.param(NUMBERS, id="numbers", marks=pytest.mark.slow),
        pytest.param(WORD, id="word", marks=pytest.mark.slow),
    ],
)
def test_schemathesis_finds_nothing(tmp_path: Path, fields: tuple[Field, ...]) -> None:
    folder = tmp_path / "model"
    make_bundle(folder, fields=fields)
    refuses_nothing(folder, tmp_path)


def refuses_nothing(folder: Path, tmp_path: Path) -> None:
    hooks = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.serve.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
    with serving(folder) as served:
        command = [str(Path(sys.executable).with_name("schemathesis")), "run", "--no-color", "--seed", "1"]
        options = ["--max-examples", "20", "--generation-database", "none", "--suppress-health-check", "all"]
        address = f"http://127.0.0.1:{served.port}/openapi.json"
        found = subprocess.run(
            [*command, *options, address],
            cwd=tmp_path,
            env=hooks,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
    assert found.returncode == 0, found.stdout + found.stderr
