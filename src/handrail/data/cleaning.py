"""The table as it was understood: what means missing is missing, answers are in one spelling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from handrail.core.values import Cell, to_word
from handrail.data.seen import Look
from handrail.data.table import Table
from handrail.data.targets import LIST_MARK, label_of


def without_words(table: Table, missing: Sequence[str]) -> Table:
    """The table in which cells that hold one of these words, in any case, hold nothing."""
    if not missing:
        return table
    words = {word.strip().casefold() for word in missing}
    return replace(
        table, columns={name: [_kept(cell, words) for cell in cells] for name, cells in table.columns.items()}
    )


def answered(table: Table, look: Look) -> Table:
    """The table whose answers are as every reader takes them: labels in the look's spelling, numbers without marks.

    An empty list becomes a lone mark, so that it is no missing answer.
    """
    cells = table.columns.get(look.target, [])
    spelt: dict[Cell, Cell] = {}
    field = look.target_field
    if look.problem == "regression" and (field.thousands or field.decimal != "."):
        numbers = zip(cells, field.parse_column(cells).tolist(), strict=True)
        spelt = {cell: None if math.isnan(number) else number for cell, number in numbers}
    elif look.problem == "binary":
        meant = {cell: label_of(cell, look.labels) for cell in set(cells)}
        spelt = {cell: label for cell, label in meant.items() if label not in (None, to_word(cell))}
    elif look.problem == "multilabel" and look.target in table.lists:
        spelt = {"": LIST_MARK}
    if not spelt:
        return table
    return replace(table, columns={**table.columns, look.target: [spelt.get(cell, cell) for cell in cells]})


def notes_on_words(table: Table, missing: Sequence[str]) -> list[str]:
    """What came of each word that was said to mean missing, in a table that still holds it."""
    return [_note(word, _count(table, word)) for word in missing]


def _kept(cell: Cell, words: set[str]) -> Cell:
    return None if isinstance(cell, str) and cell.strip().casefold() in words else cell


def _count(table: Table, word: str) -> int:
    words = {word.strip().casefold()}
    return sum(_kept(cell, words) is None and cell is not None for cells in table.columns.values() for cell in cells)


def _note(word: str, count: int) -> str:
    if not count:
        return f"no cell is '{word}': saying that it means missing changes nothing"
    return f"'{word}' means missing in {count:,} cells; where the model is asked, leave such a value out or empty"
