"""JSON lines, or one JSON array of objects, as a table."""

from __future__ import annotations

from typing import Any

from handrail.core.errors import HandrailError
from handrail.core.jsons import value_of
from handrail.core.values import Cell, quoted
from handrail.data.delimited import decoded, repaired_names, without_surrogates
from handrail.data.table import Table


def read_json(content: bytes, where: str) -> Table:
    """Objects with differing keys are joined: what an object lacks is missing. Raises HandrailError with the line."""
    text, notes = decoded(content, where)
    if text.lstrip().startswith("["):
        whole = _parsed(text, where)
        if not isinstance(whole, list):
            raise _off(where, "expected an array of objects")
        numbered = [(number, row) for number, row in enumerate(whole, start=1)]
        unit = "item"
    else:
        numbered = [
            (number, _parsed(line, f"{where}, line {number}"))
            for number, line in enumerate(text.split("\n"), start=1)
            if line.strip()
        ]
        unit = "line"
    columns: dict[str, list[Cell]] = {}
    lists: dict[str, None] = {}
    for place, (number, row) in enumerate(numbered):
        if not isinstance(row, dict):
            raise _off(f"{where}, {unit} {number}", f"expected an object, received {type(row).__name__}")
        for name, value in row.items():
            if name not in columns:
                columns[name] = [None] * place
            columns[name].append(_cell(value, name, f"{where}, {unit} {number}"))
            if isinstance(value, list):
                lists[name] = None
        for cells in columns.values():
            if len(cells) == place:
                cells.append(None)
    if not columns:
        raise HandrailError("data", "no rows: there is no object in it", "one JSON object a line", where=where)
    names = dict(zip(columns, repaired_names(list(columns), notes), strict=True))
    columns = {names[name]: cells for name, cells in columns.items()}
    lines = [number for number, _ in numbered]
    return Table(columns, where, tuple(notes), lines, lists=tuple(names[name] for name in lists))


def _parsed(text: str, where: str) -> Any:
    try:
        return value_of(text)
    except (ValueError, RecursionError) as error:
        raise _off(where, f"not valid JSON: {error}") from error


def _cell(value: Any, name: str, where: str) -> Cell:
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return without_surrogates("|".join(value))
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, dict | list):
        raise HandrailError(
            "data", f"the value of {quoted(name)} is nested", "give one plain value per name", where=where, field=name
        )
    return value  # type: ignore[no-any-return]


def _off(where: str, problem: str) -> HandrailError:
    return HandrailError("data", problem, 'one object a line: {"text": "…", "label": "…"}', where=where)
