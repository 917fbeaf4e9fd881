"""What was added up goes into the file, in one transaction, and what is beyond the bounds goes out of it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import Final

from handrail.watch.database import (
    KEPT_DAYS,
    KEPT_HOURS,
    KEPT_PROFILES,
    MOST_CLASSES,
    MOST_REMEMBERED,
    MOST_SAMPLED_BYTES,
)
from handrail.watch.tally import Numbers, Tally

HOUR_S: Final = 3_600
DAY_S: Final = 24 * HOUR_S
# The class that stands for all without a line of their own.
OTHER: Final = ""
Spans = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Sample:
    """One row that is kept. `row` counts from 1; `answer` and `content` are JSON."""

    id: str
    row: int
    of: int
    answer: str
    content: str
    size: int


@dataclass(frozen=True)
class Bounds:
    """What may be kept at most: rows whose answers are remembered, rows whose inputs are, and the bytes of these."""

    remembered: int = MOST_REMEMBERED
    samples: int = 10_000
    sampled_bytes: int = MOST_SAMPLED_BYTES


def spans_of(at: float) -> Spans:
    """The spans that a moment counts for: all time, its day, its hour."""
    return ("all", 0), ("day", int(at // DAY_S)), ("hour", int(at // HOUR_S))


def write_tally(database: sqlite3.Connection, tally: Tally, at: float, version: str) -> None:
    """Adds counts to those of all time, of the day and of the hour, and remembers what was said."""
    spans = spans_of(at)
    counts = (tally.requests, tally.rows, tally.uncounted, tally.dropped)
    database.executemany(
        "insert into totals values (?, ?, ?, ?, ?, ?) on conflict do update set "
        "requests = requests + excluded.requests, rows = rows + excluded.rows, "
        "uncounted = uncounted + excluded.uncounted, dropped = dropped + excluded.dropped",
        [(*span, *counts) for span in spans],
    )
    _write_classes(database, tally.classes, spans)
    _write_numbers(database, tally.numbers, spans)
    database.executemany(
        "insert or replace into answers (id, row, of, at, version, answer) values (?, ?, ?, ?, ?, ?)",
        [(one[0], one[1], one[2], at, version, one[3]) for one in tally.answers[-MOST_REMEMBERED:]],
    )


def write_samples(
    database: sqlite3.Connection, samples: Sequence[Sample], bounds: Bounds, at: float, version: str
) -> None:
    """Keeps rows, of too many the last; a request id that comes again replaces what was kept under it."""
    sizes = accumulate(one.size for one in reversed(samples))
    fitting = sum(size <= bounds.sampled_bytes for size in islice(sizes, bounds.samples))
    samples = samples[len(samples) - fitting :]
    database.executemany(
        "insert or replace into samples (bytes, id, row, of, at, version, answer, input) "
        "values (?, ?, ?, ?, ?, ?, ?, ?)",
        [(one.size, one.id, one.row, one.of, at, version, one.answer, one.content) for one in samples],
    )


def forget_beyond(database: sqlite3.Connection, bounds: Bounds, at: float) -> None:
    """Takes the oldest away where there is more than may be kept."""
    for table, most in (("answers", bounds.remembered), ("feedback", bounds.remembered)):
        database.execute(f"delete from {table} where number <= (select max(number) from {table}) - ?", (most,))  # noqa: S608
    _forget_samples(database, bounds)
    for table in ("totals", "classes", "numbers"):
        for span, before in (("hour", at // HOUR_S - KEPT_HOURS), ("day", at // DAY_S - KEPT_DAYS)):
            database.execute(f"delete from {table} where span = ? and at < ?", (span, int(before)))  # noqa: S608
    database.execute("pragma incremental_vacuum(256)").fetchall()


def write_version(
    database: sqlite3.Connection, at: float, version: str, settings: str, signature: str, profile: tuple[str, str]
) -> None:
    """Remembers how this version's answers are read, so that the file can be read alone. `profile`: key and content."""
    told = (version, at, settings, signature, profile[0])
    database.execute("insert or replace into versions values (?, ?, ?, ?, ?)", told)
    if profile[0]:
        database.execute("insert or ignore into profiles values (?, ?)", profile)
    database.execute(
        "delete from versions where version not in (select version from versions order by opened desc limit ?)",
        (KEPT_PROFILES,),
    )
    for table, column in (("profiles", "key"), ("blocks", "profile")):
        database.execute(f"delete from {table} where {column} not in (select profile from versions)")  # noqa: S608


def _write_classes(database: sqlite3.Connection, classes: dict[str, int], spans: Spans) -> None:
    if not classes:
        return
    known = {word for (word,) in database.execute("select class from classes where span = 'all'")}
    counts = _within(classes, known)
    database.executemany(
        "insert into classes values (?, ?, ?, ?) on conflict do update set count = count + excluded.count",
        [(*span, word, count) for span in spans for word, count in counts.items()],
    )


def _within(classes: dict[str, int], known: Collection[str]) -> dict[str, int]:
    """Counts of which no more classes have a line than may have one."""
    room = MOST_CLASSES - len(known)
    counts: dict[str, int] = {}
    for word, count in sorted(classes.items(), key=lambda item: -item[1]):
        if word not in known:
            room -= 1
        line = word if word in known or room >= 0 else OTHER
        counts[line] = counts.get(line, 0) + count
    return counts


def _write_numbers(database: sqlite3.Connection, numbers: Numbers, spans: Spans) -> None:
    if not numbers.count:
        return
    database.executemany(
        "insert into numbers values (?, ?, ?, ?, ?, ?) on conflict do update set count = count + excluded.count, "
        "total = total + excluded.total, least = min(least, excluded.least), most = max(most, excluded.most)",
        [(*span, numbers.count, numbers.total, numbers.least, numbers.most) for span in spans],
    )


def _forget_samples(database: sqlite3.Connection, bounds: Bounds) -> None:
    rows, size = database.execute("select count(*), coalesce(sum(bytes), 0) from samples").fetchone()
    last = None
    with contextlib.closing(database.cursor()) as oldest:
        oldest.execute("select number, bytes from samples order by number")
        while rows > bounds.samples or size > bounds.sampled_bytes:
            last, held = oldest.fetchone()
            rows, size = rows - 1, size - held
    if last is not None:
        database.execute("delete from samples where number <= ?", (last,))
