"""Open Inference Protocol over REST: what the routes say, and that the real client of Triton works unmodified."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from hypothesis import given
from hypothesis import strategies as some

from handrail.core.errors import HandrailError
from handrail.core.field import Field
from handrail.core.signature import Output, Signature
from handrail.model import Model
from handrail.serve.app import App
from handrail.serve.formats.rows import compiled
from handrail.serve.formats.tensors import NUMBERS, cells_of, from_bytes, from_list, parts_of, to_bytes, values_of
from tests.serve.bundles import ROW, ROWS, make_bundle
from tests.serve.served import Ask, Served, serving, within

INFER = "/v2/models/churn/infer"
JSON_ROWS = [
    {"name": "age", "datatype": "FP32", "shape": [3], "data": [30, None, 71.5]},
    {"name": "plan", "datatype": "BYTES", "shape": [3, 1], "data": [["pro"], ["basic"], ["?"]]},
    {"name": "active", "datatype": "BOOL", "shape": [3], "data": [True, False, True]},
]
NUMBERS_ONLY = (Field("age", "number", optional=True), Field("size", "number"), Field("active", "boolean"))


def tensors_in(body: Any) -> dict[str, Any]:
    return {tensor["name"]: tensor for tensor in body["outputs"]}


def test_the_server_says_what_it_is_and_that_it_is_there(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        said = (await ask("GET", "/v2")).json
        assert said["name"] == "handrail"
        assert "binary_tensor_data" in said["extensions"]
        assert (await ask("GET", "/v2/health/live")).json == {"live": True}
        assert (await ask("GET", "/v2/health/ready")).json == {"ready": True}
        assert (await ask("GET", "/v2/models/churn/ready")).json == {"name": "churn", "ready": True}
        index = (await ask("POST", "/v2/repository/index")).json
        assert index == [{"name": "churn", "version": "0", "state": "READY"}]
        assert (await ask("GET", "/v2/models/nobody")).status == 404
        assert (await ask("GET", "/v2/models/churn/versions/7")).status == 404
        assert (await ask("GET", "/v2/models/churn/labels/x")).status == 404

    within(model, act)


def test_readiness_follows_the_replicas(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        for path in ("/v2/health/ready", "/v2/models/churn/ready"):
            assert (await ask("GET", path)).status == 503
        assert (await ask("GET", "/v2/health/live")).status == 200
        assert (await ask("POST", "/v2/repository/index")).json[0]["state"] == "UNAVAILABLE"

    within(model, act, ready=0)


def test_metadata_names_every_tensor_and_the_labels(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        said = (await ask("GET", "/v2/models/churn")).json
        assert [(one["name"], one["datatype"], one["shape"]) for one in said["inputs"]] == [
            ("age", "FP64", [-1]), ("plan", "BYTES", [-1]), ("active", "BOOL", [-1]),
        ]  # fmt: skip
        assert [(one["name"], one["datatype"], one["shape"]) for one in said["outputs"]] == [
            ("label", "BYTES", [-1]), ("probability", "FP64", [-1]), ("probabilities", "FP64", [-1, 2]),
        ]  # fmt: skip
        assert json.loads(said["outputs"][2]["parameters"]["labels"]) == ["no", "yes"]
        assert said["inputs"][0]["parameters"]["optional"] is True

    within(model, act)


def test_tensors_give_the_answers_that_rows_give(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        asked = await ask("POST", INFER, {"id": "7", "inputs": JSON_ROWS})
        assert (asked.json["model_name"], asked.json["id"]) == ("churn", "7")
        found, wanted = tensors_in(asked.json), model(ROWS)
        assert found["label"]["data"] == [answer["label"] for answer in wanted]
        assert found["probability"]["data"] == [answer["probability"] for answer in wanted]
        assert found["probabilities"]["shape"] == [3, 2]
        assert found["probabilities"]["data"] == [p for answer in wanted for p in answer["probabilities"].values()]

    within(model, act)


def test_outputs_are_those_asked_for_each_in_its_way(model: Model) -> None:
    outputs = [{"name": "probability", "parameters": {"binary_data": True}}, {"name": "label"}]

    async def act(ask: Ask, app: App) -> None:
        asked = await ask("POST", INFER, {"inputs": JSON_ROWS, "outputs": outputs})
        length = int(asked.headers["inference-header-content-length"])
        assert asked.headers["content-type"] == "application/octet-stream"
        first, second = json.loads(asked.body[:length])["outputs"]
        assert first["parameters"]["binary_data_size"] == len(asked.body) - length == 24
        assert list(struct.unpack("<3d", asked.body[length:])) == [one["probability"] for one in model(ROWS)]
        assert second["data"] == [one["label"] for one in model(ROWS)]
        asked = await ask("POST", INFER, {"inputs": JSON_ROWS, "outputs": [{"name": "lable"}]})
        assert (asked.status, asked.json["hint"]) == (400, "Did you mean 'label'?")

    within(model, act)


def test_one_tensor_may_hold_all_inputs_where_all_are_numbers(tmp_path: Path, model: Model) -> None:
    of_numbers = make_bundle(tmp_path, fields=NUMBERS_ONLY)
    rows = [{"age": 1, "size": 2, "active": True}, {"age": None, "size": 4, "active": False}]

    async def act(ask: Ask, app: App) -> None:
        for name in ("x", "inputs"):
            tensor = {"name": name, "datatype": "FP32", "shape": [2, 3], "data": [[1, 2, 1], [None, 4, 0]]}
            asked = await ask("POST", INFER, {"inputs": [tensor]})
            assert tensors_in(asked.json)["label"]["data"] == [answer["label"] for answer in of_numbers(rows)]
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, None, 1]}
        assert (await ask("POST", INFER, {"inputs": [tensor]})).json["field"] == "size"

    async def refused(ask: Ask, app: App) -> None:
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 1]}
        assert (await ask("POST", INFER, {"inputs": [tensor]})).status == 422

    within(of_numbers, act)
    within(model, refused)


@pytest.mark.parametrize(
    ("output", "names"),
    [
        (Output("y", "number"), ["value", "low", "high"]),
        (Output("y", "label", ("a", "b")), ["label", "probability", "probabilities"]),
        (Output("y", "labels", ("a", "b")), ["labels", "probabilities"]),
        (Output("y", "vector", size=3), ["vector"]),
    ],
)
def test_every_kind_of_output_has_its_tensors(output: Output, names: list[str]) -> None:
    answer = {
        "value": 1.0,
        "low": 0.0,
        "high": 2.0,
        "label": "a",
        "probability": 0.5,
        "labels": ["a", "b"],
        "vector": [1.0, 2.0, 3.0],
        "probabilities": {"a": 0.5, "b": 0.5},
    }
    parts = parts_of(output)
    assert [part.name for part in parts] == names
    for part in parts:
        cells = cells_of(part, [answer] * 2, "|")
        assert len(cells) == 2 * (part.size or 1)
        assert part.name != "labels" or cells == ["a|b", "a|b"]


VECTORS = Signature((Field("a", "vector", size=2), Field("b", "vector", size=1)), Output("y", "vector", size=2))
FLAT = [[struct.pack("<2f", 1, 2), struct.pack("<f", 3)], [struct.pack("<2f", 4, 5), struct.pack("<f", 6)]]


def test_vectors_come_as_a_tensor_each_or_side_by_side() -> None:
    check = compiled(VECTORS)
    a = from_list("a", "FP32", (2, 2), [[1, 2], [4, 5]])
    b = from_bytes("b", "FP64", (2, 1), struct.pack("<2d", 3, 6))
    assert values_of([b, a], VECTORS, check, 9) == FLAT
    assert values_of([from_list("x", "FP32", (2, 3), [1, 2, 3, 4, 5, 6])], VECTORS, check, 9) == FLAT
    assert check([{"a": [1, 2], "b": [3]}, {"a": [4, 5], "b": [6]}]) == FLAT
    for tensors, said in (
        ([a], "tensor 'b' is missing"),
        ([a, from_list("c", "FP32", (2,), [1, 2])], "no input is called 'c'"),
        ([a, from_list("b", "FP32", (2, 2), [1, 2, 3, 4])], r"expected the shape \[rows, 1\]"),
        ([a, from_list("b", "FP32", (2, 1), [1, None])], "row 2: field 'b': expected a list of 1 numbers"),
        ([a, from_list("b", "FP64", (2, 1), [1, 1e39])], "row 2: field 'b': expected a list of 1 numbers"),
    ):
        with pytest.raises(HandrailError, match=said):
            values_of(tensors, VECTORS, check, 9)


@given(some.lists(some.text(max_size=20), max_size=9))
def test_texts_come_out_of_their_bytes(texts: list[str]) -> None:
    assert from_bytes("t", "BYTES", (len(texts),), to_bytes("BYTES", texts)).cells == texts


@given(some.sampled_from(sorted(set(NUMBERS) - {"BOOL"})), some.lists(some.integers(0, 100), max_size=9))
def test_numbers_come_out_of_their_bytes_and_of_lists(datatype: str, numbers: list[int]) -> None:
    found = from_bytes("t", datatype, (len(numbers), 1), to_bytes(datatype, numbers))
    assert list(found.cells) == numbers == from_list("t", datatype, (len(numbers),), numbers).cells


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    make_bundle(folder)
    with serving(folder) as served:
        yield served


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        yield client


def triton_inputs(rows: list[dict[str, Any]], *, binary: bool = True) -> list[triton.InferInput]:
    arrays = {
        "age": ("FP32", np.array([row["age"] for row in rows], np.float32)),
        "plan": ("BYTES", np.array([row["plan"] for row in rows], object)),
        "active": ("BOOL", np.array([row["active"] for row in rows], bool)),
    }
    inputs = []
    for name, (datatype, array) in arrays.items():
        inputs.append(triton.InferInput(name, list(array.shape), datatype))
        inputs[-1].set_data_from_numpy(array, binary_data=binary)
    return inputs


def test_tritons_client_sees_the_server(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("churn")
    assert not client.is_model_ready("nobody")
    assert client.get_server_metadata()["name"] == "handrail"
    assert client.get_model_metadata("churn")["platform"] == "onnxruntime_onnx"
    assert [one["name"] for one in client.get_model_repository_index()] == ["churn"]


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_tritons_client_gets_the_answers_as_bytes(
    client: triton.InferenceServerClient, model: Model, compression: str | None
) -> None:
    rows = [{**ROW, "age": age % 90} for age in range(300)]
    found = client.infer(
        "churn",
        triton_inputs(rows),
        request_id="a",
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    wanted = model(rows)
    assert found.as_numpy("label").tolist() == [answer["label"].encode() for answer in wanted]
    assert found.as_numpy("probability").tolist() == [answer["probability"] for answer in wanted]
    assert found.as_numpy("probabilities").shape == (300, 2)
    assert found.get_response()["id"] == "a"


def test_tritons_client_gets_the_answers_as_json(client: triton.InferenceServerClient, model: Model) -> None:
    rows = [ROW, {**ROW, "age": 20}]
    outputs = [triton.InferRequestedOutput(name, binary_data=False) for name in ("label", "probabilities")]
    found = client.infer("churn", triton_inputs(rows, binary=False), outputs=outputs)
    assert found.as_numpy("label").tolist() == [answer["label"] for answer in model(rows)]
    assert found.as_numpy("probabilities").tolist() == [list(one["probabilities"].values()) for one in model(rows)]
    assert found.as_numpy("probability") is None


def test_tritons_client_sends_missing_cells_as_nan(client: triton.InferenceServerClient, model: Model) -> None:
    found = client.infer("churn", triton_inputs([{**ROW, "age": np.nan}]))
    assert found.as_numpy("probability").tolist() == [model({**ROW, "age": None})["probability"]]


def test_tritons_client_is_told_what_is_off(client: triton.InferenceServerClient) -> None:
    with pytest.raises(triton.InferenceServerException) as found:
        client.infer("churn", triton_inputs([{**ROW, "plan": ""}]))
    assert found.value.status() == "422"
    assert "field 'plan': expected a word such as 'basic'" in str(found.value)
    with pytest.raises(triton.InferenceServerException) as found:
        client.infer("churn", triton_inputs([ROW]), model_version="7")
    assert found.value.status() == "404"
