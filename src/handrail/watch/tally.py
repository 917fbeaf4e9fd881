"""What happened since the last time, added up before it is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from handrail.watch.said import Reading, classes_in, number_in, parsed, part_of

LONGEST_ANSWER: Final = 4_096
AnswerRow = tuple[str, int, int, str]  # request id, row (from 1), of how many, what was said as JSON


@dataclass
class Numbers:
    """Count, sum, smallest and largest of numbers."""

    count: int = 0
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf

    def add(self, number: float) -> None:
        self.count += 1
        self.total += number
        self.least = min(self.least, number)
        self.most = max(self.most, number)


@dataclass
class Tally:
    """`uncounted` answers held nothing to count; `dropped` requests came faster than could be written."""

    requests: int = 0
    rows: int = 0
    uncounted: int = 0
    dropped: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    numbers: Numbers = field(default_factory=Numbers)
    answers: list[AnswerRow] = field(default_factory=list)

    def request(self, request_id: str, answers: Sequence[bytes], reading: Reading) -> list[Any]:
        """Counts one request; gives what was said to each of its rows."""
        self.requests += 1
        self.rows += len(answers)
        if reading.says_nothing:
            return [None] * len(answers)
        said = [self._row(answer, reading) for answer in answers]
        for row, one in enumerate(said, start=1):
            text = "null" if one is None else orjson.dumps(one).decode()
            if one is not None and len(text) <= LONGEST_ANSWER:
                self.answers.append((request_id, row, len(answers), text))
        return said

    def _row(self, answer: bytes, reading: Reading) -> Any:
        value = parsed(answer)
        part = part_of(value, reading.key)
        if reading.model_type == "regression":
            self._number(part)
        elif reading.model_type == "classification":
            self._classes(part, is_list=isinstance(part, list))
        return part if reading.key == reading.main else part_of(value, reading.main)

    def _number(self, part: Any) -> None:
        number = number_in(part)
        if number is None:
            self.uncounted += 1
        else:
            self.numbers.add(number)

    def _classes(self, part: Any, *, is_list: bool) -> None:
        """An empty list is an answer, too: none of the labels."""
        words = classes_in(part)
        if not words and not is_list:
            self.uncounted += 1
        for word in words:
            self.classes[word] = self.classes.get(word, 0) + 1
