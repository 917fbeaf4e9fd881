"""A job looked after from wherever it stands to its end: enqueued, answered by a crew, joined."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from handrail.core.events import Progress, Tell, quiet
from handrail.core.files import remove_folder
from handrail.jobs import chunks, queue
from handrail.jobs.batch import batch_from, folder_of, read_layout
from handrail.jobs.crew import Crew, Slots, Stopped
from handrail.jobs.database import Connection, opened
from handrail.jobs.finding import identity_of
from handrail.jobs.output import Joined, join
from handrail.jobs.processes import my_lease
from handrail.jobs.queue import Job, State

TICK_S: Final = 0.05


@dataclass(frozen=True)
class Terms:
    """How a job is looked after. `stop` ends it for now, so that it can go on later; `share` says how many workers it
    may have at this moment."""

    stop: threading.Event
    nice: int = 0
    slots: Slots | None = None
    share: Callable[[], int] | None = None
    tell: Tell = quiet


def attend(home: Path, job_id: str, terms: Terms) -> Job:
    """Does what is left of a batch and gives it as it ended, or as it stands when it was stopped for now.

    Raises HandrailError ("conflict") while another process looks after it, and for what is wrong with the disk.
    """
    with closing(opened(home)) as database:
        job = queue.take(database, job_id, my_lease())
        try:
            return _attend(database, home, job, terms)
        finally:
            queue.let_go(database, job_id, my_lease())


def _attend(database: Connection, home: Path, job: Job, terms: Terms) -> Job:
    if job.kind == "task":
        return _attend_task(database, home, job, terms)
    chunks.give_back_of_the_dead(database, job.id)
    watch = _Watch(database, home, job, terms)
    with closing(Crew(database, home, job, nice=terms.nice, slots=terms.slots)) as crew:
        try:
            if job.state == "enqueuing" and not watch.run(crew, "plan", lambda: watch.is_enqueuing):
                return queue.job(database, job.id)
            if not watch.run(crew, "answer", lambda: watch.counted.done < watch.counted.chunks):
                return queue.job(database, job.id)
            if batch_from(job.asked).target.kind == "predictor" and not watch.run_once(crew, "complete"):
                return queue.job(database, job.id)
        except Stopped as stopped:
            return queue.finish(database, job.id, stopped.state, stopped.detail)
    return finished(database, home, job)


def _attend_task(database: Connection, home: Path, job: Job, terms: Terms) -> Job:
    """A task is run once: one that was cut off is not run again, since nobody knows how far it came."""
    if job.state == "running":
        return queue.finish(database, job.id, "worker error", "cut off: who looked after it ended")
    queue.run(database, job.id)
    watch = _Watch(database, home, job, terms)
    with closing(Crew(database, home, job, nice=terms.nice, slots=terms.slots)) as crew:
        try:
            if not watch.run_once(crew, "task"):
                return queue.finish(database, job.id, "stopped", "who looked after it ended")
        except Stopped as stopped:
            return queue.finish(database, job.id, stopped.state, stopped.detail)
    return queue.finish(database, job.id, "succeeded")


class _Watch:
    """What is looked at, again and again, while a crew is at work."""

    def __init__(self, database: Connection, home: Path, job: Job, terms: Terms) -> None:
        self._database = database
        self._job = job
        self._terms = terms
        # By the clock that nobody sets; what had passed before is known by the other one alone.
        passed_s = max(0.0, time.time() - job.created)
        self._deadline = None if job.timeout_s is None else time.monotonic() + job.timeout_s - passed_s
        self.counted = chunks.count(database, job.id)

    @property
    def is_enqueuing(self) -> bool:
        return queue.job(self._database, self._job.id).state == "enqueuing"

    def run(self, crew: Crew, do: str, is_left: Callable[[], bool]) -> bool:
        """Keeps a crew at work while something is left. False when the job ended meanwhile, or is stopped for now."""
        while True:
            if not self._goes_on():
                return False
            self.counted = chunks.count(self._database, self._job.id)
            if self.counted.running > crew.size:  # what a crew before this one left in the hands of a worker
                chunks.give_back_of_the_dead(self._database, self._job.id)
            left = is_left()
            if not crew.look(do, self._wanted(do) if left else 0):
                return True
            if left and do == "answer":
                self._terms.tell(Progress(self._words(), self.counted.rows_done, self.counted.rows))
            if self._terms.stop.wait(TICK_S):
                return False

    def run_once(self, crew: Crew, do: str) -> bool:
        """One worker that does something once. False when the job ended meanwhile, or is stopped for now."""
        started = False
        while crew.look(do, 0 if started else 1, asks=False):
            started = started or crew.size > 0
            if not self._goes_on() or self._terms.stop.wait(TICK_S):
                return False
        return True

    def _goes_on(self) -> bool:
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise Stopped("timed out", f"it had {self._job.timeout_s:g} s")
        return queue.job(self._database, self._job.id).is_open

    def _wanted(self, do: str) -> int:
        if do == "plan":
            return 1
        share = self._terms.share() if self._terms.share else self._job.workers
        return max(1, min(share, self._job.workers, self.counted.waiting + self.counted.running))

    def _words(self) -> str:
        dead = f", {self.counted.dead:,} without an answer" if self.counted.dead else ""
        return f"{self.counted.rows_done:,} of {self.counted.rows:,} rows{dead}"


def finished(database: Connection, home: Path, job: Job) -> Job:
    """Joins the parts of a job whose pieces are all done, and ends it."""
    batch, folder = batch_from(job.asked), folder_of(home, job.id)
    pieces = [(chunk.piece, chunk.dead) for chunk in chunks.all_of(database, job.id)]
    path = Path(batch.path) if batch.path else folder / f"answers{batch.ending}"
    joined = join(folder, batch, read_layout(folder), pieces, path)
    state, detail = _end(pieces, joined)
    ended = queue.finish(database, job.id, state, detail, str(path), json.dumps(identity_of(path.stat())))
    if (folder / "parts").is_dir():
        remove_folder(folder / "parts")
    return ended


def _end(pieces: Sequence[tuple[object, int]], joined: Joined) -> tuple[State, str]:
    dead = sum(count for _, count in pieces)
    if not dead:
        return "succeeded", ""
    return "completed with failures", f"{dead:,} rows got no answer: see {joined.dead}"
