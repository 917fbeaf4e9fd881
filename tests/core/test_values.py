"""Cells become values the way people mean them."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.core.values import NumberStyle, is_missing, to_boolean, to_date, to_number, to_text, to_word


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


@pytest.mark.parametrize(
    "cell", [np.int64(2), np.uint8(2), np.float32(2), np.float16(2), np.longdouble(2), Decimal("2"), Fraction(4, 2)]
)
def test_a_number_of_any_library_is_a_number_and_the_same_word(cell: Any) -> None:
    assert to_number(cell) == 2.0
    assert to_word(cell) == to_text(cell).removesuffix(".0") == "2"  # type: ignore[union-attr]


@pytest.mark.parametrize("cell", [None, pd.NA, pd.NaT, np.datetime64("NaT", "s"), np.float32("nan"), Decimal("NaN")])
def test_nothing_of_any_library_is_missing(cell: Any) -> None:
    assert math.isnan(to_number(cell))
    assert math.isnan(to_boolean(cell))
    assert math.isnan(to_date(cell, "%d/%m/%Y"))
    assert to_word(cell) is None
    assert to_text(cell) is None


@pytest.mark.parametrize("pattern", ["iso", "%d/%m/%Y", "epoch_s"])
@pytest.mark.parametrize(
    "cell",
    [
        date(1970, 1, 2),
        datetime(1970, 1, 2),
        datetime(1970, 1, 2, tzinfo=UTC),
        pd.Timestamp("1970-01-02"),
    ],
)
def test_a_date_is_a_date_however_the_column_writes_its_dates(cell: Any, pattern: str) -> None:
    assert to_date(cell, pattern) == 86_400.0


def test_a_date_of_numpy_is_a_date() -> None:
    assert to_date(np.datetime64("1970-01-02"), "iso") == 86_400.0  # type: ignore[arg-type]
    assert to_date(np.datetime64("1970-01-02", "ns"), "iso") == 86_400.0  # type: ignore[arg-type]


def test_a_truth_of_numpy_is_a_truth() -> None:
    assert to_boolean(np.bool_(True)) == 1.0  # type: ignore[arg-type]
    assert to_boolean(np.bool_(False)) == 0.0  # type: ignore[arg-type]


@pytest.mark.parametrize("cell", [b"2", object(), (1, 2), {1}, np.array([1.0]), np.array(1.0), 1j, np.complex64(1)])
def test_what_is_no_cell_is_refused_by_its_type(cell: Any) -> None:
    for read in (to_number, to_boolean, to_word, to_text, lambda cell: to_date(cell, "iso")):
        with pytest.raises(ValueError, match=f"expected .*, received {type(cell).__name__}"):
            read(cell)


@pytest.mark.parametrize(
    ("text", "style", "number"),
    [
        ("1.234,5", (",", "."), 1234.5),
        ("12.345.678", (",", "."), 12345678),
        ("-1,234.5", (".", ","), -1234.5),
        ("7,5", (",", "."), 7.5),
    ],
)
def test_marks_between_thousands_are_passed_over(text: str, style: tuple[str, str], number: float) -> None:
    assert to_number(text, NumberStyle(*style)) == number


@pytest.mark.parametrize("text", ["12.5", "1.23.456", ".123", "1.2345", "1..234"])
def test_marks_that_do_not_stand_between_thousands_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a number such as"):
        to_number(text, NumberStyle(",", "."))
