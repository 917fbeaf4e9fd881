"""Right answers that come later, by request id: matched with what was said, checked, kept; and how right that was."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from handrail.core.errors import HandrailError, clipped
from handrail.watch.said import Reading, Said, right_answer

MOST_PROBLEMS: Final = 5
MOST_UNKNOWN: Final = 100
# Live accuracy is that of the last so many right answers.
MOST_JUDGED: Final = 10_000
MOST_CLASSES: Final = 50
NORMAL_95: Final = 1.959963984540054


@dataclass(frozen=True)
class Right:
    """The right answer of one request: for one row, for `row` (from 1), or a list for all of them; None: not known."""

    id: str
    answer: Any
    row: int | None = None


@dataclass(frozen=True)
class Remembered:
    """What was said to one row of a request of `of` rows, and by which version. `answer` is JSON."""

    row: int
    of: int
    version: str
    answer: str


Matched = tuple[str, int, str, str, str]  # id, row, version, what was said, what is right; both as JSON


def remembered(database: sqlite3.Connection, request_id: str) -> list[Remembered]:
    """What was said to a request, row by row; [] when that is not known, or not any more."""
    for table in ("answers", "samples"):
        found = database.execute(
            f"select row, of, version, answer from {table} where id = ? order by row",  # noqa: S608
            (request_id,),
        ).fetchall()
        if found:
            return [Remembered(*one) for one in found]
    return []


def matched(
    given: Sequence[Right], find: Callable[[str], list[Remembered]], reading: Reading
) -> tuple[list[Matched], list[str]]:
    """Right answers beside what was said, and the ids of requests that nobody remembers.

    Raises HandrailError ("data") with up to five problems, each with its place and id.
    """
    found: list[Matched] = []
    unknown: list[str] = []
    problems: list[str] = []
    for place, one in enumerate(given, start=1):
        rows = find(one.id)
        if not rows or (one.row is not None and one.row not in (row.row for row in rows)):
            unknown.append(one.id)
            continue
        try:
            found += _matched(one, rows, reading)
        except ValueError as error:
            where = f"feedback {place}: " if len(given) > 1 else ""
            problems.append(f"{where}request {one.id}: {error}")
        if len(problems) >= MOST_PROBLEMS:
            break
    if problems:
        mend = 'send {"id": the x-request-id of the answer, "answer": the right answer}; nothing was kept'
        raise HandrailError("data", "; ".join(problems), mend, field="answer")
    return found, unknown


def write_feedback(database: sqlite3.Connection, found: Iterable[Matched], at: float) -> None:
    """Keeps right answers; of two for one row, the last one."""
    database.executemany(
        "insert or replace into feedback (id, row, at, version, answer, right_answer) values (?, ?, ?, ?, ?, ?)",
        [(request_id, row, at, version, said, right) for request_id, row, version, said, right in found],
    )


def not_remembered(ids: Sequence[str], most: int) -> HandrailError:
    """The error where no request of those is known."""
    return HandrailError(
        "not_found", f"no prediction with the id '{clipped(ids[0])}' is remembered",
        f"send the x-request-id of an answer; the last {most:,} rows are remembered", field="id",
    )  # fmt: skip


def how_right(database: sqlite3.Connection, version: str | None = None) -> dict[str, Any] | None:
    """Measures over the last right answers (of one version), None where there are none.

    Labels: `accuracy` with its 95 % interval, and each class; several labels count as right when all are. Numbers:
    `mae` and `rmse`.
    """
    one = "where version = ?" if version is not None else ""
    found = database.execute(
        f"select answer, right_answer from feedback {one} order by number desc limit ?",  # noqa: S608
        (*([] if version is None else [version]), MOST_JUDGED),
    ).fetchall()
    if not found:
        return None
    if isinstance(orjson.loads(found[0][1]), int | float):
        return _numbers(found)
    return _classes(found)


def wilson(right: int, rows: int) -> tuple[float, float]:
    """The 95 % interval of a share.

    Source: Wilson, Probable inference, the law of succession, and statistical inference (1927).
    """
    share, square = right / rows, NORMAL_95**2
    middle = (share + square / (2 * rows)) / (1 + square / rows)
    half = NORMAL_95 / (1 + square / rows) * math.sqrt(share * (1 - share) / rows + square / (4 * rows**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _matched(one: Right, rows: list[Remembered], reading: Reading) -> list[Matched]:
    """A `row` of one that was given takes the answer alone."""
    if one.row is not None:
        pairs = [(row, one.answer) for row in rows if row.row == one.row]
    else:
        answers = _each(one.answer, rows[0].of, reading)
        pairs = [(row, answers[row.row - 1]) for row in rows]
    return [
        (one.id, row.row, row.version, row.answer, _as_json(right_answer(answer, reading)))
        for row, answer in pairs
        if answer is not None
    ]


def _each(answer: Any, rows: int, reading: Reading) -> list[Any]:
    """The answers of a request's rows. Raises ValueError where there are more or fewer."""
    several = reading.output is not None and reading.output.kind == "labels"
    is_list = isinstance(answer, list) and not (several and rows == 1 and not any(isinstance(x, list) for x in answer))
    if rows == 1 and not is_list:
        return [answer]
    had = "one row" if rows == 1 else f"{rows:,} rows"
    if not is_list:
        raise ValueError(f"it had {had}: expected a list of {rows:,} answers, or a row with each")
    if len(answer) != rows:
        raise ValueError(f"it had {had}, received {len(answer):,} answers")
    return list(answer)


def _as_json(said: Said) -> str:
    return orjson.dumps(said).decode()


def _numbers(found: Sequence[tuple[str, str]]) -> dict[str, Any]:
    pairs = [(orjson.loads(said), orjson.loads(right)) for said, right in found]
    off = [said - right for said, right in pairs if isinstance(said, int | float) and isinstance(right, int | float)]
    if not off:
        return {"rows": 0}
    mae = math.fsum(map(abs, off)) / len(off)
    rmse = math.sqrt(math.fsum(one * one for one in off) / len(off))
    return {"rows": len(off), "mae": _short(mae), "rmse": _short(rmse)}


def _classes(found: Sequence[tuple[str, str]]) -> dict[str, Any]:
    rows: dict[str, int] = {}
    hits: dict[str, int] = {}
    said_as: dict[str, int] = {}
    for said, right in found:
        answer, truth = _word(said), _word(right)
        rows[truth] = rows.get(truth, 0) + 1
        said_as[answer] = said_as.get(answer, 0) + 1
        hits[truth] = hits.get(truth, 0) + (answer == truth)
    total, right_rows = len(found), sum(hits.values())
    low, high = wilson(right_rows, total)
    per_class = [
        _class(word, count, hits[word], said_as.get(word, 0))
        for word, count in sorted(rows.items(), key=lambda item: (-item[1], item[0]))[:MOST_CLASSES]
    ]
    measures = {"accuracy": _short(right_rows / total), "low": _short(low), "high": _short(high)}
    return {"rows": total, **measures, "per_class": per_class}


def _class(word: str, rows: int, hits: int, said: int) -> dict[str, Any]:
    """`recall`: the share of its rows that was answered so, with its interval; `precision`: of those so answered."""
    low, high = wilson(hits, rows)
    precision = _short(hits / said) if said else None
    return {"class": word, "rows": rows, "recall": _short(hits / rows), "low": _short(low), "high": _short(high),
            "precision": precision}  # fmt: skip


def _word(text: str) -> str:
    value = orjson.loads(text)
    if isinstance(value, list):
        return ", ".join(sorted(map(str, value)))
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _short(value: float) -> float:
    return float(f"{value:.6g}")
