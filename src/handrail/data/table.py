"""Rows in memory: columns of cells, equally long, with the repairs that reading them took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from handrail.core.values import Cell


@dataclass(frozen=True)
class Table:
    """`columns` keeps the file's order; cells are text as it stood in a CSV, or typed values from typed sources.

    `lines[i]` is the line of row i in its file, for messages (empty where the source has no lines).
    `notes` are repairs and findings of the reader, as sentences ("the separator is ';'").
    `separator` stood between the cells, "" where none did. `lists` names columns whose cells were lists of words; such
    a cell holds them with '|' between, and is "" where the list was empty.
    """

    columns: dict[str, list[Cell]]
    source: str = "rows"
    notes: tuple[str, ...] = ()
    lines: Sequence[int] = field(default=(), repr=False)
    separator: str = ""
    lists: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def select(self, rows: Sequence[int]) -> Table:
        """The rows with these indices, in this order."""
        columns = {name: [cells[row] for row in rows] for name, cells in self.columns.items()}
        lines = [self.lines[row] for row in rows] if self.lines else ()
        return replace(self, columns=columns, lines=lines)

    def without(self, names: Sequence[str]) -> Table:
        """All columns but these."""
        kept = {name: cells for name, cells in self.columns.items() if name not in names}
        return replace(self, columns=kept)

    def rows(self) -> Iterator[Mapping[str, Cell]]:
        """Each row as a mapping from name to cell."""
        names = tuple(self.columns)
        for cells in zip(*self.columns.values(), strict=True):
            yield dict(zip(names, cells, strict=True))
