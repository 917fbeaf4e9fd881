"""What hostile clients send in others' formats: the documented status, never a 5xx, and healthy and right afterwards.

The names H4 to H18 in comments are the project's list of hostile requests.
"""

from __future__ import annotations

import gzip
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handrail.core.field import Field
from handrail.model import Model
from tests.hostile.test_http import memory_kb
from tests.serve.bundles import ROW, make_bundle
from tests.serve.served import Served, serving
from tests.serve.test_bodies import saved

INFER, PREDICT, EMBED = "/v2/models/churn/infer", "/v1/models/churn:predict", "/v1/embeddings"
AGE: dict[str, Any] = {"name": "age", "datatype": "FP32", "shape": [1], "data": [30]}
PLAN: dict[str, Any] = {"name": "plan", "datatype": "BYTES", "shape": [1], "data": ["pro"]}
ACTIVE: dict[str, Any] = {"name": "active", "datatype": "BOOL", "shape": [1], "data": [True]}
RIGHT = {"inputs": [AGE, PLAN, ACTIVE]}
HEAD_LENGTH = "inference-header-content-length"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return make_bundle(tmp_path_factory.mktemp("churn"))


@pytest.fixture(scope="module")
def server(model: Model) -> Iterator[Served]:
    with serving(model.bundle.path) as served:
        yield served


@pytest.fixture(scope="module")
def of_numbers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A model that takes arrays."""
    folder = tmp_path_factory.mktemp("numbers")
    make_bundle(folder, fields=tuple(Field(f"f{number}", "number") for number in range(3)))
    with serving(folder) as served:
        yield served


@pytest.fixture(autouse=True)
def stays_right(server: Served, model: Model) -> Iterator[None]:
    """Whatever a test sends: the same replica is there afterwards and answers right."""
    replicas = server.replicas()
    yield
    assert server.ask("GET", "/readyz")[0] == 200
    assert server.predict(ROW) == (200, model(ROW))
    assert server.ask("POST", INFER, RIGHT)[0] == 200
    assert server.replicas() == replicas


def refused(server: Served, path: str, body: object, statuses: tuple[int, ...], **headers: str) -> dict[str, Any]:
    """The error of a request that is refused."""
    named = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    status, _, content = server.ask("POST", path, body, named)
    assert status in statuses, (status, content[:300])
    found = json.loads(content)
    error: dict[str, Any] = found if isinstance(found["error"], str) else found["error"]
    assert error["message"]
    assert error["hint"]
    assert len(content) < 3_000
    return error


@pytest.mark.parametrize("path", [INFER, PREDICT, EMBED])
@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b'"x"', b"7", b"{}", b'{"inputs":', b"{}x", b"\xff", b"\xef\xbb\xbf{}", b"\x00",
        b"[" * 250_000, b'{"inputs":' * 100_000, b'{"a":' * 70 + b"1" + b"}" * 70,
        b'{"inputs": [' + b"[" * 70 + b"]" * 70 + b"]}", b'{"inputs": NaN}', b'{"inputs": 1e999}',
        b'{"inputs": [], "inputs": []}', b'{"model": "a", "model": "b", "input": "x"}', b'{"inputs": "\\ud800"}',
        b'{"__proto__": {"inputs": []}}', json.dumps(RIGHT).encode("utf-16"),
    ],
)  # fmt: skip
def test_odd_json_is_refused_in_every_format(server: Served, path: str, body: bytes) -> None:  # H4, H5, H6
    refused(server, path, body, (400, 404, 422))


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": None}, {"inputs": {}}, {"inputs": []}, {"inputs": [7]}, {"inputs": [{}]}, {"inputs": [AGE]},
        {"inputs": [AGE, AGE]}, {"inputs": [AGE, PLAN, {**ACTIVE, "name": "activ"}]}, {"id": 7}, {"id": ["x"]},
        {"parameters": 7}, {"parameters": []}, {"outputs": 7}, {"outputs": [7]}, {"outputs": [{}]},
        {"outputs": [{"name": "other"}]}, {"outputs": [{"name": ["label"]}]},
        {"outputs": [{"name": "label", "parameters": 7}]},
        {"outputs": [{"name": "label", "parameters": {"classification": 2}}]},
        {"outputs": [{"name": "label", "parameters": {"shared_memory_region": "x"}}]},
    ],
)  # fmt: skip
def test_odd_inference_requests_are_refused(server: Served, change: dict[str, Any]) -> None:  # H7
    refused(server, INFER, {**RIGHT, **change}, (400, 422))


@pytest.mark.parametrize(
    "change",
    [
        {"name": None}, {"name": ["age"]}, {"name": "x" * 100_000}, {"name": "\u202e\x1b[31m"}, {"datatype": 7},
        {"datatype": "FP99"}, {"datatype": "BF16"}, {"datatype": "fp32"}, {"datatype": "INT64", "data": [1.5]},
        {"datatype": "INT8", "data": [300]}, {"datatype": "UINT8", "data": [-1]}, {"datatype": "BOOL", "data": [1]},
        {"datatype": "BYTES", "data": [7]}, {"datatype": "BYTES", "data": ["old"]}, {"shape": None}, {"shape": 1},
        {"shape": []}, {"shape": [1, 1, 1]}, {"shape": [-1]}, {"shape": [1.0]}, {"shape": [True]}, {"shape": ["1"]},
        {"shape": [2**63]}, {"shape": [1, 2**31]}, {"shape": [0]}, {"shape": [2]}, {"shape": [1] * 100_000},
        {"shape": [2], "data": [1, 2]}, {"shape": [1, 2], "data": [1, 2]}, {"data": None}, {"data": 7}, {"data": []},
        {"data": [1, 2]}, {"data": [[1], 2]}, {"data": [[[1]]]}, {"data": [{"b64": "eA=="}]}, {"data": ["30"]},
        {"data": [True]}, {"parameters": 7}, {"parameters": {"shared_memory_region": "x"}},
        {"parameters": {"binary_data_size": 4}}, {"parameters": {"binary_data_size": -1}},
        {"parameters": {"binary_data_size": 2**70}}, {"parameters": {"binary_data_size": "4"}},
    ],
)  # fmt: skip
def test_a_tensor_that_is_off_is_refused(server: Served, change: dict[str, Any]) -> None:  # H7
    refused(server, INFER, {"inputs": [{**AGE, **change}, PLAN, ACTIVE]}, (400, 422))


def test_rows_are_counted_in_every_format(server: Served) -> None:  # H8
    for count in (10_001, 1_000_000):
        tensor = {"name": "age", "datatype": "FP32", "shape": [count], "data": [1] * count}
        assert "at most 10,000 rows" in refused(server, INFER, {"inputs": [tensor]}, (413,))["message"]
        refused(server, PREDICT, b'{"instances": [' + b",".join([b"{}"] * count) + b"]}", (413,))
        refused(server, PREDICT, {"inputs": {"age": [1] * count, "plan": ["a"] * count}}, (413,))
        head = json.dumps(
            {"inputs": [{**AGE, "shape": [count], "parameters": {"binary_data_size": 4 * count}}]}
        ).encode()
        refused(server, INFER, head + bytes(4 * count), (413,), inference_header_content_length=str(len(head)))
    for path, none in ((PREDICT, {"instances": []}), (PREDICT, {"inputs": {"age": []}})):
        refused(server, path, none, (422,))
    many = [{**tensor, "shape": [10_000], "data": tensor["data"] * 10_000} for tensor in RIGHT["inputs"]]
    assert server.ask("POST", INFER, {"inputs": many})[0] == 200


def binary(tensors: list[dict[str, Any]], content: bytes) -> tuple[bytes, str]:
    """A body with bytes behind its JSON, and the length of that."""
    head = json.dumps({"inputs": tensors}).encode()
    return head + content, str(len(head))


def tensor_of(name: str, datatype: str, size: int, rows: int = 1) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [rows], "parameters": {"binary_data_size": size}}


@pytest.mark.parametrize(
    ("tensors", "content"),
    [
        ([tensor_of("age", "FP32", 4)], b""),
        ([tensor_of("age", "FP32", 4)], b"xxx"),
        ([tensor_of("age", "FP32", 4)], b"xxxxx"),
        ([tensor_of("age", "FP32", 3)], b"xxx"),
        ([tensor_of("age", "FP32", 8)], b"xxxxxxxx"),
        ([tensor_of("age", "FP32", 4, rows=2**31 - 1)], b"xxxx"),
        ([tensor_of("age", "FP32", 4)], struct.pack("<f", float("inf"))),
        ([tensor_of("plan", "BYTES", 4)], b"\xff\xff\xff\xff"),
        ([tensor_of("plan", "BYTES", 3)], b"\x01\x00\x00"),
        ([tensor_of("plan", "BYTES", 5)], b"\x02\x00\x00\x00a"),
        ([tensor_of("plan", "BYTES", 6)], b"\x01\x00\x00\x00ab"),
        ([tensor_of("plan", "BYTES", 5)], b"\x01\x00\x00\x00\xff"),
        ([tensor_of("plan", "BYTES", 0)], b""),
        ([tensor_of("plan", "BYTES", 0, rows=10_000)], b""),
        ([tensor_of("age", "FP32", 4), tensor_of("plan", "BYTES", 4)], b"xxxx"),
        ([{**tensor_of("age", "FP32", 4), "shape": [10_000, 2**31 - 1]}], b"xxxx"),
    ],
)
def test_sizes_that_lie_are_refused(server: Served, tensors: list[dict[str, Any]], content: bytes) -> None:
    body, length = binary(tensors, content)
    refused(server, INFER, body, (400, 413, 422), inference_header_content_length=length)


@pytest.mark.parametrize("length", ["-1", "0", "+5", "1e1", "0x10", "9" * 30, "99999", "1", "", "\xb2"])
def test_lengths_of_the_json_that_are_none_are_refused(server: Served, length: str) -> None:
    refused(server, INFER, json.dumps(RIGHT).encode(), (400,), inference_header_content_length=length)


def test_random_bytes_behind_the_json_are_refused_or_answered(server: Served) -> None:
    random = np.random.default_rng(0)
    for size in range(0, 60, 3):
        content = random.bytes(size)
        tensors = [
            tensor_of("age", "FP32", 4),
            tensor_of("plan", "BYTES", max(0, size - 5)),
            tensor_of("active", "BOOL", 1),
        ]
        body, length = binary(tensors, content)
        status = server.ask("POST", INFER, body, {HEAD_LENGTH: length})[0]
        assert status in (200, 400, 422), size


def test_packed_bombs_are_refused_in_every_format(server: Served) -> None:  # H9
    before = memory_kb(server)
    bomb = gzip.compress(bytes(2**27))
    for path in (INFER, PREDICT, EMBED):
        refused(server, path, bomb, (413, 415), content_encoding="gzip")
    assert memory_kb(server) - before < 128 * 2**10


@pytest.mark.parametrize("kind", ["text/plain", "text/csv", "application/x-npy", "application/vnd.bentoml+pickle"])
def test_other_kinds_of_body_are_refused(server: Served, kind: str) -> None:  # H10
    refused(server, INFER, RIGHT, (415,), content_type=kind)
    refused(server, PREDICT, {"instances": [ROW]}, (415,), content_type=kind)


@pytest.mark.parametrize(
    "packed", ["a", "a===", "*", "=", "eA", "/w==", "data:text/plain;base64,eA==", "eA==\n", "é", 7, None]
)
def test_base64_that_is_none_is_refused(server: Served, packed: object) -> None:  # H18
    refused(server, PREDICT, {"instances": [{**ROW, "plan": {"b64": packed}}]}, (422,))


@pytest.mark.parametrize(
    "body",
    [
        saved(np.zeros((2, 2))), saved(np.zeros(3)), saved(np.zeros((1, 3), object)), saved(np.full((1, 3), np.nan)),
        saved(np.full((1, 3), np.inf)), saved(np.zeros((0, 3))), saved(np.zeros((10_001, 3))),
        saved(np.zeros((2, 3)))[:-1], saved(np.zeros((2, 3))) + b"x",
        saved(np.zeros((2, 3))).replace(b"(2, 3)", b"(999999999999, 999999999999)"),
        saved(np.zeros((2, 3))).replace(b"'<f8'", b"'|O' "), saved(np.zeros((2, 3))).replace(b"False", b"Maybe"),
        saved(np.zeros((2, 3))).replace(b"{'descr'", b"{" + b"(" * 40_000), b"\x93NUMPY", b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff", b"\x93NUMPY\x09\x09" + bytes(99), b"PK\x03\x04" + bytes(99), b"",
        b"\x80\x04cos\nsystem\n", os.urandom(2_000),
    ],
)  # fmt: skip
def test_odd_arrays_are_refused(of_numbers: Served, body: bytes) -> None:
    refused(of_numbers, "/churn/predict", body, (400, 413, 422), content_type="application/x-npy")
    assert of_numbers.ask("POST", "/churn/predict", {"f0": 1, "f1": 2, "f2": 3})[0] == 200


@pytest.mark.parametrize("name", ["nobody", "..", "churn%00", "CHURN", "__proto__", "a" * 300, "churn:"])
def test_unknown_models_and_versions_are_not_found(server: Served, name: str) -> None:  # H21
    for path in (f"/v2/models/{name}", f"/v2/models/{name}/infer", f"/v1/models/{name}", f"/v1/models/{name}:predict"):
        assert server.ask("POST", path, RIGHT)[0] == 404
    for version in ("latest", "-1", "1e1", "..", "%00", "9" * 300):
        for path in (f"/v2/models/churn/versions/{version}/infer", f"/v1/models/churn/versions/{version}:predict"):
            assert server.ask("POST", path, RIGHT)[0] == 404
        assert server.ask("POST", f"/v1/models/churn/labels/{version}:predict", RIGHT)[0] == 404


def test_wishes_for_other_answers_do_no_harm(server: Served) -> None:  # H17
    for accept in (
        "text/csv;q=" + "9" * 5_000,
        "text/csv," * 1_000,
        "text/csv;q=nan",
        "text/csv;q=-1",
        ";,;,=",
        "\xff",
    ):
        assert (
            server.ask("POST", "/churn/predict", ROW, {"content-type": "application/json", "accept": accept})[0] == 200
        )
    for coding in ("gzip;" * 1_000, "gzip;q=", "*;q=x", ",,,gzip", " " * 5_000 + "gzip"):
        headers = {"content-type": "application/json", "accept-encoding": coding}
        assert server.ask("POST", "/churn/predict", [ROW] * 100, headers)[0] == 200


def test_a_label_is_no_path(tmp_path: Path, server: Served) -> None:  # A11
    for label in ("..%2f..%2fetc", "%2e%2e", "a%00", "aliases.json"):
        assert server.ask("GET", f"/v1/models/churn/labels/{label}")[0] == 404
