"""Answers as files: a part for each piece, joined in order at the end; and the rows that got none, with the reason."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from handrail.core.files import FILE_MODE, write_blocks, write_bytes
from handrail.core.jsons import line_of
from handrail.encode.answers import inert
from handrail.jobs.answering import Answered, Answerer
from handrail.jobs.batch import FILE_COLUMN, Batch, Layout, part_of
from handrail.jobs.planning import Piece
from handrail.jobs.reading import Rows

DEAD: Final = ".dead"
COPY_BYTES: Final = 2**20
PRIVATE: Final = 0o600


@dataclass(frozen=True)
class Part:
    """One piece with its answers: `names` are those of files that are rows themselves."""

    piece: Piece
    rows: Rows
    answered: Answered
    source: str
    names: Sequence[str] = ()


def write_part(folder: Path, batch: Batch, layout: Layout, answerer: Answerer, part: Part) -> int:
    """Writes the answers of a piece, and how many rows got none; durable when it returns."""
    path = part_of(folder, part.piece.position, part.piece.rows)
    dead = "".join(f"{line}\n" for line in _dead_lines(part))
    if dead:
        write_bytes(path.with_name(path.name + DEAD), dead.encode(), PRIVATE)
    content = _lines(part) if batch.in_lines else _cells(batch, layout, answerer, part)
    write_bytes(path, content.encode("utf-8", "replace"), PRIVATE)
    return len(part.answered.problems)


def _lines(part: Part) -> str:
    found = part.answered
    shown = [
        {"error": found.problems[place]} if place in found.problems else answer
        for place, answer in enumerate(found.answers)
    ]
    return "".join(f"{line_of(one)}\n" for one in shown)


def _cells(batch: Batch, layout: Layout, answerer: Answerer, part: Part) -> str:
    content, found = io.StringIO(), part.answered
    writer = csv.writer(content, delimiter=_separator(batch.ending), lineterminator="\n")
    nothing = [""] * len(layout.answers)
    for place, cells in enumerate(_input_cells(layout, part)):
        answer = nothing if place in found.problems else answerer.cells(found.answers[place])
        row = [*cells, *answer]
        writer.writerow(row if batch.raw else map(inert, row))
    return content.getvalue()


def _input_cells(layout: Layout, part: Part) -> list[list[Any]]:
    """The cells of all rows of a piece, blank where a row could not be read."""
    if part.names:
        return [[name] for name in part.names]
    rows, names = part.rows, layout.inputs
    cells: list[list[Any]] = [[""] * len(names) for _ in range(rows.count)]
    if rows.table is not None:
        gaps = [""] * len(rows.table)
        columns = [rows.table.columns.get(name, gaps) for name in names]
        for place, row in zip(rows.places, zip(*columns, strict=True), strict=False):
            cells[place] = list(row)
    else:
        for place, item in zip(rows.places, rows.items, strict=True):
            cells[place] = [_cell(item, name, names) for name in names]
    return cells


def _cell(item: Any, name: str, names: Sequence[str]) -> Any:
    if isinstance(item, Mapping):
        return item.get(name)
    return item if len(names) == 1 and isinstance(item, str) else None


def _dead_lines(part: Part) -> Iterator[str]:
    """One line for each row without an answer: its number (1 is the first of all), where it stood, why, and itself."""
    if not part.answered.problems:
        return
    given = _given(part)
    for place, problem in sorted(part.answered.problems.items()):
        file = part.names[place] if part.names else part.source
        line: dict[str, Any] = {"row": part.piece.position + place + 1, "file": file, "error": problem}
        if place in part.rows.broken and not part.names:
            line["raw"] = part.rows.broken[place][1]
        elif not part.names:
            line["input"] = given[place]
        else:
            line["input"] = {FILE_COLUMN: file}
        yield line_of(line)


def _given(part: Part) -> dict[int, Any]:
    """Place → the row as it was given to what answers."""
    table = part.rows.table
    return dict(zip(part.rows.places, part.rows.items if table is None else table.rows(), strict=True))


# The whole.


@dataclass(frozen=True)
class Joined:
    """Where the whole is, and the rows without an answer where there are some."""

    path: Path
    dead: Path | None


def join(folder: Path, batch: Batch, layout: Layout, pieces: Iterable[tuple[Piece, int]], path: Path) -> Joined:
    """Puts all parts together, in their order, and gives the whole its name in one step; the same when done again.

    `pieces` are those of the job, each with how many of its rows got no answer.
    """
    pieces = list(pieces)
    mode = FILE_MODE if batch.path else PRIVATE
    dead = path.with_name(f"{path.stem}.dead{path.suffix}")
    if any(count for _, count in pieces):
        write_blocks(dead, _dead_content(folder, batch, layout, pieces), mode)
    else:
        with suppress(FileNotFoundError):  # what an earlier try left to say
            dead.unlink()
    write_blocks(path, _content(folder, batch, layout, pieces), mode)
    return Joined(path, dead if any(count for _, count in pieces) else None)


def _content(folder: Path, batch: Batch, layout: Layout, pieces: Sequence[tuple[Piece, int]]) -> Iterator[bytes]:
    if not batch.in_lines:
        yield _line([*layout.inputs, *layout.answers], batch)
    for piece, _ in pieces:
        with part_of(folder, piece.position, piece.rows).open("rb") as part:
            while block := part.read(COPY_BYTES):
                yield block


def _dead_content(folder: Path, batch: Batch, layout: Layout, pieces: Sequence[tuple[Piece, int]]) -> Iterator[bytes]:
    """The rows as they were, so that they can be mended and given again, with `row`, `file`, `error` and `raw`."""
    if not batch.in_lines:
        yield _line(
            [*_free_names(("row", "file", "error"), layout), *layout.inputs, *_free_names(("raw",), layout)], batch
        )
    for piece, count in pieces:
        if not count:
            continue
        part = part_of(folder, piece.position, piece.rows)
        with part.with_name(part.name + DEAD).open("rb") as lines:
            yield from lines if batch.in_lines else (_dead_row(json.loads(line), batch, layout) for line in lines)


def _dead_row(line: Mapping[str, Any], batch: Batch, layout: Layout) -> bytes:
    given = line.get("input", "")
    cells = [_cell(given, name, layout.inputs) for name in layout.inputs]
    return _line([line["row"], line["file"], line["error"], *cells, line.get("raw", "")], batch)


def _free_names(names: Sequence[str], layout: Layout) -> list[str]:
    """Names for columns of ours that no column of the rows has."""
    found = []
    for name in names:
        while name in layout.inputs:
            name += "_"  # noqa: PLW2901 - a name grows until it is free
        found.append(name)
    return found


def _line(cells: Sequence[Any], batch: Batch) -> bytes:
    line = io.StringIO()
    writer = csv.writer(line, delimiter=_separator(batch.ending), lineterminator="\n")
    writer.writerow(cells if batch.raw else map(inert, cells))
    return line.getvalue().encode("utf-8", "replace")


def _separator(ending: str) -> str:
    return "\t" if ending == ".tsv" else ","
