"""What answers a job, opened: a model from its bundle, or a predictor from the snapshot of its code."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from handrail.core.errors import HandrailError
from handrail.jobs.answering import Answered, Answerer, ModelAnswerer
from handrail.jobs.batch import Target
from handrail.jobs.reading import Rows
from handrail.model import load
from handrail.predictors.environment import environment_of
from handrail.predictors.job_code import JobCode


def opened_answerer(
    target: Target, *, job: Mapping[str, Any] | None = None, tries: int = 1, limit_bytes: int = 0, plans: bool = False
) -> Answerer:
    """`job` is what code is told of the job that it works for, `tries` how often it is asked before rows are given up.
    `plans`: nothing will be answered, so code is not started.

    Raises HandrailError when it cannot be opened.
    """
    if target.kind == "model":
        return ModelAnswerer(load(Path(target.folder)))
    return CodeAnswerer(None if plans else JobCode(Path(target.folder), job, limit_bytes), tries)


def python_of(target: Target, home: Path) -> str:
    """The interpreter that has the packages that a target needs."""
    if target.kind == "model":
        return sys.executable
    return environment_of(Path(target.folder), home).python


class CodeAnswerer:
    """Answers with a class of the user's: `predict(payload, batch_id)` gets a list of rows."""

    names: Sequence[str] = ()
    inputs: Sequence[str] = ()
    files_as: Literal["text", "path"] | None = "path"
    lines_as: Literal["table", "items"] = "items"
    vectors = False

    def __init__(self, code: JobCode | None, tries: int) -> None:
        self._code = code
        self._tries = tries

    def refuse(self, names: Sequence[str], where: str) -> None:
        """Code takes whatever there is."""

    def answer(self, rows: Rows, batch: str) -> Answered:
        payload = list(rows.table.rows()) if rows.table is not None else list(rows.items)
        problems = {place: what for place, (what, _) in rows.broken.items()}
        answers: list[Any] = [None] * rows.count
        try:
            value = self._predict(payload, batch) if payload else []
        except HandrailError as error:
            where = f" ({error.where})" if error.where else ""
            return Answered(answers, problems | dict.fromkeys(rows.places, f"{error.problem}{where}"))
        # A list as long as the rows is an answer for each; anything else, as a rule nothing, is that of all together.
        each = value if isinstance(value, list | tuple) and len(value) == len(payload) else [value] * len(payload)
        for place, answer in zip(rows.places, each, strict=True):
            answers[place] = answer
        return Answered(answers, problems)

    def cells(self, answer: Any) -> list[Any]:
        return []

    def complete(self) -> None:
        assert self._code is not None
        self._code.complete()

    def close(self) -> None:
        if self._code is not None:
            self._code.close()

    def _predict(self, payload: list[Any], batch: str) -> Any:
        assert self._code is not None
        for left in reversed(range(self._tries)):
            try:
                return self._code.predict(payload, batch)
            except HandrailError:
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")
