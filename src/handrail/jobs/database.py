"""The SQLite file that jobs live in: how it is opened, changed in steps, and what its troubles are called."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from handrail.core.files import disk_errors
from handrail.store.database import database_errors, migrate, write_ahead
from handrail.store.home import refuse_file

DATABASE: Final = "jobs.db"
WAIT_S: Final = 10.0
# Requests of others stand in it.
PRIVATE_MODE: Final = 0o600
ROOM: Final = "free some space, or set HANDRAIL_HOME to a folder on another disk"

Connection = sqlite3.Connection


def opened(home: Path) -> Connection:
    """A connection to `HOME/jobs.db`, of the newest shape; what is committed survives a loss of power.

    Raises HandrailError when it is damaged, unreadable or of a newer Handrail.
    """
    path = home / DATABASE
    refuse_file(home)
    with disk_errors(home):
        home.mkdir(parents=True, exist_ok=True)
        _make_private(path)
    with _errors(path):
        database = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
        try:
            write_ahead(database)
            database.execute("pragma synchronous = full")
            database.row_factory = sqlite3.Row
            migrate(database, MIGRATIONS)
        except BaseException:
            database.close()
            raise
    return database


def is_there(home: Path) -> bool:
    """Whether there ever was a job: who only looks makes no database."""
    return (home / DATABASE).is_file()


@contextlib.contextmanager
def writing(database: Connection) -> Iterator[Connection]:
    """All that happens in the block, or nothing of it; nobody else writes meanwhile."""
    begin, commit, rollback = ("begin immediate", "commit", "rollback")
    if database.in_transaction:  # a part of something larger
        begin, commit, rollback = ("savepoint part", "release part", "rollback to part")
    with _errors(_path_of(database)):
        database.execute(begin)
        try:
            yield database
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # what rolled back by itself, on a full disk, is no trouble twice
                database.execute(rollback)
            raise
        database.execute(commit)


def _errors(path: Path) -> contextlib.AbstractContextManager[None]:
    anew = f"move it away, then try again: mv {path} {path}.damaged (jobs that were not done are lost)"
    return database_errors(path, name="the database of jobs", anew=anew, room=ROOM)


def _make_private(path: Path) -> None:
    """Makes the file if there is none. One that is there is not touched: to close it would take back the locks that
    other connections of this process hold on it, and then commits are lost."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_MODE))


def _path_of(database: Connection) -> Path:
    return Path(database.execute("pragma database_list").fetchone()[2])


def _jobs_and_chunks(database: Connection) -> None:
    database.execute(
        "create table jobs (number integer primary key, id text not null unique, kind text not null, api text not null,"
        " state text not null, detail text not null default '', asked text not null, key text, digest text,"
        " place text not null, owner text, timeout_s real, workers integer not null, rows integer,"
        " created real not null, started real, ended real, output text, mark text)"
    )
    database.execute("create unique index jobs_by_key on jobs (kind, api, key) where key is not null")
    database.execute(
        "create table chunks (job text not null, position integer not null, rows integer not null,"
        " source integer not null, first integer not null, bytes integer not null, skip integer not null,"
        " state text not null, worker text, tries integer not null default 0, kills integer not null default 0,"
        " said text not null default '', dead integer not null default 0, seconds real not null default 0,"
        " primary key (job, position)) without rowid"
    )
    # What a worker looks for, in the order in which it takes it.
    database.execute(
        "create index chunks_free on chunks (job, tries, position) where worker is null and state != 'done'"
    )
    database.execute("create index chunks_held on chunks (job, worker) where worker is not null")


def _requests(database: Connection) -> None:
    database.execute(
        "create table requests (number integer primary key, id text not null unique, api text not null,"
        " state text not null, body blob not null, headers text not null, key text, digest text, webhook text,"
        " tries integer not null default 0, next real not null default 0, status integer, content_type text,"
        " result blob, created real not null, ended real)"
    )
    database.execute("create unique index requests_by_key on requests (api, key) where key is not null")
    database.execute("create index requests_by_state on requests (state, next)")
    database.execute(
        "create table deliveries (number integer primary key, about text not null, url text not null,"
        " body blob not null, tries integer not null default 0, next real not null, state text not null,"
        " said text not null default '', created real not null)"
    )
    database.execute("create index deliveries_by_state on deliveries (state, next)")
    database.execute("create table schedules (api text primary key, schedule text not null, last real not null)")


MIGRATIONS: list[Callable[[Connection], None]] = [_jobs_and_chunks, _requests]
