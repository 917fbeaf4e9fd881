"""Bodies that are no JSON, and answers that are none: arrays, forms, CSV, gzip."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some
from hypothesis.extra.numpy import array_shapes, arrays

from handrail.core.errors import HandrailError
from handrail.core.field import Field
from handrail.core.signature import Output, Signature
from handrail.model import Model
from handrail.serve.app import App
from handrail.serve.formats import matrix, multipart, npy
from handrail.serve.formats.native import prefers_csv
from handrail.serve.formats.packed import packed
from handrail.serve.formats.rows import compiled
from handrail.serve.http import Response
from handrail.serve.limits import Refused
from tests.serve.bundles import ROW, ROWS, make_bundle
from tests.serve.served import Ask, within

NUMBERS = (Field("age", "number", optional=True), Field("size", "number"), Field("active", "boolean"))
SIGNATURE = Signature(NUMBERS, Output("y", "label", ("a", "b")))
ARRAY = np.array([[30, 1.5, 1], [np.nan, 2, 0]])
OF_NUMBERS: list[dict[str, Any]] = [
    {"age": 30, "size": 1.5, "active": True},
    {"age": None, "size": 2, "active": False},
]


@pytest.fixture(scope="module")
def of_numbers(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return make_bundle(tmp_path_factory.mktemp("numbers"), fields=NUMBERS)


def saved(array: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    """The array as numpy saves it."""
    content = io.BytesIO()
    np.lib.format.write_array(content, array, version)
    return content.getvalue()


@pytest.mark.parametrize("kind", ["application/x-npy", "application/octet-stream"])
def test_an_array_is_a_list_of_rows(of_numbers: Model, kind: str) -> None:
    async def act(ask: Ask, app: App) -> None:
        asked = await ask("POST", "/churn/predict", saved(ARRAY), content_type=kind)
        assert asked.json == of_numbers(OF_NUMBERS)
        asked = await ask("POST", "/churn/predict", saved(np.asfortranarray(ARRAY)), content_type=kind)
        assert asked.json == of_numbers(OF_NUMBERS)

    within(of_numbers, act)


@pytest.mark.parametrize("type_", ["<f2", "<f4", ">f8", "<f8", "<i4", ">i2", "|u1", "|i1", "<u8", "|b1"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_numbers_of_every_kind_are_read_as_numpy_reads_them(type_: str, version: tuple[int, int]) -> None:
    array = np.array([[1, 0, 1], [0, 1, 0]], dtype=type_)
    assert npy.values_of(saved(array, version), SIGNATURE, 9) == array.astype(float).tolist()


@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=4), elements=some.floats()))
@example(np.array([[-0.0, -0.0, -0.0]]))
@settings(max_examples=200, deadline=None)
def test_an_array_is_read_as_its_rows_are(array: np.ndarray) -> None:
    rows = [{name: None if cell != cell else cell for name, cell in zip(SIGNATURE.names(), row, strict=False)}
            for row in array.tolist()]  # fmt: skip
    try:
        wanted: Any = compiled(SIGNATURE)(rows) if array.shape[1] == 3 and not np.isinf(array).any() else None
    except HandrailError:
        wanted = None
    try:
        found: Any = matrix.values_of(array, SIGNATURE)
    except HandrailError:
        found = None
    assert found == wanted


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([np.inf, 1, 1], "row 2: field 'age': expected a finite number, received 'inf'"),
        ([1, np.nan, 1], "row 2: field 'size' is null"),
        ([1, 1, 2], "row 2: field 'active': expected true or false, received '2.0'"),
    ],
)
def test_an_array_that_is_off_is_named_with_its_row_and_field(row: list[float], said: str) -> None:
    with pytest.raises(HandrailError) as found:
        npy.values_of(saved(np.array([[1, 1, 1], row])), SIGNATURE, 9)
    assert found.value.problem == said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (saved(np.zeros((2, 4))), "expected an array of shape (rows, 3), received (2, 4)"),
        (saved(np.zeros(3)), "two dimensions"),
        (saved(np.zeros((1, 1, 3))), "two dimensions"),
        (saved(np.zeros((99, 3))), "at most 9 rows"),
        (saved(np.zeros((1, 3), complex)), "arrays of '<c16' are not read"),
        (saved(np.zeros((1, 3), "U4")), "arrays of '<U4' are not read"),
        (saved(np.zeros((1, 3), "f4,f4")), "arrays of 'records' are not read"),
        (saved(np.zeros((1, 3)).astype(object)), "objects are not read"),
        (saved(np.zeros((2, 3)))[:-1], "not 47 bytes long"),
        (saved(np.zeros((2, 3))) + b"x", "not 49 bytes long"),
        (saved(np.zeros((2, 3))).replace(b"(2, 3)", b"(9, 9)"), "9 × 9"),
        (b"\x93NUMPY\x01\x00\xff\xff", "longer than it may be"),
        (b"\x93NUMPY\x03\x00\x00\x00", "no array that numpy saved"),
        (b"\x93NUMPY", "no array that numpy saved"),
        (b"PK\x03\x04", "no array that numpy saved"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(body: bytes, said: str) -> None:
    with pytest.raises((HandrailError, Refused)) as found:
        npy.values_of(body, SIGNATURE, 9)
    error = found.value
    assert said in (error.error if isinstance(error, Refused) else error).problem


def test_arrays_are_read_only_where_all_inputs_are_numbers(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        for kind in ("application/x-npy", "application/octet-stream"):
            assert (await ask("POST", "/churn/predict", saved(ARRAY), content_type=kind)).status == 415

    within(model, act)


def test_a_form_is_one_row(model: Model) -> None:
    body = (
        b'--XX\r\nContent-Disposition: form-data; name="age"\r\n\r\n30\r\n'
        b'--XX\r\ncontent-disposition: form-data; name="plan"; filename="../../x"\r\n'
        b"content-type: text/plain\r\n\r\npro\r\n"
        b"--XX\r\nContent-Disposition: form-data; name=active\r\n\r\ntrue\r\n--XX--\r\n"
    )

    async def act(ask: Ask, app: App) -> None:
        kind = "multipart/form-data; boundary=XX"
        assert (await ask("POST", "/churn/predict", body, content_type=kind)).json == model(ROW)
        explained = await ask("POST", "/churn/predict", body, content_type=kind, query="explain=true")
        assert "explanation" in explained.json
        off = body.replace(b"\r\n30\r\n", b"\r\nold\r\n")
        assert (await ask("POST", "/churn/predict", off, content_type=kind)).json["error"]["field"] == "age"

    within(model, act)


@given(some.dictionaries(some.text(min_size=1, max_size=9), some.text(max_size=20), min_size=1, max_size=5))
def test_a_form_says_what_was_put_into_it(row: dict[str, str]) -> None:
    quoted = [name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22") for name in row]
    names = {name.replace("%0D", "\r").replace("%0A", "\n").replace("%22", '"'): name for name in quoted}
    if len(names) < len(row) or any("%" in name or "\\" in name for name in row):
        return
    parts = [f'--b0und\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{cell}\r\n'
             for name, cell in zip(quoted, row.values(), strict=True)]  # fmt: skip
    body = "".join(parts).encode() + b"--b0und--\r\n"
    if any("--b0und" in cell for cell in row.values()):
        return
    found = multipart.row_of(body, b"multipart/form-data; boundary=b0und")
    assert {name.strip(): cell for name, cell in found.items()} == {name.strip(): cell for name, cell in row.items()}


def test_answers_come_as_csv_where_a_client_asks_for_it(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        for body in (ROWS, {"rows": ROWS}):
            asked = await ask("POST", "/churn/predict", body, accept="text/csv")
            assert asked.headers["content-type"] == "text/csv; charset=utf-8"
            header, *lines = asked.body.decode().splitlines()
            assert header == "predicted_churned,probability,probability_no,probability_yes"
            first = model(ROWS)[0]
            assert lines[0].split(",")[:2] == [first["label"], str(first["probability"])]
            assert len(lines) == len(ROWS)
        assert (await ask("POST", "/churn/predict", ROW, accept="text/csv")).body.count(b"\r\n") == 2
        for other in ("*/*", "image/png", "application/json, text/csv", "", "text/csv;q=0", "text/csv;q=x"):
            assert (await ask("POST", "/churn/predict", ROW, accept=other)).json == model(ROW), other

    within(model, act)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (b"text/csv", True),
        (b"TEXT/CSV; charset=utf-8", True),
        (b"text/csv, application/json", True),
        (b"text/csv, */*;q=0.1", True),
        (b"application/json;q=0.5, text/csv", True),
        (b"text/csv;q=0.5, application/json", False),
        (b"application/json, text/csv", False),
        (b"*/*, text/csv;q=0.9", False),
    ],
)
def test_the_wish_that_weighs_more_is_met(accept: bytes, wanted: bool) -> None:
    assert prefers_csv(accept) is wanted


def test_no_cell_of_an_answer_runs_in_a_spreadsheet(tmp_path: Path) -> None:
    hostile = make_bundle(tmp_path, output=Output("=1+1", "label", ("@SUM(A1)", "-1")))

    async def act(ask: Ask, app: App) -> None:
        lines = (await ask("POST", "/churn/predict", ROWS, accept="text/csv")).body.decode().splitlines()
        assert lines[0] == "predicted_=1+1,probability,probability_@SUM(A1),probability_-1"
        assert {line.split(",")[0] for line in lines[1:]} <= {"'@SUM(A1)", "-1"}

    within(hostile, act)


def test_an_explanation_is_of_one_row_and_no_table(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        body = b"plan,age,active\npro,30,yes\n"
        asked = await ask("POST", "/churn/predict", body, content_type="text/csv", query="explain=true")
        assert (asked.status, asked.json["error"]["message"]) == (415, "explain answers no text/csv")
        explained = await ask("POST", "/churn/predict", ROW, accept="text/csv", query="explain=true")
        assert "explanation" in explained.json

    within(model, act)


def test_long_answers_are_gzip_where_the_client_reads_it(model: Model) -> None:
    async def act(ask: Ask, app: App) -> None:
        for count in (100, 700):
            rows = [{**ROW, "age": age % 90} for age in range(count)]
            asked = await ask("POST", "/churn/predict", rows, accept_encoding="gzip, deflate")
            assert asked.headers["content-encoding"] == "gzip"
            plain = await ask("POST", "/churn/predict", rows)
            assert "content-encoding" not in plain.headers
            assert plain.headers["vary"] == asked.headers["vary"] == "accept-encoding"
            assert gzip.decompress(asked.body) == plain.body
            assert len(asked.body) < len(plain.body) / 3
        assert "content-encoding" not in (await ask("POST", "/churn/predict", ROW, accept_encoding="gzip")).headers
        assert (await ask("GET", "/churn", accept="text/html", accept_encoding="gzip")).headers[
            "content-encoding"
        ] == "gzip"

    within(model, act)


@pytest.mark.parametrize("wish", [b"gzip", b"br, gzip;q=0.5", b"*", b"GZIP ; q=1.0", b"deflate,gzip"])
def test_gzip_is_read_by_who_says_so(wish: bytes) -> None:
    assert packed(Response(b"x" * 5_000), {b"accept-encoding": wish}).headers[-1] == (b"content-encoding", b"gzip")


@pytest.mark.parametrize("wish", [b"", b"br", b"gzip;q=0", b"gzip;q=0.0", b"xgzip", b"gzipx", b"identity"])
def test_gzip_is_not_read_by_who_does_not(wish: bytes) -> None:
    assert packed(Response(b"x" * 5_000), {b"accept-encoding": wish}).body == b"x" * 5_000
