"""A batch done by whoever asks for it, with no server: begun, or gone on with where it was cut off."""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from handrail.core.bundle import MANIFEST
from handrail.core.errors import HandrailError
from handrail.core.events import Said, Tell, quiet
from handrail.core.files import disk_errors
from handrail.jobs import chunks, queue
from handrail.jobs.answering import Answerer
from handrail.jobs.attending import Terms, attend
from handrail.jobs.batch import Batch, folder_of
from handrail.jobs.database import Connection, opened
from handrail.jobs.enqueuing import Planned, enqueue, planned
from handrail.jobs.finding import files_in, identity_of
from handrail.jobs.opening import opened_answerer
from handrail.jobs.queue import ENDED_WELL, Job, NewJob
from handrail.jobs.sweeping import KEEP_S, sweep


@dataclass(frozen=True)
class Here:
    """How a batch is done in a terminal. `fresh` begins anew where one could go on."""

    workers: int
    timeout_s: float | None = None
    fresh: bool = False
    tell: Tell = quiet


def dry_run(batch: Batch, here: Here) -> Planned:
    """What would be done. Writes nothing."""
    with closing(opened_answerer(batch.target, plans=True)) as answerer:
        return planned(batch, answerer, here.workers, tell=here.tell)


def batch_here(home: Path, batch: Batch, here: Here) -> tuple[Job, bool]:
    """The job as it ended, and whether it was done already: the same rows, by the same model, to the same file.

    A KeyboardInterrupt stops it so that the same call goes on with it.
    """
    with closing(opened_answerer(batch.target, plans=True)) as answerer, closing(opened(home)) as database:
        sweep(database, home, KEEP_S)
        job = _begun(database, home, batch, here, answerer)
        if job.state in ENDED_WELL:
            return job, True
        try:
            return attend(home, job.id, Terms(threading.Event(), tell=here.tell)), False
        except KeyboardInterrupt:
            ended = queue.finish(database, job.id, "stopped", "interrupted")
            done = chunks.count(database, job.id)
            problem = f"stopped: {done.rows_done:,} of {done.rows:,} rows are answered"
            mend = f"the same command goes on with it (job {ended.id})"
            raise HandrailError("interrupted", problem, mend) from None
        except HandrailError as error:
            if error.code != "conflict":
                queue.finish(database, job.id, "worker error", error.problem)
            raise


def _begun(database: Connection, home: Path, batch: Batch, here: Here, answerer: Answerer) -> Job:
    """The job for this batch: the one that was begun before, or a new one with all its pieces."""
    key = _key(batch)
    before = queue.by_key(database, "batch", batch.target.name, key)
    if before is not None and (here.fresh or _is_lost(before)):
        queue.forget_key(database, before.id)
        before = None
    if before is not None and before.state in ENDED_WELL:
        return before
    made = None
    if before is None or before.rows is None:
        made = planned(batch, answerer, here.workers, tell=here.tell)
    new = NewJob("batch", batch.target.name, batch.as_dict(), "terminal", here.workers, here.timeout_s, key)
    job, is_new = queue.submit(database, new)
    if not is_new:
        job = _gone_on(database, job, here)
    if made is not None:
        with disk_errors(home):
            folder_of(home, job.id).mkdir(mode=0o700, parents=True, exist_ok=True)
        enqueue(database, folder_of(home, job.id), job.id, made)
    return job


def _gone_on(database: Connection, job: Job, here: Here) -> Job:
    if not job.is_open:
        queue.reopen(database, job.id, here.workers, here.timeout_s)
    count = chunks.count(database, job.id)
    if count.rows_done and not job.is_attended:
        here.tell(Said(f"going on with job {job.id}: {count.rows_done:,} of {count.rows:,} rows are done"))
    return queue.job(database, job.id)


def _is_lost(job: Job) -> bool:
    """Whether a job ended well, and its file is not there any more as it was written."""
    if job.state not in ENDED_WELL or job.output is None:
        return False
    try:
        return json.dumps(identity_of(Path(job.output).stat())) != job.mark
    except OSError:
        return True


def _key(batch: Batch) -> str:
    """What tells this batch from another: what answers, the state of each file, and what is asked for."""
    found = files_in(batch.paths, includes=batch.includes, excludes=batch.excludes)
    manifest = Path(batch.target.folder, MANIFEST)
    model = hashlib.sha256(manifest.read_bytes()).hexdigest() if manifest.is_file() else ""
    files = [(str(file.path), file.name, file.identity) for file in found]
    told = json.dumps([batch.as_dict(), model, files], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()
