"""What the columns are, what is predicted from what, and how to split honestly: each decision with its reason."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.field import Field
from handrail.core.values import Cell, is_blank, is_missing
from handrail.data.cleaning import notes_on_words, without_words
from handrail.data.kinds import Seen, field_of, seen
from handrail.data.leaks import duplicate_of, gives_away, gives_away_amount, tells_apart, twins_of
from handrail.data.numbers import decimal_mark, number_in
from handrail.data.seen import ColumnLook, Look, Split
from handrail.data.splits import chosen_split
from handrail.data.table import Table
from handrail.data.targets import LIST_MARK, Question, guessed_target, label_of, named_target, parts_of, question_of

__all__ = ["ColumnLook", "Look", "Split", "look_at", "usable_rows"]

MOST_COLUMNS: Final = 10_000
ASKABLE_KINDS: Final = ("number", "boolean", "date", "category", "text", "ignore")
MOST_REASONS: Final = 5
MOST_NOTES: Final = 3
ROW: Final = re.compile(r"row ([\d,]+), column")
NOT_USED: Final = ("id", "constant", "empty")


def look_at(
    table: Table,
    *,
    target: str | None = None,
    kinds: Mapping[str, str] | None = None,
    problem: str | None = None,
    group: str | None = None,
    time: str | None = None,
    missing: Sequence[str] = (),
) -> Look:
    """The look of a table. Raises HandrailError ("data") where nothing can be learnt from it."""
    _refuse_shape(table)
    try:
        return _look(table, target, kinds or {}, problem, group, time, missing)
    except HandrailError as error:
        raise _placed(error, table) from error


def usable_rows(table: Table, look: Look) -> list[int]:
    """The rows that can be learnt from: those whose answer is there and belongs to a kept label.

    An empty list is an answer: none of the labels. An empty cell among several labels is none.
    """
    cells = table.columns[look.target]
    if look.problem == "regression":
        return [row for row, cell in enumerate(cells) if not is_missing(cell)]
    labels = set(look.labels)
    if look.problem == "multilabel":
        none = ("", LIST_MARK) if look.target in table.lists else ()
        return [
            row
            for row, cell in enumerate(cells)
            if cell in none or labels.intersection(parts_of(cell, look.label_separator))
        ]
    known = {cell: label_of(cell, labels) in labels for cell in set(cells)}
    return [row for row, cell in enumerate(cells) if known[cell]]


def fingerprint(columns: Mapping[str, Sequence[Cell]]) -> str:
    """sha256 over names and cells: the same for the same table."""
    digest = hashlib.sha256()
    for name, cells in columns.items():
        digest.update(f"{name}\x1e".encode())
        digest.update("\x1f".join(map(str, cells)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _refuse_shape(table: Table) -> None:
    if len(table) < 10:
        raise HandrailError("data", f"need at least 10 rows, got {len(table)}", "give more rows", where=table.source)
    if len(table.columns) > MOST_COLUMNS:
        problem = f"{len(table.columns):,} columns; at most {MOST_COLUMNS:,} are looked at"
        raise HandrailError("data", problem, "leave columns out that cannot matter", where=table.source)


def _look(
    table: Table,
    target: str | None,
    kinds: Mapping[str, str],
    problem: str | None,
    group: str | None,
    time: str | None,
    missing: Sequence[str],
) -> Look:
    cleaned = without_words(table, missing)
    columns = cleaned.columns
    asked = _checked_kinds(kinds, columns)
    decimal = decimal_mark(columns, table.separator)
    found = {name: _seen_as(name, cells, asked.get(name), decimal) for name, cells in columns.items()}
    name, target_reason = named_target(target, list(columns)) if target else guessed_target(found)
    others = [other for other in columns if other != name and asked.get(other) != "ignore"]
    inputs = [other for other in others if found[other].kind not in NOT_USED]
    if not inputs:
        raise _nothing_left(name, {other: found[other] for other in others}, columns)
    all_text = all(found[other].kind == "text" for other in inputs)
    question = question_of(name, found[name], columns[name], problem, all_text=all_text, lists=name in table.lists)
    looks = _columns(columns, found, asked, name, question, inputs)
    used = [look.name for look in looks if look.used]
    if not used:
        aside = {look.name: Seen(look.kind, look.reason) for look in looks if look.name in others}
        raise _nothing_left(name, aside, columns)
    look = Look(
        len(table), tuple(looks), name, target_reason, question.problem, question.reason,  # type: ignore[arg-type]
        _target_field(name, found[name], question, columns[name]), question.labels,
        chosen_split(columns, found, name, question.problem, group, time), (), fingerprint(columns),
        question.separator, twins_of([columns[other] for other in used], len(table)),
    )  # fmt: skip
    notes = [*notes_on_words(table, missing), *question.notes]
    notes += [note for one in looks for note in _notes_on(one, found[one.name])]
    notes += _notes_on_leaks(look, columns)
    return replace(look, notes=(*notes, *_notes_on_rows(cleaned, look)))


def _placed(error: HandrailError, table: Table) -> HandrailError:
    """The error with file and line where it names a row, and with what was noticed when the file was read."""
    row = ROW.match(error.where or "")
    where = error.where or (table.source if table.lines else None)
    if row is not None and table.lines:
        where = f"{table.source}, line {table.lines[int(row[1].replace(',', '')) - 1]:,} ({error.where})"
    told = table.notes[:MOST_NOTES] if error.code == "data" else ()
    mend = error.mend + (f"; as the file was read, {'; '.join(told)}" if told else "")
    return HandrailError(error.code, error.problem, mend, where=where, field=error.field)


def _checked_kinds(kinds: Mapping[str, str], columns: Mapping[str, Sequence[Cell]]) -> dict[str, str]:
    for name, kind in kinds.items():
        if name not in columns:
            hint = did_you_mean(name, columns).strip()
            raise HandrailError(
                "data", f"no column '{name}'", f"{hint} columns: {listed(columns, 20)}".strip(), field="kind"
            )
        if kind not in ASKABLE_KINDS:
            hint = did_you_mean(kind, ASKABLE_KINDS).strip() or f"the kinds: {listed(ASKABLE_KINDS)}"
            raise HandrailError("usage", f"unknown kind '{kind}'", hint, field="kind")
    return dict(kinds)


def _seen_as(name: str, cells: Sequence[Cell], asked: str | None, decimal: str) -> Seen:
    try:
        by_itself = seen(name, cells, decimal)
    except HandrailError:
        # What is not read as a number may hold what no number is.
        if asked not in ("category", "text", "ignore"):
            raise
        by_itself = Seen("category", "you said so")
    if asked in (None, "ignore", by_itself.kind):
        return by_itself
    assert asked is not None
    return Seen(asked, f"you said so (by itself: {by_itself.kind})", by_itself.pattern, by_itself.style)


def _nothing_left(target: str, aside: Mapping[str, Seen], columns: Mapping[str, Sequence[Cell]]) -> HandrailError:
    """What was set aside and why, and how to use it all the same."""
    reasons = [f"'{name}' ({kind.kind}: {kind.reason})" for name, kind in aside.items()]
    shown = "; ".join(reasons[:MOST_REASONS]) + (
        f"; and {len(reasons) - MOST_REASONS} more" if reasons[MOST_REASONS:] else ""
    )
    problem = f"nothing to predict '{target}' from" + (f": set aside are {shown}" if aside else "")
    name = next((name for name, kind in aside.items() if kind.kind not in ("constant", "empty")), "")
    if not name:
        return HandrailError("data", problem, "give columns with values that differ")
    wish = "text" if aside[name].kind == "id" else "category"
    if aside[name].kind == "id" and all(number_in(cell) is not None for cell in columns[name]):
        wish = "number"
    return HandrailError("data", problem, f"--kind {name}={wish} learns from it all the same")


def _columns(
    columns: Mapping[str, Sequence[Cell]],
    found: Mapping[str, Seen],
    asked: Mapping[str, str],
    target: str,
    question: Question,
    inputs: Sequence[str],
) -> list[ColumnLook]:
    """Each column as it is used, or why it is not."""
    numbers = [name for name in inputs if found[name].kind == "number"]
    duplicates = duplicate_of({name: columns[name] for name in inputs}, numbers)
    field, answers = _target_field(target, found[target], question, columns[target]), columns[target]
    looks = []
    for name, cells in columns.items():
        if name == target:
            looks.append(_column(name, found[name], cells, "the answer to predict", None, used=False))
        elif asked.get(name) == "ignore":
            looks.append(_column(name, found[name], cells, "you said so", None, used=False))
        else:
            looks.append(_input(name, found[name], cells, duplicates, question, field, answers, name in asked))
    return looks


def _target_field(name: str, kind: Seen, question: Question, cells: Sequence[Cell]) -> Field:
    if question.problem == "regression":
        return field_of(name, "number", kind, cells)
    return Field(name, "category", choices=question.labels)


def _input(
    name: str,
    kind: Seen,
    cells: Sequence[Cell],
    duplicates: Mapping[str, str],
    question: Question,
    target_field: Field,
    answers: Sequence[Cell],
    asked: bool,
) -> ColumnLook:
    if kind.kind in NOT_USED:
        return _column(name, kind, cells, kind.reason, None, used=False)
    field = field_of(name, kind.kind, kind, cells)
    reason = ""
    if not asked and name in duplicates:
        return _column(
            name, Seen("duplicate", ""), cells, f"it repeats '{duplicates[name]}', value by value", None, used=False
        )
    if not asked and question.problem == "regression":
        reason = gives_away_amount(field, cells, target_field.parse_column(answers))
    elif not asked and question.problem != "multilabel":
        reason = gives_away(cells, answers, len(question.labels))
    if reason:
        return _column(name, Seen("leak", ""), cells, reason, None, used=False)
    return _column(name, kind, cells, kind.reason, field, used=True)


def _column(
    name: str, kind: Seen, cells: Sequence[Cell], reason: str, field: Field | None, *, used: bool
) -> ColumnLook:
    missing = is_missing if kind.kind in ("number", "boolean", "date") else is_blank
    distinct = set(cells)
    blank = {cell for cell in distinct if missing(cell)}
    count = sum(cell in blank for cell in cells) if blank else 0
    examples = tuple(str(cell)[:60] for cell in dict.fromkeys(cells[:50]) if cell not in blank)[:3]
    return ColumnLook(name, kind.kind, used, reason, count, len(distinct) - len(blank), examples, field)  # type: ignore[arg-type]


def _notes_on(look: ColumnLook, kind: Seen) -> list[str]:
    notes = [kind.note] if kind.note else []
    if look.kind in ("leak", "duplicate"):
        notes.append(f"'{look.name}' is not used: {look.reason}; --kind {look.name}=category uses it all the same")
    elif look.kind in NOT_USED and look.reason != "the answer to predict":
        notes.append(f"'{look.name}' is not used: {look.reason}")
    if look.kind == "category" and look.field and {"NA", "N/A", "null", "None"} & set(look.field.choices):
        word = next(word for word in ("NA", "N/A", "null", "None") if word in look.field.choices)
        notes.append(f"'{word}' in '{look.name}' is taken as a word; --missing {word} takes it as missing")
    return notes


def _notes_on_leaks(look: Look, columns: Mapping[str, Sequence[Cell]]) -> list[str]:
    """Numbers that tell two labels apart alone: they may be leaks or just good, so they are used and told."""
    if look.problem != "binary":
        return []
    answers = [label_of(cell, look.labels) for cell in columns[look.target]]
    told = {
        field.name: tells_apart(field, columns[field.name], answers)
        for field in look.inputs()
        if field.kind == "number"
    }
    wish = "if it is known only after the answer, leave it out: --kind"
    return [f"'{name}' may give the answer away: {why}; {wish} {name}=ignore" for name, why in told.items() if why]


def _notes_on_rows(table: Table, look: Look) -> list[str]:
    notes = []
    lost = len(table) - len(usable_rows(table, look))
    if lost:
        why = "they hold no answer" if not look.labels else "they hold no answer, or one that is not learnt"
        notes.append(f"{lost:,} of {len(table):,} rows are left out: {why} ('{look.target}')")
    repeated = 0 if look.twins is None else len(table) - len(np.unique(look.twins))
    if repeated:
        rows = "1 row repeats another" if repeated == 1 else f"{repeated:,} rows repeat others"
        notes.append(f"{rows} in all inputs: equal rows stay on one side of the split")
    if look.split.kind in ("group", "time"):
        notes.append(f"test rows are chosen by {look.split.kind}: {look.split.reason}")
    return notes
