"""`handrail jobs`: list, show and cancel batches and runs of tasks, and read what they printed."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from handrail.core.errors import HandrailError
from handrail.faces.cli.options import Words, shared
from handrail.faces.cli.printing import put, put_json, put_table

if TYPE_CHECKING:
    from handrail.jobs.chunks import Count
    from handrail.jobs.queue import Job

MOST_LOG_BYTES = 2**22
SHOWN = 50


@click.group("jobs", cls=Words, invoke_without_command=True, epilog="Example: handrail jobs show 9fe71c66e1d664f1")
@shared
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List, show and cancel batches and runs of tasks, and read their logs. Without another word: list."""
    if context.invoked_subcommand is None:
        put_jobs(None, as_json)
    elif as_json:
        context.default_map = {context.invoked_subcommand: {"as_json": True}}


@command.command("list", epilog="Example: handrail jobs list reviews --json")
@click.argument("name", required=False)
@shared
def list_jobs(name: str | None, as_json: bool) -> None:
    """List the jobs of all APIs, or of NAME, the newest first."""
    put_jobs(name, as_json)


def put_jobs(name: str | None, as_json: bool) -> None:
    """All jobs, with how far they are."""
    from handrail.jobs.status import described

    found = _jobs(name)
    if as_json:
        put_json({"jobs": [described(job, count) for job, count in found]})
    elif not found:
        put("no jobs yet: handrail batch NAME FILE -o answers.csv makes one")
    else:
        rows = [
            (job.id, job.api, job.kind, state_of(job), _done(job, count), _moment(job.created))
            for job, count in found[:SHOWN]
        ]
        put_table([("job", "api", "kind", "state", "rows", "begun"), *rows], header=True)


@command.command("show", epilog="Example: handrail jobs show 9fe71c66e1d664f1")
@click.argument("job")
@shared
def show(job: str, as_json: bool) -> None:
    """Show how a job stands."""
    from handrail.jobs.status import described

    found, count = _job(job)
    if as_json:
        put_json(described(found, count))
        return
    put(f"{found.kind} {found.id} of {found.api}: {state_of(found)}")
    lines = [("  said", found.detail), ("  rows", _done(found, count)), ("  begun", _moment(found.created))]
    lines += [("  ended", _moment(found.ended) if found.ended else ""), ("  output", found.output or "")]
    put_table([line for line in lines if line[1]])


@command.command("cancel", epilog="Example: handrail jobs cancel 9fe71c66e1d664f1")
@click.argument("job")
@shared
def cancel(job: str, as_json: bool) -> None:
    """Stop a job. What is done stays done: the command that began it goes on with it."""
    from handrail.jobs import queue
    from handrail.jobs.database import opened
    from handrail.jobs.status import described
    from handrail.store.home import default_home

    found, _ = _job(job)
    with closing(opened(default_home())) as database:
        ended = queue.finish(database, found.id, "stopped", "cancelled")
    if as_json:
        put_json(described(ended))
    elif found.is_open:
        put(f"stopped job {found.id}")
    else:
        put(f"job {found.id} has ended before: {found.state}")


@command.command("logs", epilog="Example: handrail jobs logs 9fe71c66e1d664f1")
@click.argument("job")
@shared
def logs(job: str, as_json: bool) -> None:
    """Print what the processes of a job printed."""
    from handrail.core.files import read_limited
    from handrail.jobs.batch import log_of
    from handrail.store.home import default_home

    found, _ = _job(job)
    path = log_of(default_home(), found.api, found.id)
    lines = read_limited(path, 16 * MOST_LOG_BYTES)[-MOST_LOG_BYTES:] if path.is_file() else b""
    text = lines.decode("utf-8", "replace").splitlines()
    if as_json:
        put_json({"id": found.id, "lines": text})
    for line in text if not as_json else ():
        put(line)


def state_of(job: Job) -> str:
    """A job's state, and whether anybody is at it."""
    return job.state if not job.is_open or job.is_attended else f"{job.state} (nobody is at it now)"


def _jobs(name: str | None) -> list[tuple[Job, Count]]:
    from handrail.jobs import chunks, queue
    from handrail.jobs.database import is_there, opened
    from handrail.store.home import default_home

    home = default_home()
    if not is_there(home):
        return []
    with closing(opened(home)) as database:
        return [(job, chunks.count(database, job.id)) for job in queue.jobs(database, api=name)]


def _job(job_id: str) -> tuple[Job, Count]:
    """The job with that id, or with the only one that begins so."""
    found = [(job, count) for job, count in _jobs(None) if job_id and job.id.startswith(job_id)]
    if len(found) == 1:
        return found[0]
    problem = f"several jobs begin with '{job_id[:40]}'" if found else f"there is no job '{job_id[:40]}'"
    raise HandrailError("usage" if found else "not_found", problem, "handrail jobs lists them")


def _done(job: Job, count: Count) -> str:
    if job.kind != "batch" or job.rows is None:
        return ""
    dead = f", {count.dead:,} without an answer" if count.dead else ""
    return f"{count.rows_done:,} of {count.rows:,}{dead}"


def _moment(at: Any) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
