"""Tasks: code that is run when asked for, or by a schedule; one run of a name at a time, each recorded with its log."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.events import Tell, quiet
from handrail.deploy.schedule import next_run, schedule_of
from handrail.jobs import queue
from handrail.jobs.attending import Terms, attend
from handrail.jobs.batch import Target, log_of
from handrail.jobs.database import Connection, opened, writing
from handrail.jobs.queue import Job, NewJob, Place
from handrail.store.deployments import Deployments


@dataclass(frozen=True)
class Task:
    """Code with a class Task, deployed; `schedule` is when it runs by itself (None: only when asked for)."""

    name: str
    folder: str
    schedule: str | None = None
    timeout_s: float | None = None

    @property
    def target(self) -> Target:
        return Target("predictor", self.name, self.folder)


def deployed_task(home: Path, name: str) -> Task:
    """The task that is deployed under a name. Raises HandrailError ("not_found")."""
    deployments = Deployments(home)
    kinds = {api: _kind(deployments, api) for api in deployments.apis()}
    names = [api for api, kind in kinds.items() if kind == "TaskAPI"]
    if name not in names:
        if name in kinds:
            raise HandrailError("usage", f"'{name}' is a {kinds[name]}, not a TaskAPI", f"the tasks: {listed(names)}")
        mend = did_you_mean(name, names).strip() or f"the tasks: {listed(names) or 'none; handrail deploy makes them'}"
        raise HandrailError("not_found", f"no task is called '{name[:60]}'", mend)
    served = deployments.served(name)
    assert served is not None
    return Task(name, served.folder, served.spec.get("schedule"))


def submit_task(
    database: Connection, task: Task, config: Mapping[str, Any], place: Place, *, timeout_s: float | None = None,
    key: str | None = None, digest: str | None = None,
) -> tuple[Job, bool]:  # fmt: skip
    """A run of a task, recorded before it begins, and whether it is new.

    Raises HandrailError ("conflict") while another run of it goes on.
    """
    asked = {"target": asdict(task.target), "config": dict(config)}
    with writing(database):
        if key is None or queue.by_key(database, "task", task.name, key) is None:
            _refuse_second(database, task.name)
        new = NewJob("task", task.name, asked, place, 1, timeout_s or task.timeout_s, key, digest)
        return queue.submit(database, new)


def run_here(
    home: Path, task: Task, config: Mapping[str, Any], *, timeout_s: float | None = None,
    print_line: Callable[[str], object] | None = None, tell: Tell = quiet,
) -> Job:  # fmt: skip
    """Runs a task in a process of its own, while what it prints is told line by line. Ctrl-C ends it."""
    with closing(opened(home)) as database:
        job, _ = submit_task(database, task, config, "terminal", timeout_s=timeout_s)
        with _following(log_of(home, job.api, job.id), print_line):
            try:
                return attend(home, job.id, Terms(threading.Event(), tell=tell))
            except KeyboardInterrupt:
                queue.finish(database, job.id, "stopped", "interrupted")
                raise
            except HandrailError as error:
                queue.finish(database, job.id, "worker error", error.problem)
                raise


def upcoming(database: Connection, tasks: Mapping[str, Task], now: float) -> dict[str, float]:
    """Names of the tasks with a schedule, and when each runs next: at once where that is not after `now`.

    One that was never heard of, or has another schedule now, begins to wait.
    """
    found = {}
    for task in tasks.values():
        if task.schedule is None:
            continue
        row = database.execute("select schedule, last from schedules where api = ?", (task.name,)).fetchone()
        if row is None or row["schedule"] != task.schedule:
            mark(database, task, now)
            row = {"last": now}
        with contextlib.suppress(HandrailError):  # one that is off keeps no other from its time
            found[task.name] = next_run(now, schedule_of(task.schedule), row["last"])
    return found


def mark(database: Connection, task: Task, now: float) -> None:
    """Remembers that a task ran, or began to wait, now."""
    with writing(database):
        database.execute("insert or replace into schedules values (?, ?, ?)", (task.name, task.schedule, now))


def _refuse_second(database: Connection, name: str) -> None:
    for job in queue.jobs(database, api=name, kind="task", most=20):
        if not job.is_open:
            continue
        if job.place == "gateway" or job.is_attended or time.time() - job.created < 1.0:
            mend = f"wait for it, or stop it: handrail jobs cancel {job.id}"
            raise HandrailError("conflict", f"'{name}' runs already (job {job.id})", mend)
        queue.finish(database, job.id, "worker error", "cut off: who looked after it ended")


def _kind(deployments: Deployments, api: str) -> str:
    served = deployments.served(api)
    return "" if served is None else str(served.spec.get("kind"))


@contextlib.contextmanager
def _following(path: Path, print_line: Callable[[str], object] | None) -> Iterator[None]:
    """While it is open, lines that are added to a log are told."""
    done = threading.Event()
    thread = threading.Thread(target=_follow, args=(path, print_line or _silent, done))
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _follow(path: Path, print_line: Callable[[str], object], done: threading.Event) -> None:
    offset, half, is_last = 0, "", False
    while not is_last:
        is_last = done.wait(0.05)
        added = _added(path, offset)
        offset += len(added)
        *lines, half = (half + added.decode("utf-8", "replace")).split("\n")
        for line in lines:
            print_line(line)


def _added(path: Path, offset: int) -> bytes:
    if not path.exists():
        return b""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read()


def _silent(line: str) -> None:
    """Nobody wants to see it."""
