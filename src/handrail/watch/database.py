"""The SQLite file of one API: `HOME/watch/<api>.db`. Its shape, how it is opened, and what keeps it within bounds."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from handrail.core.errors import HandrailError
from handrail.core.files import disk_errors

API_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
WAIT_S: Final = 5.0
MOST_SAMPLED_BYTES: Final = 64 * 2**20
MOST_REMEMBERED: Final = 100_000
MOST_CLASSES: Final = 100
KEPT_HOURS: Final = 7 * 24
KEPT_DAYS: Final = 400
KEPT_PROFILES: Final = 8
MOST_WAL_BYTES: Final = 4 * 2**20
SHAPE: Final = 1

# `span` is "all", "day" or "hour", and `at` the day or hour since 1970 (UTC), 0 for "all". The class '' holds those
# that have no line of their own. Answers are JSON.
TABLES: Final = """
create table versions (version text primary key, opened real, settings text, signature text, profile text);
create table profiles (key text primary key, content text);
create table totals (
    span text, at integer, requests integer, rows integer, uncounted integer, dropped integer, primary key (span, at)
) without rowid;
create table classes (span text, at integer, class text, count integer, primary key (span, at, class)) without rowid;
create table numbers (
    span text, at integer, count integer, total real, least real, most real, primary key (span, at)
) without rowid;
create table answers (
    number integer primary key, id text, row integer, of integer, at real, version text, answer text, unique (id, row)
);
create table samples (
    number integer primary key, bytes integer, id text, row integer, of integer, at real, version text, answer text,
    input text, unique (id, row)
);
create index samples_by_bytes on samples (bytes);
create table feedback (
    number integer primary key, id text, row integer, at real, version text, answer text, right_answer text,
    unique (id, row)
);
create table blocks (number integer primary key, profile text, at real, rows integer, counts text);
"""


def path_of(home: Path, api: str) -> Path:
    """Where what is kept of an API lies. Raises HandrailError ("usage") for what is no name of one."""
    if API_NAME.fullmatch(api) is None:
        raise HandrailError("usage", f"'{api[:80]}' is no name of an API", "handrail status lists what is deployed")
    return home / "watch" / f"{api}.db"


def open_to_write(path: Path) -> sqlite3.Connection:
    """An open, sound file that only this user may read; a damaged one is set aside as `<api>.db.damaged`.

    It may be used from any thread, by one at a time. Raises HandrailError or sqlite3.Error.
    """
    with disk_errors(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))
    try:
        return _sound(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
    _set_aside(path)
    return open_to_write(path)


@contextlib.contextmanager
def open_to_read(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as it is now, which nobody is hindered from writing. Raises HandrailError that says what is off."""
    if not path.is_file():
        raise _nothing_kept(path)
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)) as database:
            database.execute("pragma query_only = on")
            if _refuse_newer(database) == 0:
                raise _nothing_kept(path)
            yield database
    except sqlite3.Error as error:
        raise HandrailError(
            "bundle", f"what is kept of '{path.stem}' cannot be read: {error}", "remove that file", where=str(path)
        ) from error


@contextlib.contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    database.execute("begin immediate")
    try:
        yield
        database.execute("commit")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            database.execute("rollback")
        raise


def remove(path: Path) -> None:
    """Removes the file with its journal."""
    with disk_errors(path):
        for ending in ("", "-wal", "-shm", ".damaged"):
            path.with_name(path.name + ending).unlink(missing_ok=True)


def _sound(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
    try:
        database.execute("pragma auto_vacuum = incremental")
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = normal")
        database.execute("pragma secure_delete = fast")
        database.execute(f"pragma journal_size_limit = {MOST_WAL_BYTES}")
        _refuse_newer(database)
        _shape(database)
        (said,) = database.execute("pragma quick_check(1)").fetchone()
        if said != "ok":
            raise sqlite3.DatabaseError(said)
    except BaseException:
        database.close()
        raise
    return database


def _nothing_kept(path: Path) -> HandrailError:
    problem, mend = f"nothing is kept of '{path.stem}'", "deploy it with monitoring, and ask it something"
    return HandrailError("not_found", problem, mend)


def _refuse_newer(database: sqlite3.Connection) -> int:
    """The shape of the file, 0 before it has one."""
    (shape,) = database.execute("pragma user_version").fetchone()
    if shape > SHAPE:
        problem = f"what is kept of predictions is of shape {shape}; this Handrail knows {SHAPE}"
        raise HandrailError("bundle", problem, "pip install --upgrade handrail")
    return int(shape)


def _shape(database: sqlite3.Connection) -> None:
    with transaction(database):
        # Somebody else may have made it while we waited.
        (shape,) = database.execute("pragma user_version").fetchone()
        if shape == 0:
            for statement in filter(str.strip, TABLES.split(";")):
                database.execute(statement)
            database.execute(f"pragma user_version = {SHAPE}")


def _set_aside(path: Path) -> None:
    with disk_errors(path):
        path.replace(path.with_name(f"{path.name}.damaged"))
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
