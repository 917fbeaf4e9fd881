"""A batch becomes pieces: files are found and looked at, rows counted, and all of it entered at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from handrail.core.errors import HandrailError, listed
from handrail.core.events import Tell, quiet
from handrail.core.files import write_bytes
from handrail.jobs import chunks
from handrail.jobs.answering import Answerer
from handrail.jobs.batch import FILE_COLUMN, FILES, ITEMS, PRIVATE, Batch, Layout, write_layout
from handrail.jobs.database import Connection
from handrail.jobs.finding import File, files_in
from handrail.jobs.planning import Plan, Source, is_table, lines_of_files, plan_items, plan_tables


@dataclass(frozen=True)
class Planned:
    """`files` is how many files are read; `lines` are the files that are rows themselves."""

    plan: Plan
    layout: Layout
    files: int
    lines: bytes = b""


def planned(batch: Batch, answerer: Answerer, workers: int, *, items: bytes = b"", tell: Tell = quiet) -> Planned:
    """What a batch would do; writes nothing. Raises HandrailError where it could do nothing."""
    if not answerer.names and not batch.in_lines:
        raise HandrailError("usage", "answers of code have no columns", "-o answers.jsonl", field="output")
    if batch.reads == "items":
        plan = plan_items(items, Source("items", ITEMS, ITEMS), piece_rows=batch.piece_rows, workers=workers)
        return Planned(plan, _layout(plan, answerer, tuple(answerer.inputs)), 0)
    folders = None if batch.folders is None else [Path(folder) for folder in batch.folders]
    found = files_in(batch.paths, includes=batch.includes, excludes=batch.excludes, folders=folders)
    if _are_rows(batch, found):
        return _of_files(batch, found, answerer, workers)
    plan = plan_tables(
        found,
        piece_rows=batch.piece_rows,
        workers=workers,
        named=not batch.in_lines,
        check=lambda source: _refuse(source, answerer),
        tell=tell,
    )
    if not plan.pieces:
        raise HandrailError("data", "no rows in any file", "give files with rows")
    return Planned(plan, _layout(plan, answerer, plan.names), len(found))


def enqueue(database: Connection, folder: Path, job: str, made: Planned) -> None:
    """Enters the pieces of a job, which runs from then on. Done again, it begins anew."""
    if made.lines:
        write_bytes(folder / FILES, made.lines, PRIVATE)
    write_layout(folder, made.layout)
    chunks.enter(database, job, made.plan.pieces)


def _are_rows(batch: Batch, found: Sequence[File]) -> bool:
    """Whether each file is a row."""
    if batch.reads != "auto":
        return batch.reads == "files"
    if len(found) == 1 and len(batch.paths) == 1 and not Path(batch.paths[0]).is_dir():
        return False
    tables = [file.name for file in found if is_table(file.name)]
    if tables and len(tables) < len(found):
        others = [file.name for file in found if not is_table(file.name)]
        problem = f"some files hold rows ({listed(tables, 3)}), others do not ({listed(others, 3)})"
        raise HandrailError("usage", problem, "choose: --include '*.csv'", field="includes")
    return not tables


def _of_files(batch: Batch, found: Sequence[File], answerer: Answerer, workers: int) -> Planned:
    if answerer.files_as is None:
        problem = f"a file that is one row is a text, and this model takes {listed(answerer.inputs, 6)}"
        raise HandrailError("usage", problem, "give files with rows: .csv, .jsonl or .parquet", where=found[0].name)
    lines = lines_of_files(found)
    plan = plan_items(lines, Source("files", FILES, FILES), piece_rows=batch.piece_rows, workers=workers)
    return Planned(plan, _layout(plan, answerer, (FILE_COLUMN,)), len(found), lines)


def _refuse(source: Source, answerer: Answerer) -> None:
    if source.kind == "lines":
        if source.names and not answerer.vectors:
            answerer.refuse(source.names, source.path)
    elif answerer.vectors:
        mend = "write rows to a .jsonl file, one object a line"
        raise HandrailError("usage", f"'{source.name}' holds no vectors", mend, where=source.path)
    else:
        answerer.refuse(source.names, source.path)


def _layout(plan: Plan, answerer: Answerer, inputs: tuple[str, ...]) -> Layout:
    """Columns of answers get names that no column of the rows has."""
    taken, answers = set(inputs), []
    for name in answerer.names:
        unique = name
        while unique in taken:
            unique += "_"
        taken.add(unique)
        answers.append(unique)
    return Layout(plan.sources, inputs, tuple(answers))
