"""Words of the command line turned into values: durations, kinds, rows and files of rows."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

from handrail.core.errors import HandrailError, clipped
from handrail.core.signature import Signature
from handrail.data.read import read_bytes, read_table
from handrail.data.table import Table

FILE_SUFFIX = re.compile(r"\.(?:csv|tsv|jsonl|ndjson|json|parquet|xlsx|xls|ods|txt)(?:\.gz)?$", re.IGNORECASE)
MOST_STDIN_BYTES = 2**31


def seconds(text: str | None) -> float | None:
    """`60`, `60s`, `5m`, `1h` or `2d` in seconds. Raises HandrailError ("usage")."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)\s*([smhd]?)", text.strip())
    if found is None:
        raise HandrailError(
            "usage", f"--time must be a duration, received '{clipped(text)}'", "for example --time 60s or --time 5m"
        )
    value = float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]
    return value if math.isfinite(value) else None


def kinds(pairs: tuple[str, ...]) -> dict[str, str]:
    """`age=category` pairs as a mapping. Raises HandrailError ("usage")."""
    found = {}
    for pair in pairs:
        name, equals, kind = pair.rpartition("=")
        if not equals or not name:
            raise HandrailError(
                "usage", f"--kind must be COLUMN=KIND, received '{clipped(pair)}'", "for example --kind age=category"
            )
        found[name] = kind
    return found


def rows_or_table(words: tuple[str, ...], signature: Signature) -> list[Any] | Table:
    """What is to be answered: a file's table, stdin's, or rows given as words (text or JSON)."""
    if not words or words == ("-",):
        return from_stdin(signature)
    if len(words) == 1 and looks_like_file(words[0]):
        return table_for(read_named(words[0], signature), signature)
    return [row_from(word, signature) for word in words] if len(words) > 1 else _one(words[0], signature)


def looks_like_file(word: str) -> bool:
    """A word that ends like a file of rows, or names a file that is there."""
    if FILE_SUFFIX.search(word) and "\n" not in word and not word.lstrip().startswith(("{", "[")):
        return " " not in word or Path(word).exists()
    try:
        return Path(word).is_file()
    except (ValueError, OSError):
        return False


def read_named(word: str, signature: Signature) -> Table:
    """A file of rows; without a header where it holds one column and the model takes one text."""
    return read_table(Path(word))


def table_for(table: Table, signature: Signature) -> Table:
    """A table of one nameless column is the model's one input."""
    names = signature.names()
    if len(names) == 1 and len(table.columns) == 1 and names[0] not in table.columns:
        (only,) = table.columns
        cells = table.columns[only]
        return Table({names[0]: cells if only.startswith("column_") else [only, *cells]}, table.source, table.notes)
    return table


def from_stdin(signature: Signature) -> list[Any] | Table:
    """Stdin: JSON lines, a CSV with the model's columns, or a text a line."""
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        raise HandrailError("usage", "nothing to answer", f"give a row: {signature.sample_text()}")
    content = sys.stdin.buffer.read(MOST_STDIN_BYTES)
    start = content.lstrip()[:1]
    if start in (b"{", b"["):
        return table_for(read_bytes(content, "stdin.jsonl"), signature)
    first = content.split(b"\n", 1)[0].decode("utf-8", "replace")
    names = signature.names()
    if len(names) == 1 and names[0] not in re.split(r"[,;\t|]", first.strip()):
        return [line for line in content.decode("utf-8", "replace").splitlines() if line.strip()]
    return table_for(read_bytes(content, "stdin.csv"), signature)


def row_from(word: str, signature: Signature) -> Any:
    """A row given as a word: JSON where it is an object, else the text itself."""
    if word.lstrip().startswith(("{", '"')):
        try:
            return json.loads(word)
        except ValueError as error:
            if word.lstrip().startswith('"'):
                return word
            raise HandrailError(
                "data", f"not valid JSON: {error}", f"for example '{signature.sample_text()}'"
            ) from None
    if len(signature.inputs) != 1:
        raise HandrailError(
            "data",
            f"expected a JSON row or a file, received '{clipped(word)}'",
            f"for example '{signature.sample_text()}'",
        )
    return word


def _one(word: str, signature: Signature) -> list[Any]:
    if word.lstrip().startswith("["):
        try:
            found = json.loads(word)
        except ValueError as error:
            raise HandrailError(
                "data", f"not valid JSON: {error}", f"for example '[{signature.sample_text()}]'"
            ) from None
        return found if isinstance(found, list) else [found]
    return [row_from(word, signature)]
