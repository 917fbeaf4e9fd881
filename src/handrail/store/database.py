"""The SQLite file: migrations are numbered functions in a list; commits survive a power cut."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from handrail.core.errors import HandrailError
from handrail.core.files import disk_errors

WAIT_S = 10.0


def open_database(path: Path) -> sqlite3.Connection:
    """An open database of the newest shape. Raises HandrailError when it is unreadable or of a newer Handrail."""
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        database = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
        _write_ahead(database)
        database.execute("pragma synchronous = full")
        migrate(database)
    except sqlite3.DatabaseError as error:
        with contextlib.suppress(NameError, sqlite3.Error):
            database.close()
        raise _refusal(error, path) from error
    return database


def _write_ahead(database: sqlite3.Connection) -> None:
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


def _refusal(error: sqlite3.DatabaseError, path: Path) -> HandrailError:
    if isinstance(error, sqlite3.OperationalError):
        problem, mend = f"cannot open the database: {error}", "set HANDRAIL_HOME to a folder you may write"
        return HandrailError("environment", problem, mend, where=str(path))
    mend = f"remove {path.name} there: it is made again from the models"
    return HandrailError("bundle", f"the database is damaged: {error}", mend, where=str(path))


def migrate(database: sqlite3.Connection) -> None:
    """Brings an older shape up to the newest, one numbered step after the other."""
    (version,) = database.execute("pragma user_version").fetchone()
    if version > len(MIGRATIONS):
        problem = f"the database is of shape {version}; this Handrail knows {len(MIGRATIONS)}"
        raise HandrailError("bundle", problem, "pip install --upgrade handrail")
    while version < len(MIGRATIONS):
        database.execute("begin immediate")
        # Somebody else may have taken this step while we waited.
        (version,) = database.execute("pragma user_version").fetchone()
        if version < len(MIGRATIONS):
            MIGRATIONS[version](database)
            version += 1
            database.execute(f"pragma user_version = {version}")
        database.execute("commit")


def _versions_and_runs(database: sqlite3.Connection) -> None:
    database.execute(
        "create table if not exists versions (name text, version integer, created real, primary key (name, version))"
    )
    database.execute("create table if not exists runs (name text, version integer, seconds real, finished real)")


MIGRATIONS: list[Callable[[sqlite3.Connection], None]] = [_versions_and_runs]
