"""Watches the predictions of one API: handed over on the event loop at next to no cost, written by a thread."""

from __future__ import annotations

import contextlib
import logging
import random
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from handrail.core.bundle import to_json
from handrail.core.errors import HandrailError
from handrail.core.signature import Signature
from handrail.watch.database import MOST_REMEMBERED, MOST_SAMPLED_BYTES, open_to_write, path_of, transaction
from handrail.watch.feedback import (
    MOST_UNKNOWN,
    Remembered,
    Right,
    matched,
    not_remembered,
    remembered,
    write_feedback,
)
from handrail.watch.profile import Profile
from handrail.watch.said import Settings, reading_of, refuse_unanswerable
from handrail.watch.samples import held_bytes, input_of, without_examples
from handrail.watch.tally import LONGEST_ANSWER, Tally
from handrail.watch.telling import summary_of
from handrail.watch.window import Window
from handrail.watch.writing import Bounds, Sample, forget_beyond, write_samples, write_tally, write_version

log = logging.getLogger("handrail.watch")

# What comes within this time is written together.
GATHER_S: Final = 0.5
# How old what `status` says may be while requests come.
REFRESH_S: Final = 5.0
# Between pieces of work this small the event loop gets its turn: Python lets one thread run at a time.
PIECE_ROWS: Final = 50
PAUSE_S: Final = 0.0005
MOST_HELD_BYTES: Final = 32 * 2**20
# What a request takes besides its answers, about.
REQUEST_BYTES: Final = 300
# Rows that are counted for drift each time; so many of each request, and no longer ones.
EXAMINED_ROWS: Final = 100
MOST_ROWS_OF_REQUEST: Final = 100
MOST_LETTERS_OF_ROW: Final = 100_000
LOG_S: Final = 60.0
CLOSE_S: Final = 5.0


# Some rows of a request by their numbers, from 1.
Rows = Sequence[tuple[int, Any]]
# One answered request: its id, its answers, rows that are looked at, whether these are kept, and about how large it is.
# A plain tuple, because making one costs the event loop next to nothing.
Event = tuple[bytes, Sequence[bytes], Rows, bool, int]


@dataclass
class Gathered:
    """What a piece of work found."""

    tally: Tally = field(default_factory=Tally)
    samples: list[Sample] = field(default_factory=list)


class Watcher:
    """Opened for each version of an API that is served, closed with it. Opening it touches no disk.

    `version` is what answers, as `name@3`; `signature` is None for somebody's own code, `profile` for a model whose
    bundle has none: then there is no drift. Of what is redacted nothing is kept, not its drift either. Nothing that
    goes wrong here reaches a request.
    """

    def __init__(
        self,
        home: Path,
        api: str,
        settings: Settings,
        signature: Signature | None = None,
        profile: Profile | None = None,
        *,
        version: str = "",
        sampled_bytes: int = MOST_SAMPLED_BYTES,
        most_remembered: int = MOST_REMEMBERED,
    ) -> None:
        self.api = api
        self.version = version
        self.reading = reading_of(settings, signature)
        self._path = path_of(home, api)
        self._settings = settings
        self._signature = signature
        self._profile = None if profile is None else profile.without(settings.redact)
        self._redact = frozenset(settings.redact)
        self._bounds = Bounds(most_remembered, settings.keep, sampled_bytes)
        self._window = None if self._profile is None or signature is None else Window(self._profile, signature)
        # On the event loop: what was handed over. The thread counts what it took in a number of its own.
        self._events: deque[Event] = deque()
        self._handed_bytes = 0
        self._dropped = 0
        self._is_awake = False
        self._room = EXAMINED_ROWS if self._window else 0
        self._share = settings.sample if settings.keep > 0 else 0.0
        self._draw: Callable[[], float] = random.Random().random  # noqa: S311 - which requests are kept is no secret
        # Under the lock: the file.
        self._lock = threading.RLock()
        self._database: sqlite3.Connection | None = None
        self._taken = self._taken_bytes = 0
        self._dropped_written = 0
        self._lost = 0
        self._logged = -LOG_S
        self._summary: dict[str, Any] = {}
        self._refreshed = -REFRESH_S
        self._is_stale = False
        self._wake = threading.Event()
        self._closing = threading.Event()
        # A daemon: a disk that hangs does not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name=f"watch-{api}", daemon=True)
        self._thread.start()

    def seen(self, request_id: bytes, values: Sequence[Any] | None, answers: Sequence[bytes]) -> None:
        """Hands over one answered request: its checked rows (or a predictor's payload in a list) and its answers as
        JSON. Called on the event loop only; neither list may change later.
        """
        rows = len(answers)
        if not rows:
            return
        size = REQUEST_BYTES + rows * (100 + len(answers[0]))
        if self._handed_bytes - self._taken_bytes + size > MOST_HELD_BYTES:
            self._dropped += 1
            return
        kept: Rows = ()
        share = self._share
        is_sampled = share > 0 and self._draw() < share
        if (is_sampled or self._room > 0) and values:
            kept, letters = self._chosen(values, is_sampled)
            size += letters
        self._handed_bytes += size
        self._events.append((request_id, answers, kept, is_sampled, size))
        if not self._is_awake:
            self._is_awake = True
            self._wake.set()

    def status(self) -> dict[str, Any]:
        """What `handrail status` shows, at most some seconds old; {} before the first request. Never waits."""
        return self._summary

    def report(self) -> dict[str, Any]:
        """Everything, as of now: what was handed over is written first. Waits for the disk.

        Raises HandrailError where the file cannot be had.
        """
        with self._lock, self._disk():
            self._flush()
            found = summary_of(self._opened(), self.version, full=True)
        return {"api": self.api, **found}

    def feedback(self, given: Sequence[Right]) -> dict[str, Any]:
        """Keeps right answers: `accepted` rows, and the ids that nobody remembers. Waits for the disk.

        Raises HandrailError: "data" for answers that this model cannot give (nothing is kept then), "not_found" when
        no id is known.
        """
        refuse_unanswerable(self.reading)
        with self._lock, self._disk():
            database = self._opened()
            found, unknown = matched(given, self._finder(database), self.reading)
            if unknown and not found:
                raise not_remembered(unknown, self._bounds.remembered)
            with transaction(database):
                write_feedback(database, found, time.time())
            self._is_stale = True
        self._wake.set()
        return {"accepted": len(found), "unknown": unknown[:MOST_UNKNOWN], "unknown_count": len(unknown)}

    def flush(self) -> None:
        """Writes what was handed over so far, now."""
        with self._lock:
            self._flush()

    def close(self) -> None:
        """Writes what is left, for some seconds at most. Never raises."""
        self._closing.set()
        self._wake.set()
        self._thread.join(CLOSE_S)

    def _chosen(self, values: Sequence[Any], is_sampled: bool) -> tuple[Rows, int]:
        """Rows of a request with their numbers (from 1), evenly over it, and about how large they are."""
        most = MOST_ROWS_OF_REQUEST if is_sampled else min(self._room, MOST_ROWS_OF_REQUEST)
        step = -(-len(values) // most)
        chosen = [(place + 1, values[place]) for place in range(0, len(values), step)]
        sizes = [_letters(row) for _, row in chosen]
        kept = [one for one, size in zip(chosen, sizes, strict=True) if size <= MOST_LETTERS_OF_ROW]
        self._room -= len(kept)
        return kept, sum(size for size in sizes if size <= MOST_LETTERS_OF_ROW) + 100 * len(kept)

    # The thread's side.

    def _work(self) -> None:
        if self._path.exists():
            with self._lock:
                self._is_stale = True
                self._refresh()
        while not self._closing.is_set():
            self._wake.wait(REFRESH_S if self._is_stale else None)
            self._closing.wait(GATHER_S)
            self._wake.clear()
            self._is_awake = False
            with self._lock:
                self._flush()
                self._refresh()
            self._room = EXAMINED_ROWS if self._window else 0
        with self._lock:
            self._flush()
            self._shut()

    def _flush(self) -> None:
        """Writes all that was handed over; what cannot be written is given up and counted."""
        gathered, before = Gathered(), self._taken
        try:
            while self._events:
                self._take_piece(gathered)
                time.sleep(PAUSE_S)
            dropped = self._dropped
            gathered.tally.dropped = dropped - self._dropped_written + self._lost
            if self._taken > before or gathered.tally.dropped:
                self._write(gathered)
                self._dropped_written, self._lost, self._is_stale = dropped, 0, True
        except Exception as error:
            self._lost += self._taken - before
            self._shut()
            self._say(error)

    def _take_piece(self, gathered: Gathered) -> None:
        """Adds up some of what was handed over."""
        rows = 0
        examined: list[Any] = []
        said_of_examined: list[Any] = []
        while self._events and rows < PIECE_ROWS:
            raw_id, answers, kept, is_sampled, size = self._events.popleft()
            self._taken_bytes += size
            self._taken += 1
            rows += len(answers)
            request_id = raw_id.decode("ascii", "replace")
            said = gathered.tally.request(request_id, answers, self.reading)
            if is_sampled:
                gathered.samples += self._samples_of(request_id, kept, said)
            examined += [row for _, row in kept]
            said_of_examined += [said[number - 1] for number, _ in kept]
        if self._window and examined:
            self._window.add(examined, said_of_examined)

    def _samples_of(self, request_id: str, kept: Rows, said: Sequence[Any]) -> Iterator[Sample]:
        for number, row in kept:
            content = input_of(row, self._signature, self._redact)
            answer = orjson.dumps(said[number - 1])
            if content is not None and len(answer) <= LONGEST_ANSWER:
                size = held_bytes((content, answer))
                yield Sample(request_id, number, len(said), answer.decode(), content.decode(), size)

    def _write(self, gathered: Gathered) -> None:
        database, at = self._opened(), time.time()
        with transaction(database):
            write_tally(database, gathered.tally, at, self.version)
            if gathered.samples:
                write_samples(database, gathered.samples, self._bounds, at, self.version)
            if self._window:
                self._window.write(database, at)
            forget_beyond(database, self._bounds, at)
        if self._window:
            self._window.written()

    def _finder(self, database: sqlite3.Connection) -> Callable[[str], list[Remembered]]:
        """What was said to a request; one that was just answered may not be in the file yet."""

        def find(request_id: str) -> list[Remembered]:
            found = remembered(database, request_id)
            if not found and self._events:
                self._flush()
                found = remembered(self._opened(), request_id)
            return found

        return find

    def _refresh(self) -> None:
        if not self._is_stale or time.monotonic() - self._refreshed < REFRESH_S:
            return
        self._refreshed = time.monotonic()
        try:
            self._summary = summary_of(self._opened(), self.version, full=False)
            self._is_stale = False
        except (sqlite3.Error, OSError, HandrailError) as error:
            self._shut()
            self._say(error)

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            database = open_to_write(self._path)
            try:
                self._write_version(database)
            except BaseException:
                database.close()
                raise
            self._database = database
        return self._database

    def _write_version(self, database: sqlite3.Connection) -> None:
        settings, profile = self._settings, self._profile
        told = {"model_type": self.reading.model_type, "key": self.reading.key, "sample": settings.sample,
                "keep": settings.keep, "redact": list(settings.redact)}  # fmt: skip
        signature = ""
        if self._signature is not None:
            signature = to_json(without_examples(self._signature, self._redact).as_dict()).decode()
        content = ("", "") if profile is None else (profile.key, profile.as_bytes().decode())
        with transaction(database):
            write_version(database, time.time(), self.version, orjson.dumps(told).decode(), signature, content)

    def _shut(self) -> None:
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
            self._database = None

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        """What the file says, as an error for whoever asked."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            self._shut()
            self._say(error)
            mend = "free some space, then try again"
            raise HandrailError("environment", f"predictions cannot be kept now: {error}", mend) from error

    def _say(self, error: Exception) -> None:
        if time.monotonic() - self._logged >= LOG_S:
            self._logged = time.monotonic()
            is_ours = not isinstance(error, sqlite3.Error | OSError | HandrailError)
            log.warning("predictions of %s are not kept for now: %s", self.api, error, exc_info=is_ours)


def _letters(row: Any) -> int:
    """About how many bytes a row's texts take."""
    if isinstance(row, list):
        return sum(len(cell) for cell in row if isinstance(cell, str | bytes))
    return len(row) if isinstance(row, str | bytes) else 1_000
