"""Rows that are in memory already: a DataFrame of any library, a list of rows, a mapping of columns."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from handrail.core.errors import HandrailError
from handrail.core.values import Cell
from handrail.data.delimited import repaired_names, without_surrogates
from handrail.data.table import Table


def read_frame(frame: Any) -> Table:
    """Works with pandas, polars and others: needs `.columns`, `frame[name]` and a way to a list."""
    names = [str(name) for name in frame.columns]
    notes: list[str] = []
    repaired = repaired_names(names, notes)
    if len(set(names)) != len(names):
        series = [frame.iloc[:, place] for place in range(len(names))]
    else:
        series = [frame[name] for name in frame.columns]
    return _table(dict(zip(repaired, map(_listed, series), strict=True)), notes)


def read_mapping(columns: Mapping[Any, Any]) -> Table:
    """A mapping from name to a column of values."""
    notes: list[str] = []
    names = repaired_names([str(name) for name in columns], notes)
    return _table(dict(zip(names, map(_listed, columns.values()), strict=True)), notes)


def read_rows(rows: Sequence[Any]) -> Table:
    """A list of mappings; what one lacks is missing."""
    keys: dict[Any, None] = {}
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            problem = f"row {number}: expected a mapping, received {type(row).__name__}"
            raise HandrailError("data", problem, 'give rows like {"text": "…", "label": "…"}')
        keys |= dict.fromkeys(row)
    notes: list[str] = []
    names = repaired_names([str(key) for key in keys], notes)
    return _table({name: [row.get(key) for row in rows] for name, key in zip(names, keys, strict=True)}, notes)


def plain(value: Any) -> Cell:
    """A cell of Python's own types; dates become ISO text, what is not a value becomes its text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, datetime.datetime | datetime.date):
        # pandas' missing date is a date, too, that prints as NaT.
        return None if str(value) == "NaT" else value.isoformat()
    if hasattr(value, "tolist"):
        value = value.tolist()
        if not isinstance(value, list):
            return plain(value)
    if isinstance(value, list | tuple | set | frozenset):
        parts = sorted(map(str, value)) if isinstance(value, set | frozenset) else map(str, value)
        return without_surrogates("|".join(parts))
    text = str(value)
    return None if text in ("NaT", "<NA>", "nan", "NaN") else without_surrogates(text)


def _listed(column: Any) -> list[Any]:
    for word in ("to_list", "tolist", "to_pylist"):
        if hasattr(column, word):
            found: list[Any] = getattr(column, word)()
            return found
    if isinstance(column, str | bytes) or not isinstance(column, Iterable):
        problem = f"expected a list of values for each column, received {type(column).__name__}"
        raise HandrailError("data", problem, 'give columns like {"text": ["…", "…"], "label": ["a", "b"]}')
    return list(column)


def _table(columns: dict[str, list[Any]], notes: list[str]) -> Table:
    lengths = {len(cells) for cells in columns.values()}
    if not columns or lengths == {0}:
        raise HandrailError("data", "no rows", "give at least 10 rows")
    if len(lengths) > 1:
        raise HandrailError("data", "columns of different lengths", "give every column the same number of values")
    lists = tuple(name for name, values in columns.items() if any(map(_is_list, set(map(type, values)))))
    plainly = {name: [plain(value) for value in values] for name, values in columns.items()}
    return Table(plainly, "rows", tuple(notes), lists=lists)


def _is_list(kind: type) -> bool:
    return issubclass(kind, list | tuple | set | frozenset | np.ndarray)
