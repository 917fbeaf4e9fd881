"""The rows to learn from: a file or rows in memory, right answers that came later, or both together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from handrail.core.errors import HandrailError
from handrail.data.read import read_table
from handrail.data.table import Table
from handrail.store import check_name
from handrail.training.asked import name_for
from handrail.watch.retraining import FEWEST_ROWS, again, joined


@dataclass(frozen=True)
class Question:
    """What was said of the rows; what is None is decided from them."""

    target: str | None
    kinds: Mapping[str, str] | None
    task: str | None


def rows_of(
    source: object,
    from_feedback: str | None,
    question: Question,
    home: Path,
    *,
    name: str | None,
    header: bool | None,
    separator: str | None,
) -> tuple[Table, str, Question]:
    """The rows, what their model is called, and the question; with feedback, what was not said is as it was for the
    model that was asked.

    Raises HandrailError where there are no rows, or too few right answers.
    """
    name = name if name is None else check_name(name)
    if from_feedback is None:
        if source is None:
            raise HandrailError("usage", "no rows are given", "give a file: handrail train reviews.csv")
        table = read_table(source, header=header, separator=separator)
        return table, name or name_for(source), question
    more = again(home, from_feedback, fewest=FEWEST_ROWS if source is None else 1)
    table = more.table
    if source is not None:
        table = joined(read_table(source, header=header, separator=separator), more.table)
    of = "" if source is None else f"of {len(table):,} "
    said = f"{len(more.table):,} {of}rows are inputs of {from_feedback} with the right answers that came later"
    kinds = {**more.kinds, **(question.kinds or {})}
    completed = Question(question.target or more.target, kinds, question.task or more.problem)
    return replace(table, notes=(*table.notes, said)), name or more.model, completed
