"""The signature accepts what training saw and names what it does not accept."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from handrail.core.errors import HandrailError
from handrail.core.field import Field
from handrail.core.signature import Output, Signature, signature_from

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
    columns = HOUSES.columns_of_rows([{"rooms": 3, "city": "Bonn", "id": 7, "price": 1}])
    assert list(columns) == list(HOUSES.names())
    assert columns["rooms"].tolist() == [3.0]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"city": "Rome"}, "field 'rooms' is missing"),
        ({"rooms": None, "city": "Rome"}, "field 'rooms' is null"),
        ({"rooms": "many", "city": "Rome"}, "expected a number, received 'many'"),
        ({"rooms": [3], "city": "Rome"}, "expected a number, received a list"),
        ({"rooms": True, "city": "Rome"}, "received true"),
        ({"rooms": 3, "citty": "Rome"}, "did you mean 'city'?"),
        ({"rooms": "NA", "city": "Rome"}, "expected a number, received 'NA'"),
        ({"rooms": " ", "city": "Rome"}, "expected a number, received an empty text"),
        ({"rooms": 3, "city": ""}, "such as 'Oslo', received an empty text"),
        ({"rooms": float("nan"), "city": "Rome"}, "field 'rooms' is null"),
        ({"rooms": pd.NA, "city": "Rome"}, "field 'rooms' is null"),
        ({"rooms": np.bool_(True), "city": "Rome"}, "received true"),
        ({"rooms": object(), "city": "Rome"}, "field 'rooms': expected a number, received object"),
        ({"rooms": date(2024, 1, 1), "city": "Rome"}, "expected a number, received '2024-01-01'"),
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


def test_cells_of_other_libraries_are_values() -> None:
    row = {"rooms": np.float32(3), "city": "Oslo", "garden": np.bool_(True), "built": date(1970, 1, 2)}
    columns = HOUSES.columns_of_rows([row, {**row, "rooms": Decimal("3"), "garden": pd.NA, "built": pd.NaT}])
    assert columns["rooms"].tolist() == [3.0, 3.0]
    assert [columns["garden"][0], columns["built"][0]] == [1.0, 86_400.0]
    assert np.isnan(columns["garden"][1])
    assert np.isnan(columns["built"][1])


def test_a_table_may_lack_optional_columns_as_a_row_may() -> None:
    columns = HOUSES.columns_of_table({"rooms": ["3", "4"], "city": ["Rome", "Oslo"]})
    assert np.isnan(columns["garden"]).tolist() == [True, True]
    assert columns["built"].shape == (2,)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"rooms": ["3", ""], "city": ["Rome", "Rome"]}, "received an empty text (row 2, column 'rooms')"),
        ({"rooms": ["3", "NA"], "city": ["Rome", "Rome"]}, "received 'NA' (row 2, column 'rooms')"),
        ({"rooms": [3, 3, 3], "city": ["Rome", "Rome", None]}, "received nothing (row 3, column 'city')"),
        ({"rooms": ["3", "many"], "city": ["Rome", "Rome"]}, "received 'many' (row 2, column 'rooms')"),
        ({"rooms": ["3"], "city": ["Rome"], "gardn": ["yes"]}, "rename 'gardn' to 'garden'?"),
    ],
)
def test_what_a_row_may_not_hold_a_table_may_not_hold(table: dict[str, list[object]], said: str) -> None:
    with pytest.raises(HandrailError) as caught:
        HOUSES.columns_of_table(table)  # type: ignore[arg-type]
    assert said in str(caught.value)
    assert "--kind" not in caught.value.mend


def test_an_empty_text_is_a_text_in_a_row_and_in_a_table() -> None:
    assert REVIEWS.columns_of_rows([{"text": ""}])["text"].tolist() == [None]
    assert REVIEWS.columns_of_table({"text": [""]})["text"].tolist() == [None]
    with pytest.raises(HandrailError, match="expected text, received nothing"):
        REVIEWS.columns_of_table({"text": [None]})


def test_only_a_column_that_is_not_needed_itself_is_offered_for_renaming() -> None:
    with pytest.raises(HandrailError) as caught:
        HOUSES.columns_of_table({"room": [1], "city": ["Rome"]})
    assert caught.value.mend.startswith("rename 'room' to 'rooms'?")
    signature = Signature((Field("bill_length_mm", "number"), Field("bill_depth_mm", "number")), Output("x", "number"))
    with pytest.raises(HandrailError) as caught:
        signature.columns_of_table({"bill_depth_mm": [1]})
    assert "rename" not in caught.value.mend


def test_a_table_with_none_of_the_columns_is_refused_even_where_all_are_optional() -> None:
    signature = Signature((Field("age", "number", optional=True),), Output("x", "number"))
    with pytest.raises(HandrailError, match="no column 'age'"):
        signature.columns_of_table({"colour": ["red"]})


def test_the_problem_of_one_row_names_no_row() -> None:
    assert HOUSES.problem_of_row({"rooms": 3, "city": "Rome"}) is None
    problem = HOUSES.problem_of_row({"x": 1})
    assert problem == "field 'rooms' is missing; field 'city' is missing; no field is called 'x'"


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
