"""The files that a job reads: given ones and those in given folders, by patterns, never outside of what is allowed."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from handrail.core.errors import HandrailError, clipped, listed

MOST_FILES: Final = 1_000_000
LONGEST_PATH: Final = 4_096
# Each star multiplies the ways in which a name may be held against a pattern.
MOST_STARS: Final = 5
LONGEST_PATTERN: Final = 500
# device, inode, size in bytes, time of the last change in ns: what tells one state of a file from another.
Identity = tuple[int, int, int, int]


@dataclass(frozen=True)
class File:
    """A file as it was found. `name` is what it is called in answers: below the folder that was given."""

    path: Path
    name: str
    identity: Identity


def files_in(
    paths: Sequence[str],
    *,
    includes: Sequence[str] = (),
    excludes: Sequence[str] = (),
    folders: Sequence[Path] | None = None,
) -> list[File]:
    """The files at these paths, each once, those of a folder in the order of their names.

    `folders` are where files may be read, links followed; None: anywhere. Raises HandrailError where a path is of no
    use, where it is not allowed, and where no file is left.
    """
    kept: dict[Path, File] = {}
    seen = 0
    for text in paths:
        for file in _below(_place(text, folders), folders):
            seen += 1
            if seen > MOST_FILES:
                raise HandrailError("too_large", f"more than {MOST_FILES:,} files", "give a folder with fewer")
            if _is_wanted(file.name, includes, excludes):
                kept.setdefault(file.path, file)
    if not kept:
        raise _none_left(paths, seen)
    return list(kept.values())


def identity_of(found: os.stat_result) -> Identity:
    """What tells this state of a file from another."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def matches(pattern: str, name: str) -> bool:
    """Whether a name like `year/january.csv` is meant by a pattern.

    `*` and `?` stay within one part, `**` crosses parts; a pattern without `/` is held against the last part, too.
    """
    expression = _expression(pattern)
    return bool(expression.fullmatch(name) or ("/" not in pattern and expression.fullmatch(name.rpartition("/")[2])))


def _place(text: str, folders: Sequence[Path] | None) -> Path:
    """The absolute path that a text means, links resolved."""
    if "://" in text:
        problem = f"only files of this machine are read, received '{clipped(text, 60)}'"
        raise HandrailError("usage", problem, "copy them into a folder first, then give that", field="paths")
    if not text or "\0" in text or len(text) > LONGEST_PATH:
        raise HandrailError("usage", "a path is empty, too long, or holds a NUL", "give a file or a folder")
    if folders is None:
        path = Path(os.path.realpath(text))
        if not path.exists():
            raise HandrailError("data", "no such file or folder", "check the path", where=text)
        return path
    for folder in folders:
        path = Path(os.path.realpath(folder / text))
        if _is_within(path, folders) and path.exists():
            return path
    # One answer for what is not there and for what is not allowed: nobody learns what lies elsewhere.
    problem = f"'{clipped(text, 60)}' is in no folder that jobs may read"
    mend = "whoever runs the server says which folders those are" if folders else "the server was started without any"
    raise HandrailError("forbidden", problem, mend, field="paths")


def _below(place: Path, folders: Sequence[Path] | None) -> Iterator[File]:
    if not place.is_dir():
        yield _file(place, place.name, place.stat())
        return
    for folder, inner, names in os.walk(place):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and (found := _readable(path, folders)):
                yield _file(Path(os.path.realpath(path)), path.relative_to(place).as_posix(), found)


def _readable(path: Path, folders: Sequence[Path] | None) -> os.stat_result | None:
    """None for what is no file, and for a link that leads out of the folders."""
    try:
        found = path.stat()
    except OSError:
        return None
    inside = folders is None or not path.is_symlink() or _is_within(Path(os.path.realpath(path)), folders)
    return found if stat.S_ISREG(found.st_mode) and inside else None


def _file(path: Path, name: str, found: os.stat_result) -> File:
    if not stat.S_ISREG(found.st_mode):
        raise HandrailError("data", "neither a file nor a folder", "give a plain file with rows", where=str(path))
    return File(path, name, identity_of(found))


def _is_within(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.is_relative_to(os.path.realpath(folder)) for folder in folders)


def _is_wanted(name: str, includes: Sequence[str], excludes: Sequence[str]) -> bool:
    if includes and not any(matches(pattern, name) for pattern in includes):
        return False
    return not any(matches(pattern, name) for pattern in excludes)


def _none_left(paths: Sequence[str], seen: int) -> HandrailError:
    if not seen:
        return HandrailError("data", f"no files in {listed(paths, 3)}", "give a folder with files of rows")
    problem = f"of {seen:,} files none is left after includes and excludes"
    return HandrailError("data", problem, "for example --include '*.csv'", field="includes")


@lru_cache(1_000)
def _expression(pattern: str) -> re.Pattern[str]:
    if len(re.findall(r"\*+", pattern)) > MOST_STARS or len(pattern) > LONGEST_PATTERN:
        problem = f"a pattern may hold {MOST_STARS} stars and {LONGEST_PATTERN} letters, received '{clipped(pattern)}'"
        raise HandrailError("usage", problem, "give several patterns", field="includes")
    parts: list[str] = []
    place = 0
    while place < len(pattern):
        rest = pattern[place:]
        if rest.startswith("**/"):
            parts.append("(?:.*/)?")
            place += 3
        elif rest.startswith("**"):
            parts.append(".*")
            place += 2
        elif found := re.match(r"\[(!?)([^\]/]+)\]", rest):
            # Escaped but for the dash of a range: nothing that somebody sends may be more than a set of characters.
            inner = re.escape(found[2]).replace("\\-", "-")
            parts.append(f"[{'^/' if found[1] else ''}{inner}]")
            place += len(found[0])
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(pattern[place], re.escape(pattern[place])))
            place += 1
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error as error:
        problem = f"'{clipped(pattern, 60)}' is no pattern: {error}"
        raise HandrailError("usage", problem, "for example *.csv or year/**/*.csv", field="includes") from None
