"""Rows to learn from again: inputs that were kept, with the right answers that came later."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from handrail.core.errors import HandrailError
from handrail.core.signature import Signature
from handrail.core.values import Cell
from handrail.data.table import Table
from handrail.data.targets import LIST_MARK
from handrail.watch.database import open_to_read, path_of
from handrail.watch.telling import Opened, opened_last

FEWEST_ROWS: Final = 20


@dataclass(frozen=True)
class Again:
    """What a training needs to know beside the rows: the target, and how the model that was asked reads its inputs."""

    table: Table
    model: str
    target: str
    kinds: Mapping[str, str]
    problem: str


def feedback_table(home: Path, name: str) -> Table:
    """The inputs that were kept of an API, each with its right answer in the target's column.

    Raises HandrailError where there are none, or too few to learn from.
    """
    return again(home, name).table


def again(home: Path, name: str, *, fewest: int = FEWEST_ROWS) -> Again:
    """`feedback_table`, with what else is known of the model that was asked.

    Raises HandrailError ("data") with what to do where fewer than `fewest` rows have both input and right answer.
    """
    with open_to_read(path_of(home, name)) as database:
        opened, found = opened_last(database), _rows(database)
    if opened is None or opened.signature is None:
        mend = "give rows with the right answers as a file"
        raise HandrailError("usage", f"'{name}' is no model that training can make again", mend)
    if len(found) < fewest:
        raise _too_few(name, len(found), opened, fewest)
    signature = opened.signature
    fields = {field.name: field.kind for field in signature.inputs if field.name in found[0][0]} if found else {}
    problem = {"label": "classification", "labels": "multilabel", "number": "regression"}[signature.output.kind]
    model = opened.version.partition("@")[0] or name
    return Again(_table(found, signature, name), model, signature.output.name, fields, problem)


def joined(table: Table, more: Table) -> Table:
    """The rows of both; where one lacks a column, its cells are empty there."""
    names = [*table.columns, *(name for name in more.columns if name not in table.columns)]
    columns = {
        name: [*table.columns.get(name, [None] * len(table)), *more.columns.get(name, [None] * len(more))]
        for name in names
    }
    return Table(columns, table.source, table.notes, (), table.separator, table.lists)


def _rows(database: sqlite3.Connection) -> list[tuple[dict[str, Any], Any]]:
    """Inputs with right answers, in the order in which they were asked."""
    found = database.execute(
        "select input, right_answer from samples join feedback using (id, row) order by samples.number"
    )
    return [(orjson.loads(content), orjson.loads(right)) for content, right in found]


def _table(found: Sequence[tuple[dict[str, Any], Any]], signature: Signature, name: str) -> Table:
    kept = [field for field in signature.inputs if any(field.name in row for row, _ in found)]
    columns: dict[str, list[Cell]] = {
        field.name: [_written(row.get(field.name), field.decimal) for row, _ in found] for field in kept
    }
    separator = signature.output.separator
    columns[signature.output.name] = [separator.join(right) if isinstance(right, list) else right for _, right in found]
    lists = (signature.output.name,) if signature.output.kind == "labels" and separator == LIST_MARK else ()
    return Table(columns, f"feedback of {name}", lists=lists)


def _written(cell: Cell, decimal: str) -> Cell:
    """A number as its column writes them, so that it can stand beside those of the original file."""
    if decimal == "." or isinstance(cell, bool) or not isinstance(cell, int | float):
        return cell
    return repr(cell).replace(".", decimal)


def _too_few(name: str, rows: int, opened: Opened, fewest: int) -> HandrailError:
    settings = opened.settings
    mend = f"send more to /{name}/feedback, or give the original file, too: handrail train FILE --from-feedback {name}"
    if not settings.get("sample"):
        mend = f"inputs are kept where monitoring says sample: 1.0; {mend}"
    have = "row has" if rows == 1 else "rows have"
    problem = f"{rows:,} {have} both a kept input and a right answer; {fewest:,} are needed"
    return HandrailError("data", problem, mend, where=f"feedback of {name}")
