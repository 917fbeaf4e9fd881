"""The rows of late, as counts in the profile's bins: blocks of them, of which the last ones are compared."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from handrail.core.signature import Signature
from handrail.watch.profile import Profile, as_array, counted, counted_column

BLOCK_ROWS: Final = 250
# So many blocks are compared with the training data: 2,000 rows.
BLOCKS: Final = 8


class Window:
    """Counts rows into the block that is open. Belongs to the thread that writes."""

    def __init__(self, profile: Profile, signature: Signature) -> None:
        places = {name: place for place, name in enumerate(signature.names())}
        self.profile = profile
        self._key = profile.key
        # A profile that knows of columns which the signature lacks is none of this model: they count nothing.
        self._columns = [(column, places[column.name]) for column in profile.columns if column.name in places]
        self._is_whole = len(self._columns) == len(profile.columns)
        self._number: int | None = None
        self._rows = 0
        self._counts: list[np.ndarray] = []
        self._is_new = False

    def add(self, rows: Sequence[Sequence[Any]], said: Sequence[Any]) -> None:
        """Counts checked rows, and what was said to them."""
        if not rows or not self._is_whole:
            return
        found = [
            counts for column, place in self._columns for counts in counted_column(column, [row[place] for row in rows])
        ]
        found.append(counted_answers(self.profile, said))
        self._counts = [a + b for a, b in zip(self._counts, found, strict=True)] if self._counts else found
        self._rows += len(rows)
        self._is_new = True

    def write(self, database: sqlite3.Connection, at: float) -> None:
        """Writes the open block, in the place it has; when it is full, the next rows open another."""
        if not self._is_new:
            return
        row = (self._number, self._key, at, self._rows, json.dumps([counts.tolist() for counts in self._counts]))
        self._number = database.execute("insert or replace into blocks values (?, ?, ?, ?, ?)", row).lastrowid
        database.execute(
            "delete from blocks where profile = ? and number not in "
            "(select number from blocks where profile = ? order by number desc limit ?)",
            (self._key, self._key, BLOCKS),
        )
        self._is_new = False

    def written(self) -> None:
        """What was written is there to stay."""
        if self._rows >= BLOCK_ROWS:
            self._number, self._rows, self._counts = None, 0, []


def counted_answers(profile: Profile, said: Sequence[Any]) -> np.ndarray:
    """Counts of labels or numbers in the bins of the profile's answers."""
    if profile.answers.is_ordered:
        numbers = [one if isinstance(one, int | float) else None for one in said]
        return counted(profile.answers, as_array("number", numbers))
    words = [word for one in said for word in ((one or [None]) if isinstance(one, list) else [one])]
    return counted(profile.answers, as_array("category", words))


def counts_of_late(database: sqlite3.Connection, profile: Profile) -> tuple[int, list[np.ndarray]]:
    """The rows in the last blocks, and their counts for each measure of each column, the answers' last; [] for none."""
    measures = [one for column in profile.columns for one in column.measures] + [profile.answers]
    rows, total = 0, [np.zeros(len(one.counts), dtype=np.int64) for one in measures]
    found = database.execute(
        "select rows, counts from blocks where profile = ? order by number desc limit ?", (profile.key, BLOCKS)
    ).fetchall()
    for block_rows, text in found:
        counts = [np.array(one, dtype=np.int64) for one in json.loads(text)]
        if [len(one) for one in counts] != [len(one) for one in total]:
            continue
        rows += block_rows
        total = [a + b for a, b in zip(total, counts, strict=True)]
    return rows, total if rows else []
