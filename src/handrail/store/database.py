"""The SQLite file: migrations are numbered functions in a list; a damaged file is set aside and made anew."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from handrail.core.errors import HandrailError
from handrail.core.files import disk_errors, sync_folder
from handrail.store.home import free_bytes

WAIT_S = 10.0
# With less free than this, what SQLite calls an I/O error is a full disk.
FULL_BYTES = 2**20
ANEW = "run the command again: it is made anew from the models"
ROOM = "free some space (handrail models remove NAME does), or set HANDRAIL_HOME to a folder on another disk"


def open_database(path: Path, refill: Callable[[sqlite3.Connection], object]) -> sqlite3.Connection:
    """An open, sound database of the newest shape. A damaged one is kept as `handrail.db.damaged`, beside a new one
    that `refill` fills.

    Raises HandrailError when it is unreadable or of a newer Handrail.
    """
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with database_errors(path):
        try:
            return _sound(path)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
        with _alone_in(path.parent):
            return _made_anew(path, refill)


@contextlib.contextmanager
def database_errors(path: Path, *, name: str = "the database", anew: str = ANEW, room: str = ROOM) -> Iterator[None]:
    """Turns what SQLite says of the database into an error with a mend. `anew` mends damage, `room` a full disk."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        said = str(error)
        if _is_damage(error):
            problem = HandrailError("bundle", f"{name} is damaged: {said}", anew, where=str(path))
        elif "locked" in said or "busy" in said:
            mend = "wait for the other command to end, then try again"
            problem = HandrailError("conflict", f"{name} is not to be had: {said}", mend, where=str(path))
        elif "full" in said or ("I/O" in said and free_bytes(path.parent) < FULL_BYTES):
            problem = HandrailError("environment", "the disk is full", room, where=str(path))
        else:
            mend = "set HANDRAIL_HOME to a folder you may write"
            problem = HandrailError("environment", f"cannot use {name}: {said}", mend, where=str(path))
        raise problem from error


def _sound(path: Path) -> sqlite3.Connection:
    """Raises sqlite3.DatabaseError for what cannot be opened, and for damage that SQLite would meet only later."""
    database = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
    try:
        write_ahead(database)
        database.execute("pragma synchronous = full")
        migrate(database, MIGRATIONS)
        _refuse_damage(database)
    except BaseException:
        database.close()
        raise
    return database


def _refuse_damage(database: sqlite3.Connection) -> None:
    (said,) = database.execute("pragma quick_check(1)").fetchone()
    if said != "ok":
        raise sqlite3.DatabaseError(said)
    database.execute("select name, version, created from versions limit 1").fetchall()
    database.execute("select name, version, seconds, finished from runs limit 1").fetchall()


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return not isinstance(error, sqlite3.OperationalError) or "no such" in str(error)


def _made_anew(path: Path, refill: Callable[[sqlite3.Connection], object]) -> sqlite3.Connection:
    """Somebody else may have made it while we waited: then theirs is opened."""
    try:
        return _sound(path)
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            raise
    _set_aside(path)
    database = _sound(path)
    refill(database)
    return database


def _set_aside(path: Path) -> None:
    """Moves the file with its journal away; the one set aside before goes."""
    with disk_errors(path):
        for ending in ("", "-wal", "-shm"):
            kept = path.with_name(f"{path.name}.damaged{ending}")
            kept.unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + ending).replace(kept)
        sync_folder(path.parent)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One at a time: of two that find the same damage, the second must not set aside what the first has made."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_ahead(database: sqlite3.Connection) -> None:
    """Sets the journal's mode. SQLite does not wait for others here, even where it was told to, so we do."""
    end = time.monotonic() + WAIT_S
    while True:
        try:
            database.execute("pragma journal_mode = wal")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


def migrate(database: sqlite3.Connection, steps: Sequence[Callable[[sqlite3.Connection], None]]) -> None:
    """Brings an older shape up to the newest, one numbered step after the other."""
    (version,) = database.execute("pragma user_version").fetchone()
    if version > len(steps):
        problem = f"the database is of shape {version}; this Handrail knows {len(steps)}"
        raise HandrailError("bundle", problem, "pip install --upgrade handrail")
    while version < len(steps):
        database.execute("begin immediate")
        # Somebody else may have taken this step while we waited.
        (version,) = database.execute("pragma user_version").fetchone()
        if version < len(steps):
            steps[version](database)
            version += 1
            database.execute(f"pragma user_version = {version}")
        database.execute("commit")


def _versions_and_runs(database: sqlite3.Connection) -> None:
    database.execute(
        "create table if not exists versions (name text, version integer, created real, primary key (name, version))"
    )
    database.execute("create table if not exists runs (name text, version integer, seconds real, finished real)")


MIGRATIONS: list[Callable[[sqlite3.Connection], None]] = [_versions_and_runs]
