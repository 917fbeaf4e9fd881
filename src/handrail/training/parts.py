"""The rows in two: to learn from, and to be honest with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from handrail.core.errors import HandrailError
from handrail.data.look import Look, usable_rows
from handrail.data.read import read_table
from handrail.data.table import Table
from handrail.learn.holdout import DEFAULT_SHARE, hold_out

MOST_REPLAY_ROWS = 5_000
# Below this, a test set says nothing; cross-validation over all rows says more.
FEWEST_TEST_ROWS = 20


@dataclass(frozen=True)
class Parts:
    """`look` is cut to the rows of `train`. `test` is None where the score comes from cross-validation.

    `replay` holds the rows that the trained and the exported model both answer: the test rows where there are some.
    """

    train: Table
    look: Look
    test: Table | None
    replay: Table
    test_rows: np.ndarray


def set_apart(
    table: Table,
    look: Look,
    test: object,
    test_share: float | None,
    seed: int,
    *,
    header: bool | None = None,
    separator: str | None = None,
) -> Parts:
    """Rows without an answer are left out. Raises HandrailError when the test file does not fit the table."""
    rows = np.array(usable_rows(table, look), dtype=np.int64)
    if test is not None:
        given = _test_table(test, table, look, header, separator)
        return _parts(table, look, rows, given, np.arange(len(given)))
    share = _checked_share(test_share)
    labels = None if look.problem in ("regression", "multilabel") else _labels(table, look, rows)
    train_rows, test_rows = hold_out(look, rows, labels, share, seed)
    if share == 0 or (test_share is None and len(test_rows) < FEWEST_TEST_ROWS):
        return _parts(table, look, rows, None, np.arange(0))
    return _parts(table, look, train_rows, table.select(test_rows.tolist()), test_rows)


def _parts(table: Table, look: Look, rows: np.ndarray, test: Table | None, test_rows: np.ndarray) -> Parts:
    train = table.select(rows.tolist())
    replay = train if test is None else test
    if len(replay) > MOST_REPLAY_ROWS and test is None:
        replay = replay.select(range(MOST_REPLAY_ROWS))
    return Parts(train, cut(look, rows), test, replay, test_rows)


def cut(look: Look, rows: np.ndarray) -> Look:
    """The look of these rows only."""
    keys = look.split.keys
    split = dataclasses.replace(look.split, keys=None if keys is None else keys[rows])
    twins = None if look.twins is None else look.twins[rows]
    return dataclasses.replace(look, rows=len(rows), split=split, twins=twins)


def _labels(table: Table, look: Look, rows: np.ndarray) -> np.ndarray:
    words = look.target_field.parse_column(table.columns[look.target])
    chosen: np.ndarray = words[rows].astype(str)
    return chosen


def _test_table(test: object, table: Table, look: Look, header: bool | None, separator: str | None) -> Table:
    given = test if isinstance(test, Table) else read_table(test, header=header, separator=separator)
    if look.target not in given.columns:
        raise HandrailError(
            "data", f"the test file has no column '{look.target}'", "give test rows with the right answers",
            where=given.source, field=look.target,
        )  # fmt: skip
    kept = usable_rows(given, look)
    if not kept:
        raise HandrailError("data", "no test row has a known answer", "look at the target column", where=given.source)
    return given if len(kept) == len(given) else given.select(kept)


def _checked_share(test_share: float | None) -> float:
    if test_share is None:
        return DEFAULT_SHARE
    if not 0.0 <= test_share <= 0.9:
        problem = f"test_share must be 0 to 0.9, received {test_share}"
        raise HandrailError("usage", problem, "for example --test-share 0.2", field="test_share")
    return test_share
