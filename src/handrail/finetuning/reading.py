"""Documents from whatever holds some: files of text or rows, folders, patterns, a DataFrame, rows in memory."""

from __future__ import annotations

import dataclasses
import glob
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from handrail.core.errors import HandrailError, closest, listed
from handrail.core.field import described
from handrail.data.read import read_table
from handrail.data.spreadsheets import parquet_rows
from handrail.data.table import Table
from handrail.finetuning.documents import Document, Reading
from handrail.finetuning.rows import EXAMPLE, documents_of_rows
from handrail.finetuning.texts import read_text

TABLES: Final = (".csv", ".tsv", ".xlsx", ".xls", ".ods")
LINES: Final = (".jsonl", ".ndjson", ".json")
TEXTS: Final = (".txt", ".md", ".markdown", ".rst", ".text", ".log", ".org", ".adoc", ".tex", ".py", ".html", ".htm")
MOST_FILES: Final = 100_000
# What parts documents inside one file, as the tools before us wrote it.
MARK: Final = re.compile(r"<\|(?:endoftext|startoftext)\|>")
ROWS_BYTES: Final = 2**29


@dataclasses.dataclass
class _Found:
    """What has been read so far, and how much may still be."""

    left_bytes: int
    column: str | None
    encoding: str | None
    documents: list[Document] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    read_bytes: int = 0
    total_bytes: int = 0


def read_documents(
    sources: Sequence[object],
    *,
    most_bytes: int,
    column: str | None = None,
    encoding: str | None = None,
) -> Reading:
    """All documents in files, folders, patterns like `plays/*.txt`, DataFrames or lists of rows.

    Of text that is larger than `most_bytes`, evenly spread parts are read. Raises HandrailError that says what is off.
    """
    if not sources:
        raise HandrailError("usage", "there is nothing to learn from", "handrail finetune story.txt", field="data")
    found = _Found(most_bytes, column, encoding)
    for number, source in enumerate(sources):
        before = len(found.documents)
        _read(source, found)
        found.documents[before:] = [dataclasses.replace(one, source=number) for one in found.documents[before:]]
    if not any(document.text.strip() or document.messages for document in found.documents):
        raise HandrailError("data", "there is no text in it", "give a file with words in it", where=_called(sources[0]))
    return Reading(
        tuple(found.documents), ", ".join(map(_called, sources))[:200], found.read_bytes, found.total_bytes,
        tuple(found.notes),
    )  # fmt: skip


def _read(source: object, found: _Found) -> None:
    if isinstance(source, str | os.PathLike):
        _read_path(Path(source), found)
    elif isinstance(source, Table) or hasattr(source, "columns"):
        table = read_table(source)
        _add_rows(_rows(table), "the table", found)
    elif isinstance(source, Sequence):
        _add_rows([_row(row, number) for number, row in enumerate(source, start=1)], "the list", found)
    else:
        problem = f"cannot read texts from {described(source)}"
        raise HandrailError("usage", problem, "give a path, a DataFrame, or a list of rows", field="data")


def _read_path(path: Path, found: _Found) -> None:
    text = str(path)
    if "\0" in text or len(text) > 4_096:
        raise HandrailError("data", "no such file", "check the path", where=text[:80])
    if path.is_dir():
        _read_files(_files_in(path), text, found)
    elif not path.exists() and glob.has_magic(text):
        matched = [Path(name) for name in sorted(glob.glob(text, recursive=True))]  # noqa: PTH207 - absolute patterns, too
        if not matched:
            raise HandrailError("data", "no file is called like that", "check the pattern", where=text)
        _read_files(matched, text, found)
    elif not path.exists():
        near = closest(path.name, _beside(path))
        mend = f"did you mean '{path.parent / near}'?" if near else "check the path"
        raise HandrailError("data", "no such file", mend, where=text)
    else:
        _read_file(path, found)


def _beside(path: Path) -> list[str]:
    try:
        return [item.name for item in path.parent.iterdir()]
    except OSError:
        return []


def _files_in(folder: Path) -> list[Path]:
    """Files of text and rows in a folder and the folders in it; links and hidden ones are not followed."""
    suffixes = (*TEXTS, *TABLES, *LINES, ".parquet")
    kept: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(root, name)
            if not name.startswith(".") and path.suffix.lower() in suffixes and not path.is_symlink():
                kept.append(path)
            if len(kept) > MOST_FILES:
                problem, mend = f"more than {MOST_FILES:,} files", "give a smaller folder"
                raise HandrailError("too_large", problem, mend, where=str(folder))
    if not kept:
        raise HandrailError("data", "there is no file of text in this folder",
                            f"names that are read end in {listed(suffixes, 6)}", where=str(folder))  # fmt: skip
    return kept


def _read_files(paths: Sequence[Path], where: str, found: _Found) -> None:
    """Several files: those that cannot be read are named and left out, unless that is all of them."""
    problems: list[HandrailError] = []
    for path in paths:
        if path.is_dir():
            continue
        try:
            _read_file(path, found)
        except HandrailError as error:
            problems.append(error)
    if problems and len(problems) >= len(paths):
        raise problems[0]
    if problems:
        said = listed([f"{error.where or where}: {error.problem}" for error in problems], 5)
        found.notes.append(f"left out {len(problems):,} of {len(paths):,} files: {said}")


def _read_file(path: Path, found: _Found) -> None:
    suffix = path.suffix.lower()
    if suffix in TABLES:
        table = read_table(path)
        found.notes.extend(f"{path.name}: {note}" for note in table.notes)
        _count(path, found)
        _add_rows(_rows(table), str(path), found)
    elif suffix == ".parquet":
        _count(path, found)
        _add_rows(parquet_rows(path.read_bytes(), str(path)), str(path), found)
    elif suffix in LINES:
        text = "\n".join(_text_of(path, ROWS_BYTES, found))
        _add_rows(list(_objects(text, str(path))), str(path), found)
    else:
        _add_text(path, found)


def _add_text(path: Path, found: _Found) -> None:
    parts = _text_of(path, max(2**20, found.left_bytes), found)
    texts = [text for part in parts for text in MARK.split(part) if text.strip()]
    if not texts:
        raise HandrailError("data", "the file is empty", "give a file with words in it", where=str(path))
    found.documents += [
        Document(text, where=str(path) if len(texts) == 1 else f"{path}, part {number}")
        for number, text in enumerate(texts, start=1)
    ]


def _text_of(path: Path, most_bytes: int, found: _Found) -> tuple[str, ...]:
    text = read_text(path, most_bytes, found.encoding)
    found.notes.extend(f"{path.name}: {note}" for note in text.notes)
    found.read_bytes += text.read_bytes
    found.total_bytes += text.total_bytes
    found.left_bytes -= text.read_bytes
    return text.parts


def _count(path: Path, found: _Found) -> None:
    size = path.stat().st_size
    found.read_bytes += size
    found.total_bytes += size


def _add_rows(rows: Sequence[Mapping[str, Any]], where: str, found: _Found) -> None:
    if not rows:
        raise HandrailError("data", "no rows", EXAMPLE, where=where)
    documents, notes = documents_of_rows(rows, where, found.column)
    found.documents += documents
    found.notes += notes


def _rows(table: Table) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, cells, strict=True)) for cells in zip(*table.columns.values(), strict=True)]


def _row(row: object, number: int) -> Mapping[str, Any]:
    if isinstance(row, str):
        return {"text": row}
    if isinstance(row, Mapping):
        return row
    problem = f"row {number:,}: expected a text or an object, received {described(row)}"
    raise HandrailError("usage", problem, EXAMPLE, field="data")


def _objects(text: str, where: str) -> Iterator[Mapping[str, Any]]:
    """The objects of JSON lines, or of one JSON array."""
    if text.lstrip().startswith("["):
        whole = _json(text, where)
        for number, item in enumerate(whole if isinstance(whole, list) else [whole], start=1):
            yield _object(item, f"{where}, item {number}")
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _object(_json(line, f"{where}, line {number}"), f"{where}, line {number}")


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, Mapping):
        return value
    raise HandrailError("data", f"expected an object, received {described(value)}", EXAMPLE, where=where)


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HandrailError("data", f"not valid JSON: {error}", EXAMPLE, where=where) from error


def _called(source: object) -> str:
    return Path(source).name if isinstance(source, str | os.PathLike) else "rows in memory"
