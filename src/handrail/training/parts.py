"""The rows in two: to learn from, and to be honest with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from handrail.core.errors import HandrailError, closest, listed
from handrail.core.values import is_blank, is_missing
from handrail.data.look import Look, Split, usable_rows
from handrail.data.read import read_table
from handrail.data.table import Table
from handrail.learn.folds import MOST_OF_ALL
from handrail.learn.holdout import DEFAULT_SHARE, hold_out, strata_of, unit_numbers, wanted_rows

MOST_REPLAY_ROWS = 5_000
# Below this, a test set says nothing; cross-validation over all rows says more.
FEWEST_TEST_ROWS = 20


@dataclass(frozen=True)
class Parts:
    """`look` is cut to the rows of `train`. `test` is None where the score comes from cross-validation.

    `replay` holds the rows that the trained and the exported model both answer: the test rows where there are some.
    `notes` say where the split is not what one would expect.
    """

    train: Table
    look: Look
    test: Table | None
    replay: Table
    test_rows: np.ndarray
    notes: tuple[str, ...] = ()


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
    labels = None if look.problem in ("regression", "multilabel") else _labels(table, look, rows)
    look, notes = _divided(look, rows, labels)
    if test is not None:
        given, more = _test_table(test, table, look, header, separator)
        return _parts(table, look, rows, given, np.arange(len(given)), (*notes, *more))
    share = _checked_share(test_share)
    train_rows, test_rows = hold_out(look, rows, labels, share, seed)
    if share == 0 or (test_share is None and len(test_rows) < FEWEST_TEST_ROWS):
        return _parts(table, look, rows, None, np.arange(0), notes)
    if not len(test_rows):
        raise _nothing_to_test_on(look)
    notes += _off_the_share(look, rows, test_rows, share)
    return _parts(table, look, train_rows, table.select(test_rows.tolist()), test_rows, notes)


def _divided(look: Look, rows: np.ndarray, labels: np.ndarray | None) -> tuple[Look, tuple[str, ...]]:
    """The look with a split that can be made, and what is to be said of its groups."""
    if look.split.kind != "group":
        return look, ()
    name, units = look.split.column, unit_numbers(look, rows)
    if np.bincount(strata_of(units, labels)).max() < 2:
        why = "each label is" if int(units.max()) else "all rows are"
        reason = f"{why} in one group of '{name}' only, so rows are drawn at random"
        split = Split("random" if labels is None else "stratified", reason)
        return dataclasses.replace(look, split=split), (f"{reason}: on rows of other groups it may do worse",)
    sizes = np.bincount(units)
    if sizes.max() <= MOST_OF_ALL * len(rows):
        return look, ()
    note = f"one group of '{name}' has {sizes.max():,} of {len(rows):,} rows: it is learnt from, and cross-validation "
    return look, (f"{note}divides it",)


def _off_the_share(look: Look, rows: np.ndarray, test_rows: np.ndarray, share: float) -> tuple[str, ...]:
    """A sentence where the test is far smaller or larger than it should be, or cuts through a moment."""
    wanted, name = wanted_rows(len(rows), share), look.split.column
    if look.split.kind == "time" and look.split.keys is not None:
        moments = np.nan_to_num(look.split.keys.astype(np.float64), nan=-np.inf)
        if moments[np.setdiff1d(rows, test_rows)].max() >= moments[test_rows].min():
            return (
                f"most rows have the latest '{name}': the last {len(test_rows):,} of them in the file are the test",
            )
    if look.split.kind not in ("time", "group") or wanted / 2 <= len(test_rows) <= 2 * wanted:
        return ()
    unit = "the same" if look.split.kind == "time" else "one"
    return (f"{len(test_rows):,} rows are the test, not {wanted:,}: rows of {unit} '{name}' stay together",)


def _nothing_to_test_on(look: Look) -> HandrailError:
    return HandrailError(
        "data",
        f"no row of {look.rows:,} can be set aside: each label would lose its last group or its last different row",
        "leave --test-share out: then it is judged by cross-validation",
        field="test_share",
    )


def _parts(
    table: Table, look: Look, rows: np.ndarray, test: Table | None, test_rows: np.ndarray, notes: tuple[str, ...]
) -> Parts:
    train = table.select(rows.tolist())
    replay = train if test is None else test
    if len(replay) > MOST_REPLAY_ROWS and test is None:
        replay = replay.select(range(MOST_REPLAY_ROWS))
    return Parts(train, cut(look, rows), test, replay, test_rows, notes)


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


def _test_table(
    test: object, table: Table, look: Look, header: bool | None, separator: str | None
) -> tuple[Table, tuple[str, ...]]:
    """The rows that have an answer, and what is to be said of the others. A strange label counts as answered wrong."""
    given = test if isinstance(test, Table) else read_table(test, header=header, separator=separator)
    _refuse_missing_columns(given, look)
    known, answered = set(usable_rows(given, look)), _answered(given, look)
    if not known:
        raise HandrailError("data", "no test row has a known answer", "look at the target column", where=given.source)
    notes = []
    if len(answered) < len(given):
        notes.append(f"{len(given) - len(answered):,} of {len(given):,} test rows have no answer and are left out")
    strange = sorted({str(given.columns[look.target][row]).strip() for row in answered if row not in known})
    if strange:
        count = sum(row not in known for row in answered)
        words = listed([f"'{word}'" for word in strange], 5)
        notes.append(
            f"{count:,} of {len(answered):,} test rows have labels that training did not see ({words}): each is "
            "counted as answered wrong"
        )
    return given if len(answered) == len(given) else given.select(answered), tuple(notes)


def _refuse_missing_columns(given: Table, look: Look) -> None:
    """Raises HandrailError ("data") that names the first column which the test file lacks."""
    absent = [name for name in (look.target, *(field.name for field in look.inputs())) if name not in given.columns]
    if not absent:
        return
    near = closest(absent[0], given.columns)
    mend = "give test rows with the right answers" if absent[0] == look.target else "give it, or train without it"
    more = f" (and {len(absent) - 1} more are missing)" if absent[1:] else ""
    raise HandrailError(
        "data", f"the test file has no column '{absent[0]}'{more}",
        f"rename '{near}' to '{absent[0]}'?" if near else mend, where=given.source, field=absent[0],
    )  # fmt: skip


def _answered(given: Table, look: Look) -> list[int]:
    """The rows whose target cell says anything."""
    cells = given.columns[look.target]
    missing = is_missing if look.problem in ("regression", "multilabel") else is_blank
    return [row for row, cell in enumerate(cells) if not missing(cell)]


def _checked_share(test_share: float | None) -> float:
    if test_share is None:
        return DEFAULT_SHARE
    if not 0.0 <= test_share <= 0.9:
        problem = f"test_share must be 0 to 0.9, received {test_share}"
        raise HandrailError("usage", problem, "for example --test-share 0.2", field="test_share")
    return test_share
