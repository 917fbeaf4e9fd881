"""Jobs as they are kept: one for each key, taken by one process at a time, ended in one of Cortex's words."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from handrail.core.errors import HandrailError
from handrail.jobs.database import Connection, writing
from handrail.jobs.processes import is_alive, my_lease

Kind = Literal["batch", "task"]
State = Literal[
    "enqueuing", "running", "succeeded", "failed while enqueuing", "completed with failures", "worker error",
    "out of memory", "timed out", "stopped",
]  # fmt: skip
STATES: Final[tuple[State, ...]] = get_args(State)
OPEN: Final[tuple[State, ...]] = ("enqueuing", "running")
# Whoever asks for one of these again, with the same key from a terminal, goes on with it.
ENDED_WELL: Final[tuple[State, ...]] = ("succeeded", "completed with failures")
# Where a job runs: under the gateway, or in somebody's terminal, which the gateway leaves alone.
Place = Literal["gateway", "terminal"]


@dataclass(frozen=True)
class NewJob:
    """What is submitted. `asked` says what to do; `digest` tells what was asked under a key from something else."""

    kind: Kind
    api: str
    asked: Mapping[str, Any]
    place: Place
    workers: int = 1
    timeout_s: float | None = None
    key: str | None = None
    digest: str | None = None
    state: State = "enqueuing"


@dataclass(frozen=True)
class Job:
    """A job as it stands. Times are seconds since 1970. `output` names its result, where there is one, and `mark` tells
    that file from another; `rows` is None until they are counted."""

    id: str
    kind: Kind
    api: str
    state: State
    detail: str
    asked: Mapping[str, Any] = field(repr=False)
    place: Place
    owner: str | None
    timeout_s: float | None
    workers: int
    rows: int | None
    created: float
    started: float | None
    ended: float | None
    output: str | None
    mark: str | None
    digest: str | None

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    @property
    def is_attended(self) -> bool:
        """Whether a process looks after it now."""
        return is_alive(self.owner)


def submit(database: Connection, new: NewJob) -> tuple[Job, bool]:
    """The job, durably, and whether it is new: the same key gives the same job.

    Raises HandrailError ("conflict") when the key was used for something else.
    """
    with writing(database):
        if new.key is not None and (found := by_key(database, new.kind, new.api, new.key)):
            refuse_other(found.digest, new.digest)
            return found, False
        job_id = secrets.token_hex(8)
        database.execute(
            "insert into jobs (id, kind, api, state, asked, key, digest, place, timeout_s, workers, created)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (job_id, new.kind, new.api, new.state, json.dumps(new.asked), new.key, new.digest, new.place,
             new.timeout_s, new.workers, time.time()),
        )  # fmt: skip
    return job(database, job_id), True


def refuse_other(before: str | None, now: str | None) -> None:
    """Raises HandrailError ("conflict") where a key was used for something else before."""
    if before != now:
        problem = "this idempotency key was used for another request"
        raise HandrailError("conflict", problem, "use a new key for new work", field="idempotency-key")


def job(database: Connection, job_id: str) -> Job:
    """Raises HandrailError ("not_found")."""
    found = database.execute("select * from jobs where id = ?", (job_id,)).fetchone()
    if found is None:
        problem = f"there is no job '{job_id[:40]}'"
        raise HandrailError("not_found", problem, "handrail jobs lists them; results are kept for some days")
    return _job(found)


def jobs(database: Connection, *, api: str | None = None, kind: Kind | None = None, most: int = 1_000) -> list[Job]:
    """The newest jobs first."""
    found = database.execute(
        "select * from jobs where (:api is null or api = :api) and (:kind is null or kind = :kind)"
        " order by number desc limit :most",
        {"api": api, "kind": kind, "most": most},
    )
    return [_job(row) for row in found]


def by_key(database: Connection, kind: Kind, api: str, key: str) -> Job | None:
    """The job that was submitted with a key."""
    found = database.execute("select * from jobs where kind = ? and api = ? and key = ?", (kind, api, key)).fetchone()
    return None if found is None else _job(found)


def waiting(database: Connection, place: Place = "gateway") -> list[Job]:
    """Jobs that are to be done there, oldest first; those that another process looks after are left out."""
    found = database.execute(
        "select * from jobs where state in ('enqueuing', 'running') and place = ? order by number", (place,)
    )
    return [one for one in map(_job, found) if not one.is_attended]


def take(database: Connection, job_id: str, owner: str) -> Job:
    """Makes a process the one that looks after a job that is open.

    Raises HandrailError ("conflict") while another one does.
    """
    with writing(database):
        found = job(database, job_id)
        if found.is_attended and found.owner != owner:
            pid = str(found.owner).partition(":")[0]
            mend = f"wait for it, or stop it: handrail jobs cancel {job_id}"
            raise HandrailError("conflict", f"job {job_id} is being done by process {pid}", mend)
        database.execute("update jobs set owner = ?, started = coalesce(started, ?) where id = ?",
                         (owner, time.time(), job_id))  # fmt: skip
    return job(database, job_id)


def run(database: Connection, job_id: str) -> None:
    """A job that was enqueued runs."""
    with writing(database):
        database.execute("update jobs set state = 'running' where id = ? and state = 'enqueuing'", (job_id,))


def let_go(database: Connection, job_id: str, owner: str) -> None:
    """Nobody looks after the job any more."""
    with writing(database):
        database.execute("update jobs set owner = null where id = ? and owner = ?", (job_id, owner))


def reopen(database: Connection, job_id: str, workers: int, timeout_s: float | None) -> None:
    """A job that was cut off goes on, on these terms: what is done stays done."""
    with writing(database):
        planned = database.execute("select rows from jobs where id = ?", (job_id,)).fetchone()[0] is not None
        state = "running" if planned else "enqueuing"
        # The time that it may take begins anew, too.
        database.execute(
            "update jobs set state = ?, detail = '', ended = null, started = null, created = ?,"
            " workers = ?, timeout_s = ? where id = ?",
            (state, time.time(), workers, timeout_s, job_id),
        )
        database.execute("update chunks set tries = 0, kills = 0 where job = ? and state != 'done'", (job_id,))


def forget_key(database: Connection, job_id: str) -> None:
    """The next one with its key is a new job. Raises HandrailError ("conflict") while somebody does this one."""
    take(database, job_id, my_lease())
    with writing(database):
        database.execute("update jobs set key = null where id = ?", (job_id,))
    finish(database, job_id, "stopped", "begun anew")
    let_go(database, job_id, my_lease())


def finish(
    database: Connection, job_id: str, state: State, detail: str = "", output: str | None = None,
    mark: str | None = None,
) -> Job:  # fmt: skip
    """Ends a job that is open; one that has ended stays as it ended."""
    with writing(database):
        database.execute(
            "update jobs set state = ?, detail = ?, output = ?, mark = ?, ended = ?, owner = null"
            " where id = ? and state in ('enqueuing', 'running')",
            (state, detail, output, mark, time.time(), job_id),
        )
        database.execute("update chunks set state = 'waiting', worker = null where job = ? and state = 'running'",
                         (job_id,))  # fmt: skip
    return job(database, job_id)


def remove(database: Connection, job_id: str) -> None:
    """Takes a job out, with its pieces."""
    with writing(database):
        database.execute("delete from chunks where job = ?", (job_id,))
        database.execute("delete from jobs where id = ?", (job_id,))


def ended_before(database: Connection, moment: float) -> list[Job]:
    """Jobs that ended before a moment, and those of terminals that nobody came back to since."""
    found = database.execute(
        "select * from jobs where coalesce(ended, case place when 'terminal' then max(created, coalesce(started, 0))"
        " end) < ?",
        (moment,),
    )
    return [one for one in map(_job, found) if not one.is_attended]


def _job(row: Any) -> Job:
    plain = {name: row[name] for name in Job.__dataclass_fields__}
    return Job(**{**plain, "asked": json.loads(row["asked"])})
