"""The signature accepts what training saw and names what it does not accept."""

from __future__ import annotations

import json

import numpy as np
import pytest

from handrail.core.errors import HandrailError
from handrail.core.signature import Field, Output, Signature, signature_from

HOUSES = Signature(
    (
        Field("rooms", "number", example=3),
        Field("city", "category", choices=("Oslo", "Rome")),
        Field("garden", "boolean", optional=True),
        Field("built", "date", optional=True),
    ),
    Output("price", "number"),
    ignored=("id",),
)
REVIEWS = Signature((Field("text", "text"),), Output("label", "label", ("bad", "good")))


def refusal(signature: Signature, rows: list[object]) -> HandrailError:
    with pytest.raises(HandrailError) as caught:
        signature.columns_of_rows(rows)
    assert caught.value.code == "data"
    return caught.value


def test_rows_become_columns() -> None:
    columns = HOUSES.columns_of_rows([{"rooms": "3.5", "city": "Oslo", "garden": "yes", "built": "1970-01-02"}])
    assert columns["rooms"][0] == 3.5
    assert columns["city"][0] == "Oslo"
    assert columns["garden"][0] == 1.0
    assert columns["built"][0] == 86_400.0


def test_optional_fields_may_be_left_out() -> None:
    columns = HOUSES.columns_of_rows([{"rooms": 3, "city": "Bonn"}])
    assert np.isnan(columns["garden"][0])


def test_columns_seen_and_not_used_may_be_sent() -> None:
    HOUSES.columns_of_rows([{"rooms": 3, "city": "Bonn", "id": 7, "price": 1}])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"city": "Rome"}, "field 'rooms' is missing"),
        ({"rooms": None, "city": "Rome"}, "field 'rooms' is null"),
        ({"rooms": "many", "city": "Rome"}, "expected a number, received 'many'"),
        ({"rooms": [3], "city": "Rome"}, "expected a number, received a list"),
        ({"rooms": True, "city": "Rome"}, "received true"),
        ({"rooms": 3, "citty": "Rome"}, "did you mean 'city'?"),
        ({"rooms": 3, "city": {"a": 1}}, "received an object"),
        ({"rooms": 3, "city": "Rome", "extra": 1, "garden": 0, "built": None, "more": 2}, "no field is called 'extra'"),
        ("Rome", "expected an object with rooms, city"),
        (None, "received null"),
    ],
)
def test_an_off_row_is_refused_by_name(row: object, said: str) -> None:
    assert said in str(refusal(HOUSES, [row]))


def test_at_most_five_problems_are_listed() -> None:
    found = refusal(HOUSES, [{}] * 50)
    assert found.problem.count("row ") <= 5 + 1


def test_a_bare_text_is_a_row_where_there_is_one_input() -> None:
    assert REVIEWS.columns_of_rows(["lovely"])["text"][0] == "lovely"
    assert "expected text in quotes, received the number 3" in str(refusal(REVIEWS, [{"text": 3}]))


def test_a_table_may_have_its_columns_in_any_order_and_more_of_them() -> None:
    columns = REVIEWS.columns_of_table({"stars": [1], "text": ["fine"]})
    assert columns["text"][0] == "fine"
    with pytest.raises(HandrailError, match="no column 'text'"):
        REVIEWS.columns_of_table({"texte": ["fine"]})


def test_it_survives_json() -> None:
    assert signature_from(json.loads(json.dumps(HOUSES.as_dict()))) == HOUSES


@pytest.mark.parametrize(
    "value",
    [None, [], {}, {"inputs": [], "output": {"kind": "eval", "name": "x", "labels": []}},
     {"inputs": [{"name": "a", "kind": "os.system"}], "output": {"kind": "number", "name": "x", "labels": []}},
     {"inputs": [{"name": 7, "kind": "text"}], "output": {"kind": "number", "name": "x", "labels": []}},
     {"inputs": [{"name": "a", "kind": "text"}] * 2, "output": {"kind": "number", "name": "x", "labels": []}}],
)  # fmt: skip
def test_what_is_no_signature_is_refused(value: object) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        signature_from(value)
