"""How test rows are set aside honestly: by group, by time, by label, or at random, with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.values import Cell, to_word
from handrail.data.kinds import FEWEST_GROUPS, GROUP_NAME, Seen, field_of
from handrail.data.numbers import number_in
from handrail.data.seen import Split

FEWEST_MOMENTS = 20


def chosen_split(
    columns: Mapping[str, Sequence[Cell]],
    kinds: Mapping[str, Seen],
    target: str,
    problem: str,
    group: str | None,
    time: str | None,
) -> Split:
    """The split that was asked for, else the one that the data asks for."""
    if group is not None:
        name = _known(group, columns, "group")
        return Split("group", f"you said so: rows with the same '{name}' stay together", name, _keys(columns[name]))
    if time is not None:
        name = _known(time, columns, "time")
        return Split(
            "time", f"you said so: the latest rows by '{name}' are the test", name, _moments(name, kinds, columns)
        )
    for name, cells in columns.items():
        if name != target and kinds[name].kind not in ("text", "number", "date", "boolean") and GROUP_NAME.search(name):
            distinct = len(set(cells))
            if FEWEST_GROUPS <= distinct <= len(cells) / 2:
                reason = f"'{name}' repeats ({distinct:,} of them in {len(cells):,} rows): rows of one stay together"
                return Split("group", reason, name, _keys(cells))
    for name, cells in columns.items():
        if name != target and kinds[name].kind == "date" and len(set(cells)) >= FEWEST_MOMENTS:
            moments = _moments(name, kinds, columns)
            steps = np.diff(moments)
            if not np.isnan(moments).any() and ((steps >= 0).all() or (steps <= 0).all()):
                order = "in the order" if steps.max() > 0 else "in the reverse order"
                reason = f"the rows are {order} of '{name}': the model is tested on the latest, as it will be used"
                return Split("time", reason, name, moments)
    if problem in ("regression", "multilabel"):
        return Split("random", "no groups and no order in time were found, so rows are drawn at random")
    return Split("stratified", "no groups and no order in time were found, so rows are drawn at random, label by label")


def _known(name: str, columns: Mapping[str, Sequence[Cell]], option: str) -> str:
    if name not in columns:
        hint = did_you_mean(name, columns).strip()
        raise HandrailError(
            "data", f"no column '{name}'", f"{hint} columns: {listed(columns, 20)}".strip(), field=option
        )
    return name


def _keys(cells: Sequence[Cell]) -> np.ndarray:
    keys = np.empty(len(cells), dtype=object)
    # Rows without a group are groups of their own.
    keys[:] = [to_word(cell) or f"row {row}" for row, cell in enumerate(cells)]
    return keys


def _moments(name: str, kinds: Mapping[str, Seen], columns: Mapping[str, Sequence[Cell]]) -> np.ndarray:
    kind = kinds[name].kind
    if kind == "id" and all(number_in(cell) is not None for cell in columns[name]):
        # Steps that count the rows are no input, but a time.
        kind = "number"
    if kind not in ("date", "number"):
        raise HandrailError("data", f"'{name}' holds no dates or numbers", "give a column with the time", field="time")
    return field_of(name, kind, kinds[name], columns[name]).parse_column(columns[name])
