"""Rows to answers: each row that can be answered is, and of each other one it is said why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from handrail.core.errors import HandrailError, clipped
from handrail.core.signature import Signature
from handrail.data.table import Table
from handrail.encode.answers import answer_cells, answer_names
from handrail.jobs.reading import Rows
from handrail.model import Model

LONGEST_PROBLEM: Final = 300


@dataclass(frozen=True)
class Answered:
    """`answers[place]` is what a row got, None where `problems` (place → why) says why it got nothing."""

    answers: list[Any]
    problems: Mapping[int, str] = field(default_factory=dict)


class Answerer(Protocol):
    """What answers the rows of a batch, in a worker process: a model, or code of the user's.

    `names` are the columns that its answers fill; empty: answers are any JSON and go to JSON lines alone. `inputs` are
    the columns that it reads. `files_as`: what a file that is a row is to it; None: it takes no such rows.
    `lines_as`: whether JSON lines are rows of a table to it, or go to it as they are. `vectors`: rows hold lists of
    numbers, and are read from JSON alone.
    """

    names: Sequence[str]
    inputs: Sequence[str]
    files_as: Literal["text", "path"] | None
    lines_as: Literal["table", "items"]
    vectors: bool

    def refuse(self, names: Sequence[str], where: str) -> None:
        """Raises HandrailError for a table with columns that it cannot answer."""
        ...

    def answer(self, rows: Rows, batch: str) -> Answered:
        """Answers in the order of all places. `batch` names these rows, the same when they are asked again."""
        ...

    def cells(self, answer: Any) -> list[Any]:
        """The cells of one answer, one for each of `names`."""
        ...

    def complete(self) -> None:
        """All rows of the job are answered. Called once, in a worker of its own; may be called again after a crash."""
        ...

    def close(self) -> None: ...


class ModelAnswerer:
    """Answers with a model."""

    def __init__(self, model: Model) -> None:
        signature = model.signature
        self._model = model
        self._output = signature.output
        self.names: Sequence[str] = answer_names(self._output)
        self.inputs: Sequence[str] = signature.names()
        takes_text = len(signature.inputs) == 1 and signature.inputs[0].kind in ("text", "category")
        self.files_as: Literal["text", "path"] | None = "text" if takes_text else None
        self.vectors = signature.takes_vectors()
        self.lines_as: Literal["table", "items"] = "items" if self.vectors else "table"

    def refuse(self, names: Sequence[str], where: str) -> None:
        try:
            self._model.signature.columns_of_table({name: [] for name in names})
        except HandrailError as error:
            raise HandrailError(error.code, error.problem, error.mend, where=where, field=error.field) from None

    def answer(self, rows: Rows, batch: str) -> Answered:
        found = answered(self._model, rows)
        answers: list[Any] = [None] * rows.count
        for place, answer in zip(rows.places, found.answers, strict=True):
            answers[place] = answer
        problems = {place: what for place, (what, _) in rows.broken.items()}
        return Answered(answers, problems | {rows.places[number]: what for number, what in found.problems.items()})

    def cells(self, answer: Any) -> list[Any]:
        return answer_cells(answer, self._output)

    def complete(self) -> None:
        """A model has nothing to do then."""

    def close(self) -> None:
        """A model ends with its process."""


def answered(model: Model, rows: Rows) -> Answered:
    """Answers of the good rows, numbered among themselves."""

    def predict(numbers: Sequence[int]) -> Sequence[Any]:
        if rows.table is not None:
            return model.predict_table(rows.table.select(numbers))
        return model.predict([rows.items[number] for number in numbers])

    if not len(rows):
        return Answered([])
    try:
        return Answered(list(predict(range(len(rows)))))
    except HandrailError as error:
        if error.code != "data":
            raise
        return _one_by_one(predict, len(rows), _problems(model.signature, rows, error))
    except Exception:
        return _one_by_one(predict, len(rows), {})


def _problems(signature: Signature, rows: Rows, error: HandrailError) -> dict[int, str]:
    """Number → what is off with a row. Where no row is to blame, as when a column is missing, all have the problem."""
    if rows.table is not None:
        found = _problems_of_cells(signature, rows.table)
    else:
        said = {number: signature.problem_of_row(item) for number, item in enumerate(rows.items)}
        found = {number: problem for number, problem in said.items() if problem}
    return found or dict.fromkeys(range(len(rows)), error.problem)


def _problems_of_cells(signature: Signature, table: Table) -> dict[int, str]:
    problems: dict[int, str] = {}
    for one in signature.inputs:
        accept = one.acceptor()
        for number, cell in enumerate(table.columns.get(one.name, ())):
            try:
                accept(cell)
            except ValueError as error:
                problems.setdefault(number, f"column '{one.name}': {error}")
    return problems


def _one_by_one(predict: Callable[[Sequence[int]], Sequence[Any]], count: int, problems: dict[int, str]) -> Answered:
    """What `predict` says of the rows without problems; a row on which it fails, alone at last, has one, too."""
    answers: list[Any] = [None] * count
    left = [[number for number in range(count) if number not in problems]]
    while left:
        part = left.pop()
        if not part:
            continue
        try:
            for number, answer in zip(part, predict(part), strict=True):
                answers[number] = answer
        except Exception as error:
            if len(part) == 1:
                problems[part[0]] = _problem(error)
            else:
                half = len(part) // 2
                left += [part[half:], part[:half]]
    return Answered(answers, problems)


def _problem(error: Exception) -> str:
    if isinstance(error, HandrailError):
        return error.problem
    if isinstance(error, MemoryError):
        return "this row takes more memory than there is"
    return clipped(f"the model failed on this row: {type(error).__name__}: {error}", LONGEST_PROBLEM)
