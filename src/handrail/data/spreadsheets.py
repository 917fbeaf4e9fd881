"""Excel, OpenDocument and Parquet files, through libraries that come with an extra."""

from __future__ import annotations

import importlib
import io
import zipfile
from types import ModuleType
from typing import Any, Final

from handrail.core.errors import HandrailError, listed
from handrail.data.delimited import has_header, repaired_names
from handrail.data.frames import plain
from handrail.data.memory import COPIES, refuse_needed, refuse_rows
from handrail.data.table import Table

# A sheet with fewer rows than this below its header explains another one.
FEWEST_ROWS: Final = 10


def read_spreadsheet(content: bytes, where: str, header: bool | None = None) -> Table:
    """The first sheet that holds enough rows, else the one that holds most."""
    calamine = _library("python_calamine", "train", where)
    _refuse_large_sheets(content, where)
    try:
        book = calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        sheets = [(name, book.get_sheet_by_name(name).to_python(skip_empty_area=True)) for name in book.sheet_names]
    except Exception as error:
        raise HandrailError(
            "data", f"not a spreadsheet that can be read: {str(error)[:100]}", "save it as .xlsx or .csv", where=where
        ) from error
    filled = [(name, rows) for name, rows in sheets if len(rows) > 1]
    if not filled:
        raise HandrailError("data", "no rows in any sheet", "give a sheet with a header and rows", where=where)
    most = max(filled, key=lambda sheet: len(sheet[1]))
    name, rows = next((sheet for sheet in filled if len(sheet[1]) > FEWEST_ROWS), most)
    others = [f"'{other}'" for other, _ in filled if other != name]
    notes = [f"sheet '{name}' is read, not {listed(others, 5)}"] if others else []
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows[:200]]
    named = has_header(texts) if header is None else header
    names = repaired_names(texts[0] if named else [f"column_{place + 1}" for place in range(len(rows[0]))], notes)
    body = [row for row in rows[named:] if any(cell not in ("", None) for cell in row)]
    columns = {name: [plain(row[place]) for row in body] for place, name in enumerate(names)}
    return Table(columns, where, tuple(notes), range(1 + named, 1 + named + len(body)))


def read_parquet(content: bytes, where: str) -> Table:
    """All row groups of a Parquet file."""
    names, cells = _parquet_cells(content, where)
    notes: list[str] = []
    names = repaired_names(names, notes)
    for name, values in zip(names, cells, strict=True):
        _refuse_nested(name, values, where)
    columns = {name: [plain(value) for value in values] for name, values in zip(names, cells, strict=True)}
    lists = tuple(
        name for name, values in zip(names, cells, strict=True) if any(isinstance(one, list) for one in values)
    )
    return Table(columns, where, tuple(notes), lists=lists)


def parquet_rows(content: bytes, where: str) -> list[dict[str, Any]]:
    """The rows of a Parquet file as they are, nested values too."""
    names, cells = _parquet_cells(content, where)
    return [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]


def _parquet_cells(content: bytes, where: str) -> tuple[list[str], list[list[Any]]]:
    library = _library("pyarrow.parquet", "parquet", where)
    try:
        file = library.ParquetFile(io.BytesIO(content))
        shape = file.metadata
        unpacked_bytes = sum(shape.row_group(group).total_byte_size for group in range(shape.num_row_groups))
    except Exception as error:
        raise _not_parquet(error, where) from error
    refuse_rows(shape.num_rows, shape.num_columns, unpacked_bytes, where)
    try:
        table = file.read()
        cells = [table.column(place).to_pylist() for place in range(table.num_columns)]
    except Exception as error:
        raise _not_parquet(error, where) from error
    if not cells or not cells[0]:
        raise HandrailError("data", "no rows", "give at least 10 rows", where=where)
    return table.column_names, cells


def _refuse_nested(name: str, values: list[Any], where: str) -> None:
    if any(isinstance(value, dict) for value in values):
        problem = f"the values of '{name}' are nested"
        raise HandrailError("data", problem, "give one plain value per name", where=where, field=name)


def _refuse_large_sheets(content: bytes, where: str) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked_bytes = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return
    refuse_needed(COPIES * unpacked_bytes, f"sheets of {unpacked_bytes / 2**30:.1f} GB when unpacked", where)


def _not_parquet(error: Exception, where: str) -> HandrailError:
    problem = f"not a Parquet file that can be read: {' '.join(str(error).split())[:100]}"
    return HandrailError("data", problem, "write it again", where=where)


def _library(name: str, extra: str, where: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise HandrailError(
            "environment", f"reading this needs the extra [{extra}]", f'pip install "handrail[{extra}]"', where=where
        ) from error
