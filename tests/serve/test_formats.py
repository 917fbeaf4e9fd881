"""Wire formats and messages: what they take, what they refuse, and that fast and general ways agree."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from handrail.core.errors import HandrailError
from handrail.core.field import Field
from handrail.core.signature import Output, Signature
from handrail.serve.formats.json import parsed, rows_of
from handrail.serve.formats.rows import compiled, values_of_columns
from handrail.serve.limits import Refused
from handrail.serve.messages import Unframer, framed, joined, parted
from handrail.serve.packing import columns_of

SIGNATURE = Signature(
    (
        Field("n", "number"),
        Field("m", "number", optional=True),
        Field("b", "boolean"),
        Field("d", "date", optional=True),
        Field("c", "category", optional=True),
        Field("t", "text"),
    ),
    Output("y", "label", ("a", "b")),
    ignored=("id",),
)
CELLS = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(-(2**63), 2**63),
    some.floats(),
    some.sampled_from(["", " ", "7", " x ", "NA", "yes", "2024-01-31", "2024-13-01", "word"]),
    some.just([1]),
)
NAMES = [*SIGNATURE.names(), "id", "y", "odd", "other", "N"]
ROWS = some.lists(
    some.one_of(some.dictionaries(some.sampled_from(NAMES), CELLS), some.just("text"), some.none()), max_size=4
)


VECTOR = Signature((Field("x", "vector", size=2),), Output("y", "label", ("a", "b")))
NUMBERS = some.one_of(some.floats(), some.floats(-9, 9), some.integers(), some.booleans(), some.just("7"), some.none())
VECTORS = some.lists(NUMBERS, min_size=1, max_size=3)
VECTOR_ROWS = some.lists(
    some.one_of(VECTORS, some.dictionaries(some.sampled_from(["x", "z"]), VECTORS), some.none()), max_size=3
)


def agree(signature: Signature, rows: list[Any]) -> None:
    try:
        wanted: Any = values_of_columns(signature, signature.columns_of_rows(rows))
    except HandrailError as error:
        wanted = error.problem
    try:
        found: Any = compiled(signature)(rows)
    except HandrailError as error:
        found = error.problem
    assert found == wanted


@given(ROWS)
@settings(max_examples=300, deadline=None)
def test_the_fast_way_answers_what_the_signature_answers(rows: list[Any]) -> None:
    agree(SIGNATURE, rows)


@given(VECTOR_ROWS)
@settings(max_examples=300, deadline=None)
def test_the_fast_way_of_vectors_answers_what_the_signature_answers(rows: list[Any]) -> None:
    agree(VECTOR, rows)


def test_a_right_row_takes_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    check = compiled(SIGNATURE)
    monkeypatch.setattr(Signature, "columns_of_rows", lambda *_: pytest.fail("the slow way was taken"))
    row = {"n": 1, "m": None, "b": True, "d": "2024-01-31", "c": " x", "t": "some text"}
    assert check([row]) == [[1.0, None, 1.0, 1706659200.0, "x", "some text"]]


def test_values_become_the_columns_that_the_signature_makes() -> None:
    rows = [{"n": 1, "m": None, "b": True, "d": "2024-01-31", "c": None, "t": "a"}]
    columns = columns_of(compiled(SIGNATURE)(rows), SIGNATURE)
    for name, column in SIGNATURE.columns_of_rows(rows).items():
        assert columns[name].dtype == column.dtype
        assert columns[name][0] == column[0] or math.isnan(column[0])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b'{"a": 1', "at character"),
        (b'{"a": 1} x', "at character 9"),
        (b'{"a": NaN}', "at character 6"),
        (b'{"a": Infinity}', "at character 6"),
        (b'{"a": 1e999}', "infinity"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "infinity"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8 at byte 0"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": 1, "a": 2}', "names one field twice"),
        (b'{"a":1,"\\u0061":2}', "names one field twice"),
        (b'[{"a":"x:y"},{"b":1,"b":1}]', "names one field twice"),
        (b'{"a" :1,"a" :2,"b":"\\":"}', "names one field twice"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "nested deeper than 64"),
        (b"[" * 250_000, "nested deeper than 64"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(body: bytes, said: str) -> None:
    with pytest.raises(Refused) as found:
        parsed(body)
    assert found.value.status == 400
    assert said in found.value.error.problem


@pytest.mark.parametrize(
    "body", [b'{"a":"b:c"}', b'{"\\":":1,"x":"\\\\"}', b'[{"a" : {"b": 1}}, ":"]', b'{"a":{"a":1}}']
)
def test_colons_in_texts_and_names_are_no_twins(body: bytes) -> None:
    assert parsed(body) == json.loads(body)


def test_rows_may_stand_in_an_object_unless_that_is_a_field() -> None:
    assert rows_of(b'{"rows": [1]}', SIGNATURE) == ([1], True)
    named = Signature((Field("rows", "text"),), SIGNATURE.output)
    assert rows_of(b'{"rows": [1]}', named) == ([{"rows": [1]}], False)


@given(some.binary(max_size=300), some.integers(1, 50))
def test_messages_come_out_as_they_went_in_however_they_are_cut(payload: bytes, piece: int) -> None:
    sent = framed({"do": "x"}, payload) * 2
    unframer = Unframer()
    found = [message for start in range(0, len(sent), piece) for message in unframer.feed(sent[start : start + piece])]
    assert found == [({"do": "x"}, payload)] * 2


def test_a_message_that_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(ValueError, match="larger than allowed"):
        list(Unframer().feed(struct.pack("<II", 2**31, 0)))


@given(some.lists(some.binary(max_size=20), max_size=20))
def test_joined_parts_come_apart(parts: list[bytes]) -> None:
    assert parted(joined(parts), len(parts)) == parts
