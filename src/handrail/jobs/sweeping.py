"""What jobs leave behind is kept for some days, then removed: rows, folders, logs, and folders that no job owns."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path
from typing import Final

from handrail.jobs import queue
from handrail.jobs.batch import folder_of, log_of
from handrail.jobs.database import Connection, writing
from handrail.jobs.queue import Job

DAY_S: Final = 24 * 3600.0
KEEP_S: Final = 7 * DAY_S


def sweep(database: Connection, home: Path, keep_s: float) -> None:
    """Removes what ended longer ago than `keep_s`. What cannot be removed now is left for the next time."""
    now = time.time()
    for job in queue.ended_before(database, now - keep_s):
        remove(database, home, job)
    with writing(database):
        database.execute("delete from requests where ended < ?", (now - keep_s,))
        database.execute("delete from deliveries where created < ? and state != 'waiting'", (now - keep_s,))
    _remove_unowned(database, home, now - DAY_S)


def remove(database: Connection, home: Path, job: Job) -> None:
    """Forgets a job, with its files; answers that were written elsewhere stay."""
    queue.remove(database, job.id)
    shutil.rmtree(folder_of(home, job.id), ignore_errors=True)
    with contextlib.suppress(OSError):
        log_of(home, job.api, job.id).unlink(missing_ok=True)


def _remove_unowned(database: Connection, home: Path, moment: float) -> None:
    """Folders of jobs that a kill left without their row."""
    folder = home / "jobs"
    names = [item.name for item in folder.iterdir()] if folder.is_dir() else []
    known = {job_id for (job_id,) in database.execute("select id from jobs")}
    for name in names:
        with contextlib.suppress(OSError):
            if name not in known and (folder / name).stat().st_mtime < moment:
                shutil.rmtree(folder / name, ignore_errors=True)
