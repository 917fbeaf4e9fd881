"""Rows from what stands behind `predict NAME`: texts, JSON, files, standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handrail.core.errors import HandrailError
from handrail.core.jsons import value_of

if TYPE_CHECKING:
    from handrail.core.signature import Signature
    from handrail.data.table import Table

MOST_STDIN_BYTES = 512 * 2**20
LONGEST_PATH = 4_096


@dataclass(frozen=True)
class Asked:
    """What is to be answered: a table, or rows with the problems of those that could not be read (place → problem)."""

    table: Table | None = None
    rows: list[Any] = field(default_factory=list)
    broken: dict[int, str] = field(default_factory=dict)
    single: bool = False


def asked(words: Sequence[str], signature: Signature) -> Asked:
    """Raises HandrailError that says what the model takes."""
    if not words or list(words) == ["-"]:
        if not words and sys.stdin.isatty():
            raise HandrailError("usage", "nothing to answer", f"give a row like {_sample(signature)}, a file, or -")
        return of_stdin(_stdin(), signature)
    if len(words) == 1 and is_file(words[0], signature):
        return of_file(Path(words[0]), signature)
    rows: list[Any] = []
    for word in words:
        row = row_of(word, signature)
        rows += row if isinstance(row, list) else [row]
    return Asked(rows=rows, single=len(words) == 1 and not isinstance(row, list))


def of_file(path: Path, signature: Signature) -> Asked:
    """A file's rows as a table. A table's cell holds no vector: those are read from JSON alone."""
    from handrail.core.files import read_limited
    from handrail.data.read import read_table

    if not signature.takes_vectors():
        return Asked(read_table(path))
    if path.suffix.lower() not in (".json", ".jsonl", ".ndjson"):
        mend = f"write rows like {_sample(signature)} to a .jsonl file, one a line"
        raise HandrailError("usage", f"'{path.name}' holds no vectors", mend, where=str(path))
    return of_stdin(read_limited(path, MOST_STDIN_BYTES), signature)


def is_file(word: str, signature: Signature) -> bool:
    """Whether a word names a file: one that is there, or that ends like one and has no blanks."""
    from handrail.model import FILE_ENDINGS

    if "\0" in word or len(word) > LONGEST_PATH or word[:1] in ("{", "["):
        return False
    try:
        there = Path(word).exists()
    except OSError:
        there = False
    return there or (word.lower().endswith(FILE_ENDINGS) and not any(char.isspace() for char in word))


def row_of(word: str, signature: Signature) -> Any:
    """A row, or a list of rows, from one word of the command line."""
    text_only = takes_text(signature)
    if word.lstrip()[:1] in ("{", "["):
        try:
            return json_value(word)
        except ValueError as error:
            if text_only:
                return word
            raise HandrailError("data", f"not valid JSON: {error}", f"give a row like {_sample(signature)}") from error
    if text_only or len(signature.inputs) == 1:
        return word
    raise HandrailError(
        "data", f"neither a file nor a JSON row: '{word[:60]}'", f"give a file, or a row like {_sample(signature)}"
    )


def of_stdin(content: bytes, signature: Signature) -> Asked:
    """Standard input: JSON lines or an array when it begins like one, CSV when its first line names the inputs,
    else a text a line.
    """
    from handrail.data.delimited import decoded
    from handrail.data.read import read_bytes

    if not content.strip():
        raise HandrailError("data", "no rows on stdin", f"give rows like {_sample(signature)}", where="stdin")
    if content[:4] in (b"PAR1", b"PK\x03\x04"):
        return Asked(
            read_bytes(content, "stdin.parquet" if content[:1] == b"P" and content[1:2] == b"A" else "stdin.xlsx")
        )
    text, _ = decoded(content, "stdin")
    if text.lstrip()[:1] == "[" and (rows := _array(text)) is not None:
        return Asked(rows=rows)
    lines = [line for line in text.splitlines() if line.strip()]
    if text.lstrip()[:1] in ("{", "[", '"') and not _names_inputs(lines[0], signature):
        return _json_lines(lines, takes_text(signature))
    if takes_text(signature) and not _names_inputs(lines[0], signature):
        return Asked(rows=list(lines))
    return Asked(read_bytes(content, "stdin.csv", header=True, where="stdin"))


def takes_text(signature: Signature) -> bool:
    """Whether a bare text is a row."""
    return len(signature.inputs) == 1 and signature.inputs[0].kind in ("text", "category")


def json_value(text: str) -> Any:
    """JSON as the RFC has it, no name twice. Raises ValueError."""
    try:
        return value_of(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _stdin() -> bytes:
    content: bytes = sys.stdin.buffer.read(MOST_STDIN_BYTES + 1)
    if len(content) > MOST_STDIN_BYTES:
        raise HandrailError(
            "too_large", f"more than {MOST_STDIN_BYTES // 2**20} MB on stdin", "give the rows as a file", where="stdin"
        )
    return content


def _array(text: str) -> list[Any] | None:
    try:
        value = json_value(text)
    except ValueError:
        return None
    return value if isinstance(value, list) else None


def _json_lines(lines: list[str], text_only: bool) -> Asked:
    rows: list[Any] = []
    broken: dict[int, str] = {}
    for place, line in enumerate(lines):
        try:
            rows.append(json_value(line))
        except ValueError as error:
            if text_only and line.lstrip()[:1] not in ("{", "["):
                rows.append(line)
                continue
            rows.append(None)
            broken[place] = f"not valid JSON: {error}"
    return Asked(rows=rows, broken=broken)


def _names_inputs(line: str, signature: Signature) -> bool:
    cells = {cell.strip().strip('"') for separator in ",;\t|" for cell in line.split(separator)}
    needed = [one.name for one in signature.inputs if not one.optional] or list(signature.names())
    return cells >= set(needed)


def _sample(signature: Signature) -> str:
    if takes_text(signature):
        return json.dumps(str(signature.inputs[0].sample())[:60], ensure_ascii=False)
    return f"'{signature.sample_text()}'"
