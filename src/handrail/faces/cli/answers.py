"""Answers row by row: those that can be given, the problems of the others, and both as files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handrail.core.errors import HandrailError
from handrail.core.jsons import line_of

if TYPE_CHECKING:
    from handrail.faces.cli.rows import Asked
    from handrail.model import Model

ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson")


@dataclass(frozen=True)
class Answered:
    """`answers[i]` is row i's, None where `problems` says (place → problem) why there is none."""

    answers: list[dict[str, Any] | None]
    problems: dict[int, str]
    lines: Sequence[int] = ()

    def where(self, place: int) -> str:
        """How to find a row: its number, and its line where it came from a file."""
        line = f" (line {self.lines[place]})" if self.lines else ""
        return f"row {place + 1:,}{line}"


def answered(model: Model, asked: Asked) -> Answered:
    """All rows at once; where one is off, that one is named and the others are answered."""
    from handrail.jobs.answering import ModelAnswerer
    from handrail.jobs.reading import Rows

    table = asked.table
    if table is None:
        good = [place for place in range(len(asked.rows)) if place not in asked.broken]
        broken = {place: (problem, "") for place, problem in asked.broken.items()}
        rows = Rows(len(asked.rows), good, items=[asked.rows[place] for place in good], broken=broken)
    else:
        # A column that is missing is no row's fault.
        model.signature.columns_of_table({name: [] for name in table.columns})
        rows = Rows(len(table), range(len(table)), table)
    found = ModelAnswerer(model).answer(rows, "")
    return Answered(found.answers, dict(found.problems), () if table is None else table.lines)


def json_line(answers: Answered, place: int) -> str:
    """A row's answer as one line of JSON, its problem where it has none: line i is row i."""
    answer = answers.answers[place]
    return line_of({"error": answers.problems[place]} if answer is None else answer)


def refuse_ending(path: Path) -> None:
    """Raises HandrailError ("usage") for a file of a kind that answers are not written to."""
    if path.suffix.lower() not in ENDINGS:
        raise HandrailError("usage", f"cannot write '{path.suffix or path.name}'", "-o answers.csv or -o answers.jsonl")


def write_answers(path: Path, model: Model, asked: Asked, answers: Answered, *, raw: bool) -> None:
    """A .csv with the rows and their answers beside them, or a .jsonl with the answers."""
    from handrail.core.files import write_text

    if path.suffix.lower() in (".jsonl", ".ndjson"):
        lines = (json_line(answers, place) for place in range(len(answers.answers)))
        write_text(path, "".join(f"{line}\n" for line in lines))
        return
    content = io.StringIO()
    writer = csv.writer(content, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", lineterminator="\n")
    names, rows = _input_cells(model, asked)
    extra = answer_columns(model, answers, names)
    writer.writerow(_safe_cells([*names, *extra], raw))
    for place, cells in enumerate(rows):
        writer.writerow(_safe_cells([*cells, *_answer_cells(model, answers, place, len(extra))], raw))
    write_text(path, content.getvalue())


def answer_columns(model: Model, answers: Answered, taken: Sequence[str]) -> list[str]:
    """The names of the columns that answers add; none is a name that is taken."""
    from handrail.encode.answers import answer_names

    found: list[str] = []
    for name in [*answer_names(model.signature.output), *(["error"] if answers.problems else [])]:
        unique = name
        while unique in taken or unique in found:
            unique += "_"
        found.append(unique)
    return found


def _answer_cells(model: Model, answers: Answered, place: int, count: int) -> list[Any]:
    from handrail.encode.answers import answer_cells

    answer = answers.answers[place]
    if answer is None:
        return [*[""] * (count - 1), answers.problems[place]]
    return [*answer_cells(answer, model.signature.output), *([""] if answers.problems else [])]


def _input_cells(model: Model, asked: Asked) -> tuple[list[str], Iterable[Sequence[Any]]]:
    if asked.table is not None:
        return list(asked.table.columns), zip(*asked.table.columns.values(), strict=True)
    names = list(model.signature.names())
    return names, ([_cell(row, name, names) for name in names] for row in asked.rows)


def _cell(row: Any, name: str, names: Sequence[str]) -> Any:
    if isinstance(row, Mapping):
        return row.get(name)
    return row if len(names) == 1 and isinstance(row, str) else None


def _safe_cells(cells: Sequence[Any], raw: bool) -> list[Any]:
    """Cells that a spreadsheet will not run."""
    from handrail.encode.answers import inert

    return list(cells if raw else map(inert, cells))
