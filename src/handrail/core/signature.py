"""The fields that go in and come out of a model: validation, OpenAPI, forms and messages are drawn from it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from handrail.core.errors import HandrailError, closest, listed
from handrail.core.field import MAX_VECTOR, Field, Reader, Value, array_of, described, value_in
from handrail.core.values import Cell, quoted

OutputKind = Literal["label", "labels", "number", "vector", "text"]
# name → (rows,) float64 with NaN, or object of str and None; a vector is (rows, size) float32
Columns = Mapping[str, np.ndarray]
Row = Mapping[str, Cell]
Problem = tuple[str, str | None]  # what is off, and the field
Step = tuple[Field, Reader, Callable[[Value], None]]  # a field, what reads it, where its value goes
MAX_PROBLEMS_SHOWN = 5


@dataclass(frozen=True)
class Output:
    """What comes out: a label with probabilities, several labels, a number, a vector of `size` numbers, or a text.

    `name` is the target column's; `separator` stands between several labels in a cell of that column.
    """

    name: str
    kind: OutputKind
    labels: tuple[str, ...] = ()
    separator: str = "|"
    size: int = 0


@dataclass(frozen=True)
class Signature:
    """`ignored` names columns that training saw and left out: they may be sent, and are not looked at."""

    inputs: tuple[Field, ...]
    output: Output
    ignored: tuple[str, ...] = ()

    def names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.inputs)

    def takes_vectors(self) -> bool:
        """True where the inputs are vectors; they do not mix with other kinds."""
        return self.inputs[0].kind == "vector"

    def sample_row(self) -> dict[str, Cell]:
        """One row this model accepts."""
        return {field.name: field.sample() for field in self.inputs}

    def columns_of_rows(self, rows: Sequence[object]) -> Columns:
        """Values of JSON-like rows, by column. A bare text is a row where there is one input.

        Raises HandrailError ("data") with up to five problems, each naming row and field.
        """
        problems: list[Problem] = []
        values: dict[str, list[Value]] = {field.name: [] for field in self.inputs}
        steps = self._steps(values)
        for index, row in enumerate(rows):
            problems += [(f"row {index + 1}: {text}", name) for text, name in self._read_row(row, steps)]
            if len(problems) >= MAX_PROBLEMS_SHOWN:
                break
        if problems:
            raise self._refusal(problems)
        return {field.name: array_of(field, values[field.name]) for field in self.inputs}

    def problem_of_row(self, row: object) -> str | None:
        """What is off with one JSON-like row, in one line; None where nothing is."""
        problems = self._read_row(row, self._steps({field.name: [] for field in self.inputs}))
        return self._refusal(problems).problem if problems else None

    def columns_of_table(self, table: Mapping[str, Sequence[Cell]]) -> Columns:
        """Values of a table's columns, in any order, others ignored; optional columns may be absent.

        Raises HandrailError ("data") naming missing columns, or the row and column of a cell that is off.
        """
        self._refuse_absent(table)
        rows = len(next(iter(table.values())))
        return {
            field.name: field.accept_column(table[field.name]) if field.name in table else field.gaps(rows)
            for field in self.inputs
        }

    def _refuse_absent(self, table: Mapping[str, Sequence[Cell]]) -> None:
        """An optional column is missed, too, where another one has nearly its name, or where no column is ours."""
        known = {*self.names(), *self.ignored, self.output.name}
        unknown = [name for name in table if name not in known]
        none_there = not any(name in table for name in self.names())
        absent = [
            field.name
            for field in self.inputs
            if field.name not in table and (not field.optional or none_there or closest(field.name, unknown))
        ]
        if not absent:
            return
        near = closest(absent[0], unknown)
        needed = listed(field.name for field in self.inputs if not field.optional) or listed(self.names())
        raise HandrailError(
            "data",
            f"no column '{absent[0]}'" + (f" (and {len(absent) - 1} more are missing)" if absent[1:] else ""),
            (f"rename '{near}' to '{absent[0]}'? " if near else "") + f"the columns needed: {needed}",
            field=absent[0],
        )

    def _steps(self, values: Mapping[str, list[Value]]) -> list[Step]:
        return [(field, field.acceptor(), values[field.name].append) for field in self.inputs]

    def _read_row(self, row: object, steps: Sequence[Step]) -> list[Problem]:
        """Adds a row's values to the columns; gives what is off with it."""
        cells = self._as_mapping(row)
        if cells is None:
            return [(self._wanted_row(row), None)]
        problems: list[Problem] = []
        found = 0
        for field, accept, append in steps:
            found += field.name in cells
            try:
                append(value_in(cells, field, accept))
            except ValueError as error:
                problems.append((str(error), field.name))
        if len(cells) > found:
            problems.extend(self._unknown(cells))
        return problems

    def _as_mapping(self, row: object) -> Mapping[str, Any] | None:
        if isinstance(row, Mapping):
            return row
        bare = list if self.takes_vectors() else str
        if len(self.inputs) == 1 and isinstance(row, bare):
            return {self.inputs[0].name: row}
        return None

    def _wanted_row(self, row: object) -> str:
        bare = "a list of numbers" if self.takes_vectors() else "a text"
        kind = f"{bare} or an object" if len(self.inputs) == 1 else "an object"
        return f"expected {kind} with {listed(self.names(), 6)}, received {described(row)}"

    def _unknown(self, cells: Mapping[str, Any]) -> Iterable[Problem]:
        known = {*self.names(), *self.ignored, self.output.name}
        unknown = (name for name in cells if name not in known)
        for name in itertools.islice(unknown, MAX_PROBLEMS_SHOWN):
            near = closest(str(name), known)
            hint = f"; did you mean '{near}'?" if near else ""
            yield f"no field is called {quoted(str(name))}{hint}", str(name)

    def _refusal(self, problems: Sequence[Problem]) -> HandrailError:
        shown = [text for text, _ in problems[:MAX_PROBLEMS_SHOWN]]
        rest = len(problems) - len(shown)
        mend = f"send {self.sample_text()}"
        return HandrailError(
            "data", "; ".join(shown) + (f"; and {rest} more" if rest > 0 else ""), mend, field=problems[0][1]
        )

    def sample_text(self) -> str:
        """A row this model accepts, as short JSON."""
        row = json.dumps(self.sample_row(), ensure_ascii=False)
        return row if len(row) <= 400 else row[:399] + "…"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def signature_from(value: object) -> Signature:
    """The signature in a manifest. Raises KeyError, TypeError or ValueError when it is not one."""
    if not isinstance(value, dict) or not isinstance(value.get("output"), dict):
        raise TypeError("the signature is not an object with inputs and an output")
    output = value["output"]
    fields = tuple(_field_from(item) for item in value["inputs"])
    if len({field.name for field in fields}) != len(fields):
        raise ValueError("the signature names an input twice")
    if len({field.kind == "vector" for field in fields}) != 1:
        raise ValueError("the signature has no input, or vectors beside other kinds")
    if output["kind"] not in ("label", "labels", "number", "vector", "text"):
        raise ValueError(f"unknown kind of output {quoted(str(output['kind']))}")
    labels = _texts(output["labels"], "labels")
    ignored = _texts(value.get("ignored", []), "ignored")
    separator = _text(output.get("separator", "|"), "separator") or "|"
    name, size = _text(output["name"], "name"), _size(output.get("size", 0), output["kind"])
    return Signature(fields, Output(name, output["kind"], labels, separator, size), ignored)


def _field_from(item: object) -> Field:
    if not isinstance(item, dict):
        raise TypeError("an input of the signature is not an object")
    if item.get("kind") not in ("number", "boolean", "date", "category", "text", "vector"):
        raise ValueError(f"unknown kind of input {quoted(str(item.get('kind')))}")
    known = {name: item[name] for name in Field.__dataclass_fields__ if name in item}
    known["choices"] = _texts(item.get("choices", []), "choices")
    known["size"] = _size(item.get("size", 0), item["kind"])
    for name in ("name", "pattern", "decimal", "thousands"):
        _text(item.get(name, Field.__dataclass_fields__[name].default), name)
    for name in ("minimum", "maximum"):
        if not isinstance(item.get(name), float | int | None) or isinstance(item.get(name), bool):
            raise TypeError(f"the signature's {name}: expected a number, received {described(item[name])}")
    if not isinstance(item.get("optional", False), bool) or isinstance(item.get("example"), dict):
        raise TypeError("the signature's optional is true or false, and an example is no object")
    return Field(**known)


def _size(size: object, kind: object) -> int:
    if type(size) is not int or not (1 if kind == "vector" else 0) <= size <= MAX_VECTOR:
        wanted = f"a vector of 1 to {MAX_VECTOR:,} numbers"
        raise ValueError(f"the signature's size: expected {wanted}, received {str(size)[:40]}")
    return size


def _texts(values: object, name: str) -> tuple[str, ...]:
    if not isinstance(values, list | tuple):
        raise TypeError(f"the signature's {name}: expected a list, received {described(values)}")
    return tuple(_text(value, name) for value in values)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"the signature's {name}: expected text, received {described(value)}")
    return value
