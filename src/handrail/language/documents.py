"""Documents from whatever holds some: texts, rows with a text and more, a file, a folder of files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from handrail.core.errors import HandrailError, closest, listed
from handrail.core.events import Tell, Warned
from handrail.core.field import described
from handrail.data.read import read_table
from handrail.data.table import Table
from handrail.language.texts import read_text, whole
from handrail.tasks.search.library import Document

TABLES: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".xlsx")
TEXTS: Final = (".txt", ".md", ".markdown", ".rst", ".text", ".log", ".org", ".adoc", ".tex")
# The column or key that holds what is searched, the first that is there.
TEXT_NAMES: Final = ("text", "body", "content", "document", "passage")
MOST_FILES: Final = 100_000
MOST_NAMED: Final = 5
MAX_METADATA_BYTES: Final = 64 * 2**10


def documents_of(source: object, tell: Tell, *, first: int = 1) -> list[Document]:
    """Documents with ids of their own; those without one are numbered from `first`.

    Raises HandrailError ("usage", "data") that says what is none, or where nothing is.
    """
    if isinstance(source, str | os.PathLike):
        found = _in_path(Path(source), tell)
    elif isinstance(source, Table) or hasattr(source, "columns"):
        found = _in_rows(_rows(read_table(source)), "row")
    elif isinstance(source, Sequence):
        found = _in_rows(source, "document")
    else:
        problem = f"documents: expected texts, a file or a folder, received {described(source)}"
        raise HandrailError("usage", problem, 'give ["a text", …], or a path')
    documents = list(_numbered(found, first))
    if not documents:
        raise HandrailError("data", "there is no document with words in it", 'give ["a text", …], a file or a folder')
    _refuse_doubles(documents)
    return documents


def _in_path(path: Path, tell: Tell) -> Iterator[Document]:
    text = str(path)
    if "\0" in text or len(text) > 4_096 or not path.exists():
        problem = f"there is no file or folder '{text[:80]}'"
        raise HandrailError("data", problem, 'give a path; texts are given as a list: ["a text", …]')
    if path.is_dir():
        yield from _in_folder(path, tell)
    elif path.suffix.lower() in TABLES:
        yield from _in_rows(_rows(read_table(path)), "row")
    else:
        yield Document(path.name, whole(read_text(path, tell)), {})


def _in_folder(folder: Path, tell: Tell) -> Iterator[Document]:
    """Files of text, by their paths; those that cannot be read are told and left out."""
    left_out: list[str] = []
    count = 0
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        hidden = any(part.startswith(".") for part in Path(name).parts)
        if hidden or path.is_symlink() or not path.is_file() or path.suffix.lower() not in TEXTS:
            continue
        count += 1
        if count > MOST_FILES:
            raise HandrailError(
                "too_large", f"more than {MOST_FILES:,} files", "give a smaller folder", where=str(folder)
            )
        try:
            yield Document(name, whole(read_text(path, tell)), {})
        except HandrailError as error:
            left_out.append(f"{name}: {error.problem}")
    if left_out:
        tell(Warned(f"left out {len(left_out):,} of {count:,} files: {listed(left_out, MOST_NAMED)}"))
    if not count:
        problem = "there is no file of text in this folder"
        raise HandrailError("data", problem, f"names that are read end in {', '.join(TEXTS[:4])}", where=str(folder))


def _rows(table: Table) -> list[dict[str, Any]]:
    names = list(table.columns)
    return [dict(zip(names, cells, strict=True)) for cells in zip(*table.columns.values(), strict=True)]


def _in_rows(rows: Sequence[object], what: str) -> Iterator[Document]:
    for place, row in enumerate(rows, start=1):
        if isinstance(row, str):
            yield Document("", whole(row), {})
        elif isinstance(row, Mapping):
            yield _document(row, f"{what} {place:,}")
        else:
            problem = f"{what} {place:,}: expected a text or an object with a text, received {described(row)}"
            raise HandrailError("usage", problem, '{"text": "…", "id": "a-1"}')


def _document(row: Mapping[Any, Any], where: str) -> Document:
    name = next((name for name in TEXT_NAMES if isinstance(row.get(name), str)), None)
    if name is None:
        near = closest("text", [str(key) for key in row]) or next((str(key) for key in row), "nothing")
        problem = f"{where}: no text under {' or '.join(TEXT_NAMES[:3])}; there is {listed(map(str, row)) or 'nothing'}"
        raise HandrailError("data", problem, f"call '{near}' text, if that is what is searched")
    own = row.get("id")
    known = {str(key): value for key, value in row.items() if key not in (name, "id")}
    if isinstance(known.get("metadata"), Mapping) and len(known) == 1:
        known = {str(key): value for key, value in known["metadata"].items()}
    return Document("" if own is None else whole(str(own)), whole(row[name]), _plain(known, where))


def _plain(known: dict[str, Any], where: str) -> dict[str, Any]:
    """What is known of a document, as JSON has it: dates and numbers of other libraries become words."""
    try:
        written = json.dumps(known, allow_nan=False, default=str)
    except (ValueError, RecursionError):
        written = json.dumps({name: str(value) for name, value in known.items()})
    if len(written) > MAX_METADATA_BYTES:
        problem = f"{where}: more than {MAX_METADATA_BYTES:,} bytes beside the text"
        raise HandrailError("too_large", problem, "keep what is long elsewhere, and its name here")
    found: dict[str, Any] = json.loads(whole(written))
    return found


def _numbered(documents: Iterator[Document], first: int) -> Iterator[Document]:
    """Each with an id; those of blanks alone are left out, and their numbers with them."""
    for place, document in enumerate(documents, start=first):
        if document.text.strip():
            yield document if document.id else Document(str(place), document.text, document.metadata)


def _refuse_doubles(documents: Sequence[Document]) -> None:
    seen: set[str] = set()
    for document in documents:
        if document.id in seen:
            problem = f"two documents have the id '{document.id[:80]}'"
            raise HandrailError("data", problem, "give each an id of its own, or none", field="id")
        seen.add(document.id)
