"""What the replicas of an API wrote, merged by time: the newest lines, and then what is added to them.

A log's lines are `2026-11-25T03:40:00.123Z PID text`; one without a stamp belongs to the line before it. Files are
named after versions (`3.log`); one that grew too long goes on being there as `3.log.1`.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from handrail.core.errors import HandrailError, did_you_mean, listed

ENDING: Final = ".log"
STAMPED: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z) (\d{1,10}) ?")
# However long a log is, so much of it is held at once; more where more lines are asked for.
BLOCK_BYTES: Final = 2**16
MOST_BYTES: Final = 2**22
MOST_BYTES_A_LINE: Final = 256
MOST_LINE_BYTES: Final = 2**13
MOST_FILES: Final = 64
# How many lines before those that are shown are looked at for the stamp of the first one.
BEFORE: Final = 200
COLOURS: Final = re.compile(rb"\x1b\[[0-9;]*m")

# When, in UTC as logs write it, and by which process.
Stamp = tuple[str, str]


@dataclass(frozen=True)
class Line:
    """One line: when it was written (UTC, as its stamp says), by which version and process, and what it says."""

    at: str
    version: str
    pid: str
    text: str


@dataclass
class _Open:
    """A log that is followed: read up to `offset`; `half` is a line that has no end yet."""

    file: BinaryIO
    inode: int
    offset: int
    half: bytes = b""
    last: Stamp = ("", "?")


class Logs:
    """The logs in a folder. `newest` gives what is there, `added` what came since."""

    def __init__(self, folder: Path, version: str | None = None) -> None:
        self._folder = folder
        self._version = version
        self._open: dict[str, _Open] = {}
        for path in _newest_files(folder, version):
            self._follow(path, at_end=True)

    def newest(self, count: int) -> list[Line]:
        """The newest lines of all logs, oldest first."""
        found = [line for name in self._open for line in self._newest_of(name, count)]
        return sorted(found, key=lambda line: line.at)[-count:] if found else []

    def added(self) -> list[Line]:
        """The lines that were added since the last call, by time; at most a block of each log."""
        for path in _newest_files(self._folder, self._version):
            if path.name not in self._open:
                self._follow(path, at_end=False)
        found = [line for name in list(self._open) for line in self._added_to(name)]
        return sorted(found, key=lambda line: line.at)

    def close(self) -> None:
        for log in self._open.values():
            log.file.close()
        self._open.clear()

    def _follow(self, path: Path, *, at_end: bool) -> None:
        with contextlib.suppress(OSError):
            file = path.open("rb", buffering=0)
            state = os.fstat(file.fileno())
            self._open[path.name] = _Open(file, state.st_ino, state.st_size if at_end else 0)

    def _newest_of(self, name: str, count: int) -> list[Line]:
        log = self._open[name]
        raw = _last_lines(log.file, log.offset, count + BEFORE)
        before = self._folder / f"{name}.1"
        if len(raw) < count + BEFORE and before.is_file():
            with before.open("rb", buffering=0) as file:
                raw = _last_lines(file, os.fstat(file.fileno()).st_size, count + BEFORE - len(raw)) + raw
        lines = _lines(raw, name, _first_stamp(raw) or _changed(log.file))
        if lines:
            log.last = (lines[-1].at, lines[-1].pid)
        return lines[-count:] if count else []

    def _added_to(self, name: str) -> list[Line]:
        log = self._open[name]
        state = os.fstat(log.file.fileno())
        if state.st_size < log.offset:
            log.offset, log.half = 0, b""
        content = os.pread(log.file.fileno(), BLOCK_BYTES, log.offset)
        log.offset += len(content)
        *whole, log.half = (log.half + content).split(b"\n")
        over = not content and self._is_left(name, log)
        if log.half and (over or len(log.half) > BLOCK_BYTES):
            whole, log.half = [*whole, log.half], b""
        lines = _lines(whole, name, log.last)
        log.last = (lines[-1].at, lines[-1].pid) if lines else log.last
        if over:
            log.file.close()
            del self._open[name]
        return lines

    def _is_left(self, name: str, log: _Open) -> bool:
        """Whether another file has the log's name by now, or none has."""
        try:
            return (self._folder / name).stat().st_ino != log.inode
        except OSError:
            return True


def folder_of(logs: Path, api: str) -> Path:
    """The folder of an API's logs. Raises HandrailError ("not_found") that names those that are there."""
    if (logs / api).is_dir():
        return logs / api
    known = sorted(item.name for item in logs.iterdir() if item.is_dir()) if logs.is_dir() else []
    there = f"there are logs of {listed(known)}" if known else "handrail status lists what is deployed"
    raise HandrailError("not_found", f"there are no logs of '{api}'", did_you_mean(api, known).strip() or there)


def _newest_files(folder: Path, version: str | None) -> list[Path]:
    found = []
    for path in folder.glob(f"{version or '*'}{ENDING}"):
        with contextlib.suppress(OSError):
            found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found)[-MOST_FILES:]]


def _last_lines(file: BinaryIO, end: int, count: int) -> list[bytes]:
    """The last lines before `end`, oldest first; of one that is longer than what is held, its end."""
    most = max(MOST_BYTES, count * MOST_BYTES_A_LINE)
    blocks: list[bytes] = []
    start, ends = end, 0
    while start > 0 and ends <= count and end - start < most:
        size = min(BLOCK_BYTES, start)
        start -= size
        blocks.append(os.pread(file.fileno(), size, start))
        ends += blocks[-1].count(b"\n")
    content = b"".join(reversed(blocks))
    lines = content.removesuffix(b"\n").split(b"\n") if content else []
    return lines[-count:]


def _lines(raw: Iterable[bytes], name: str, last: Stamp) -> list[Line]:
    """Lines as they are shown; one without a stamp has that of the line before it, the first such one `last`."""
    version, lines = name.removesuffix(ENDING), []
    for content in raw:
        stamp = STAMPED.match(content)
        if stamp is not None:
            last = (stamp[1].decode("ascii"), stamp[2].decode("ascii"))
        at, pid = last
        lines.append(Line(at, version, pid, _text(content[stamp.end() if stamp else 0 :])))
    return lines


def _first_stamp(raw: Iterable[bytes]) -> Stamp | None:
    found = next(filter(None, map(STAMPED.match, raw)), None)
    return (found[1].decode("ascii"), "?") if found else None


def _changed(file: BinaryIO) -> Stamp:
    """When a log was last written to, for lines that do not say."""
    at = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z", "?"


def _text(content: bytes) -> str:
    """Text of any bytes, without the colours that somebody meant for another terminal."""
    kept = COLOURS.sub(b"", content.rstrip(b"\r"))
    text = kept[:MOST_LINE_BYTES].decode("utf-8", "replace").expandtabs(4)
    return text if len(kept) <= MOST_LINE_BYTES else f"{text}… ({len(kept):,} bytes)"
