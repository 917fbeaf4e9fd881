"""Batches and runs as they are submitted over HTTP, in Cortex's JSON: all that is off is said at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from handrail.core.errors import HandrailError, closest, listed
from handrail.core.field import described
from handrail.jobs.batch import Batch, Reads, Target

MOST_BATCH_BYTES: Final = 256 * 2**10
MOST_WORKERS: Final = 1_000
MOST_ROWS: Final = 1_000_000
MOST_SECONDS: Final = 366 * 24 * 3600
MOST_PATHS: Final = 10_000
MOST_TRIES: Final = 20
SOURCES: Final[Mapping[str, Reads]] = {"item_list": "items", "file_path_lister": "files", "delimited_files": "tables"}
FILE_KEYS: Final = ("s3_paths", "paths", "includes", "excludes", "batch_size")
DEAD_KEYS: Final = ("arn", "max_receive_count")
KEYS: Final = ("workers", "timeout", *SOURCES, "config", "sqs_dead_letter_queue", "dead_letter", "output", "webhook")
OUTPUTS: Final = {"jsonl": ".jsonl", "csv": ".csv"}


@dataclass(frozen=True)
class Submission:
    """What somebody submits. `items` are the rows that came with it, one a line."""

    batch: Batch
    workers: int
    timeout_s: float | None
    items: bytes = b""


def submission_of(body: object, target: Target, folders: Sequence[Path]) -> Submission:
    """Reads `{workers, timeout, item_list | file_path_lister | delimited_files, config, …}`.

    Raises HandrailError ("data") that names everything that is off.
    """
    problems: list[str] = []
    asked = _Asked(_object(body, "the body", problems), problems)
    asked.refuse_unknown(KEYS)
    name = asked.one_of(SOURCES)
    source = _Asked(_object(asked.given[name], name, problems) if name else {}, problems, f"{name}.")
    piece_rows = source.whole("batch_size", 1, MOST_ROWS, None)
    items = b""
    if name == "item_list":
        source.refuse_unknown(("items", "batch_size"))
        items = _items(source, piece_rows)
    elif name:
        source.refuse_unknown(FILE_KEYS)
        source.one_of(("s3_paths", "paths"))
    batch = Batch(
        target,
        SOURCES[name] if name else "items",
        OUTPUTS.get(asked.word("output", OUTPUTS, "jsonl"), ".jsonl"),
        paths=source.texts("paths", MOST_PATHS) or source.texts("s3_paths", MOST_PATHS),
        includes=source.texts("includes", 100),
        excludes=source.texts("excludes", 100),
        folders=tuple(str(folder) for folder in folders),
        piece_rows=piece_rows,
        tries=_tries(asked),
        config=_config(asked),
        webhook=asked.text("webhook"),
    )
    workers = asked.whole("workers", 1, MOST_WORKERS, 1) or 1
    timeout_s = asked.whole("timeout", 1, MOST_SECONDS, None)
    _refuse(problems, '{"workers": 1, "item_list": {"items": [...], "batch_size": 100}}')
    return Submission(batch, workers, timeout_s, items)


def run_of(body: object) -> tuple[dict[str, Any], float | None]:
    """The config and the seconds of `{config, timeout}`, what a run of a task is asked with. Raises HandrailError."""
    problems: list[str] = []
    asked = _Asked(_object(body, "the body", problems), problems)
    asked.refuse_unknown(("config", "timeout"))
    config, timeout_s = _config(asked), asked.whole("timeout", 1, MOST_SECONDS, None)
    _refuse(problems, '{"config": {"name": "value"}}')
    return config, timeout_s


@dataclass(frozen=True)
class _Asked:
    """An object that is read: what is off with it is added to `problems`; `at` says where it stands."""

    given: Mapping[str, Any]
    problems: list[str]
    at: str = ""

    def refuse_unknown(self, known: Sequence[str]) -> None:
        for name in self.given:
            if name not in known:
                near = closest(name, known)
                said = f" (did you mean '{near}'?)" if near else ""
                self.problems.append(f"unknown field '{self.at}{name[:60]}'{said}")

    def one_of(self, names: Sequence[str] | Mapping[str, Any]) -> str:
        found = [name for name in names if self.given.get(name) is not None]
        if len(found) == 1:
            return found[0]
        received = listed(found) or "none"
        self.problems.append(f"{self.at or 'the body '}needs one of {listed(names)}, received {received}")
        return found[0] if found else ""

    def whole(self, name: str, low: int, high: int, default: int | None) -> int | None:
        value = self.given.get(name)
        if value is None:
            return default
        if type(value) is not int or not low <= value <= high:
            self._off(name, f"a whole number from {low:,} to {high:,}", value)
            return default
        return value

    def texts(self, name: str, most: int) -> tuple[str, ...]:
        value = self.given.get(name)
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list) or len(value) > most or not all(isinstance(one, str) for one in value):
            self._off(name, f"a list of at most {most:,} texts", value)
            return ()
        return tuple(value)

    def text(self, name: str) -> str | None:
        value = self.given.get(name)
        if value is not None and not isinstance(value, str):
            self._off(name, "a text", value)
            return None
        return value

    def word(self, name: str, words: Mapping[str, str], default: str) -> str:
        value = self.given.get(name, default)
        if not isinstance(value, str) or value not in words:
            self._off(name, " or ".join(words), value)
            return default
        return value

    def _off(self, name: str, wanted: str, value: object) -> None:
        self.problems.append(f"{self.at}{name}: expected {wanted}, received {described(value)}")


def _items(source: _Asked, piece_rows: int | None) -> bytes:
    items = source.given.get("items")
    if not isinstance(items, list) or not items:
        source.problems.append(f"{source.at}items: expected a list with rows, received {described(items)}")
        return b""
    if piece_rows is None:
        if "batch_size" not in source.given:
            source.problems.append(f"{source.at}batch_size is missing")
        return b""
    lines = [orjson.dumps(item) for item in items]
    for start in range(0, len(lines), piece_rows):
        size = sum(map(len, lines[start : start + piece_rows]))
        if size > MOST_BATCH_BYTES:
            source.problems.append(
                f"{source.at}items: {piece_rows:,} of them have {size:,} bytes, a batch may have"
                f" {MOST_BATCH_BYTES:,}: lower batch_size"
            )
            break
    return b"".join(line + b"\n" for line in lines)


def _tries(asked: _Asked) -> int:
    """How often code is asked for one batch before its rows are dead letters."""
    for name in ("sqs_dead_letter_queue", "dead_letter"):
        if asked.given.get(name) is not None:
            dead = _Asked(_object(asked.given[name], name, asked.problems), asked.problems, f"{name}.")
            dead.refuse_unknown(DEAD_KEYS)
            dead.text("arn")
            return dead.whole("max_receive_count", 1, MOST_TRIES, 1) or 1
    return 1


def _config(asked: _Asked) -> dict[str, Any]:
    config = asked.given.get("config")
    return {} if config is None else dict(_object(config, "config", asked.problems))


def _object(value: object, name: str, problems: list[str]) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    problems.append(f"{name}: expected an object, received {described(value)}")
    return {}


def _refuse(problems: Sequence[str], sample: str) -> None:
    if problems:
        raise HandrailError("data", listed_problems(problems), f"send {sample}")


def listed_problems(problems: Sequence[str]) -> str:
    """Up to ten of them, as one sentence."""
    rest = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
    return "; ".join(problems[:10]) + rest
