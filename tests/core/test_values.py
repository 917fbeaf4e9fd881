"""Cells become values the way people mean them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.core.values import NumberStyle, is_missing, to_boolean, to_date, to_number, to_word


@pytest.mark.parametrize("cell", ["", "  ", "NA", "n/a", "NULL", "None", "nan", "?", "-", None, math.nan])
def test_a_missing_number_is_nan(cell: object) -> None:
    assert math.isnan(to_number(cell))  # type: ignore[arg-type]


@pytest.mark.parametrize("cell", ["inf", "-inf", "1e999", "0x1F", "1_000", "abc", "1.2.3", "٣", "9" * 500])
def test_what_is_no_finite_number_is_refused(cell: str) -> None:
    with pytest.raises(ValueError, match="expected a"):
        to_number(cell)


def test_a_whole_number_too_large_for_a_float_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        to_number(10**400)


def test_decimal_commas_and_thousands_are_read_where_the_column_says_so() -> None:
    assert to_number("1.234,5", NumberStyle(",", ".")) == 1234.5


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_that_python_prints_is_read_back(number: float) -> None:
    assert to_number(repr(number)) == number


@pytest.mark.parametrize(
    ("cell", "truth"), [("Yes", 1.0), ("N", 0.0), ("TRUE", 1.0), (1, 1.0), ("0", 0.0), (False, 0.0)]
)
def test_booleans_are_read_in_any_spelling(cell: object, truth: float) -> None:
    assert to_boolean(cell) == truth  # type: ignore[arg-type]


def test_one_is_the_same_word_in_every_type() -> None:
    assert to_word(1) == to_word(1.0) == to_word("1") == to_word(" 1 ") == "1"


def test_a_city_called_na_is_a_word() -> None:
    assert to_word("NA") == "NA"
    assert is_missing("NA")


def test_dates_are_seconds_in_utc() -> None:
    assert to_date("1970-01-02", "iso") == 86_400.0
    assert to_date("02/01/1970", "%d/%m/%Y") == 86_400.0
    assert to_date("1970-01-01T01:00:00+01:00", "iso") == 0.0
    with pytest.raises(ValueError, match="expected a date like"):
        to_date("31/02/2024", "%d/%m/%Y")
