"""The routes of jobs: batches and runs of tasks, requests that are answered later, their states and results."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.files import disk_errors, write_bytes
from handrail.jobs import queue, requests, webhook
from handrail.jobs.batch import ITEMS, PRIVATE, Target, folder_of
from handrail.jobs.cortex import Submission, run_of, submission_of
from handrail.jobs.database import Connection, writing
from handrail.jobs.enqueuing import planned
from handrail.jobs.finding import File, files_in
from handrail.jobs.opening import opened_answerer
from handrail.jobs.queue import ENDED_WELL, Job, Kind, NewJob
from handrail.jobs.runner import Runner
from handrail.jobs.status import job_spec, job_status
from handrail.jobs.tasks import Task, submit_task
from handrail.serve.app import aside
from handrail.serve.files import file_answer
from handrail.serve.formats import json
from handrail.serve.http import Later, Request, Response
from handrail.serve.later import digest_of, key_of, later
from handrail.serve.openapi_engine import (
    job_looked_at,
    jobs_taken,
    promised,
    request_looked_at,
    results_fetched,
)
from handrail.serve.routes import Endpoint, Route

MOST_BODY_BYTES: Final = 10 * 2**20
ID: Final = "{id}"
WITH_ID: Final = re.compile(r"(/[^/]+(?:/batches|/requests)?)/([0-9a-f]{16}|[0-9a-f]{32})(/results|/dead)?")
KINDS: Final = {".csv": b"text/csv; charset=utf-8", ".jsonl": b"application/x-ndjson"}
OPTIONS: Final = ("jobID", "dryRun")


@dataclass(frozen=True)
class JobApi:
    """An API as far as jobs see it. `target` is what answers its batches, or runs; None: it takes none. Code answers
    batches only where it is written for them, as a BatchAPI."""

    name: str
    kind: str = "RealtimeAPI"
    target: Target | None = None


def job_routes(apis: Mapping[str, JobApi], runner: Runner) -> dict[str, Route]:
    """The routes of all APIs: `/NAME/batches`, `/NAME/requests/{id}`, and `/NAME` itself where the kind is for jobs.

    A path with an id has its route under `{id}`: see `job_route_of`.
    """
    table: dict[str, Route] = {}
    for api in apis.values():
        if api.target is not None and (api.target.kind == "model" or api.kind == "BatchAPI"):
            table |= _batch_routes(f"/{api.name}/batches", api, runner)
        if api.kind in ("RealtimeAPI", "AsyncAPI", "TrafficSplitter"):
            table[f"/{api.name}/requests/{ID}"] = _request_route(api, runner)
        if api.kind == "BatchAPI":
            table |= _batch_routes(f"/{api.name}", api, runner)
        elif api.kind == "TaskAPI":
            table |= _task_routes(api, runner)
        elif api.kind == "AsyncAPI":
            table[f"/{api.name}"] = Route("caller", {"POST": _promising(api, runner)}, about=promised(api.name))
            table[f"/{api.name}/{ID}"] = _request_route(api, runner)
    return table


def job_route_of(routes: Mapping[str, Route], path: str) -> Route | None:
    """The route of a path that names a job or a request."""
    parts = WITH_ID.fullmatch(path)
    return None if parts is None else routes.get(f"{parts[1]}/{ID}{parts[3] or ''}")


def _promising(api: JobApi, runner: Runner) -> Endpoint:
    return lambda request: later(request, api.name, runner)


def _request_route(api: JobApi, runner: Runner) -> Route:
    def status(request: Request) -> Later:
        found = runner.read(lambda database: requests.status(database, api.name, _id(request)))
        return aside(request, found, _json)

    return Route("caller", {"GET": status}, about=request_looked_at(api.name))


# Batches.


def _batch_routes(path: str, api: JobApi, runner: Runner) -> dict[str, Route]:
    name, look, stop = api.name, _looking(api, "batch", runner), _stopping(api, "batch", runner)
    return {
        path: Route(
            "caller", {"POST": _submitting(api, runner), "GET": look, "DELETE": stop}, about=jobs_taken(name, "batch")
        ),
        f"{path}/{ID}": Route("caller", {"GET": look, "DELETE": stop}, about=job_looked_at(name, "batch")),
        f"{path}/{ID}/results": Route(
            "caller", {"GET": _downloading(api, runner, dead=False)}, about=results_fetched(name, "A batch's answers")
        ),
        f"{path}/{ID}/dead": Route(
            "caller",
            {"GET": _downloading(api, runner, dead=True)},
            about=results_fetched(name, "Rows without an answer"),
        ),
    }


def _submitting(api: JobApi, runner: Runner) -> Endpoint:
    def submit(request: Request) -> Later:
        options, body = _options(request), _body(request)
        assert api.target is not None
        asked = submission_of(body, api.target, runner.settings.folders)
        if asked.batch.webhook is not None:
            webhook.checked(asked.batch.webhook, runner.settings.webhooks)
        if options.get("dryRun") == "true":
            return aside(request, asyncio.to_thread(_tried, asked, runner), _json)
        return aside(request, _submitted(asked, api, request, runner), _spec_written)

    return submit


def _tried(asked: Submission, runner: Runner) -> dict[str, Any]:
    """What a batch would do. Changes nothing."""
    workers = min(asked.workers, runner.settings.workers)
    with closing(opened_answerer(asked.batch.target, plans=True)) as answerer:
        made = planned(asked.batch, answerer, workers, items=asked.items)
    names = [source.name for source in made.plan.sources if source.kind not in ("items", "files")]
    names += [orjson.loads(line)[1] for line in made.lines.splitlines()]
    return {"dry_run": True, "files": names, "rows": made.plan.rows, "batches": len(made.plan.pieces)}


async def _submitted(asked: Submission, api: JobApi, request: Request, runner: Runner) -> Job:
    """The job, on the disk with its rows."""
    if asked.batch.reads != "items":
        # Whether files may be read is said at once, not when a worker looks.
        await asyncio.to_thread(_files_of, asked)
    new = NewJob(
        "batch", api.name, asked.batch.as_dict(), "gateway", min(asked.workers, runner.settings.workers),
        asked.timeout_s, key_of(request.headers), digest_of(request),
    )  # fmt: skip
    return await runner.write(lambda database: _entered(database, runner.home, new, asked.items))


def _files_of(asked: Submission) -> list[File]:
    batch = asked.batch
    folders = [Path(folder) for folder in batch.folders or ()]
    return files_in(batch.paths, includes=batch.includes, excludes=batch.excludes, folders=folders)


def _entered(database: Connection, home: Path, new: NewJob, items: bytes) -> Job:
    """In one transaction: no worker sees a job whose rows are not there."""
    with writing(database):
        job, is_new = queue.submit(database, new)
        if is_new:
            folder = folder_of(home, job.id)
            with disk_errors(folder):
                folder.mkdir(mode=0o700, parents=True)
            if items:
                write_bytes(folder / ITEMS, items, PRIVATE)
    return job


def _looking(api: JobApi, kind: Kind, runner: Runner) -> Endpoint:
    def look(request: Request) -> Later:
        asked = _id(request) or _options(request).get("jobID", "")
        if not asked:
            found = runner.read(lambda database: queue.jobs(database, api=api.name, kind=kind, most=100))
            return aside(request, found, _listed)
        return aside(request, runner.read(lambda database: _standing(database, api, kind, asked)), _json)

    return look


def _listed(jobs: list[Job]) -> Response:
    return _json({"jobs": [{**job_spec(job), "status": job.state} for job in jobs if job.place == "gateway"]})


def _standing(database: Connection, api: JobApi, kind: Kind, job_id: str) -> dict[str, Any]:
    job = _job(database, api, kind, job_id)
    shown: dict[str, Any] = {"job_status": job_status(database, job), "endpoint": f"/{api.name}?jobID={job.id}"}
    if kind == "batch":
        place = f"/{api.name}/batches/{job.id}"
        shown["endpoint"] = f"/{api.name}/batches?jobID={job.id}"
        if job.state in ENDED_WELL:
            shown |= {"results": f"{place}/results"}
        if job.state == "completed with failures":
            shown |= {"dead": f"{place}/dead"}
    return shown


def _stopping(api: JobApi, kind: Kind, runner: Runner) -> Endpoint:
    def stop(request: Request) -> Later:
        asked = _id(request) or _options(request).get("jobID", "")
        return aside(request, runner.write(lambda database: _stopped(database, api, kind, asked)), _json)

    return stop


def _stopped(database: Connection, api: JobApi, kind: Kind, job_id: str) -> dict[str, Any]:
    job = _job(database, api, kind, job_id)
    if not job.is_open:
        return {"message": f"job {job.id} has ended before: {job.state}"}
    queue.finish(database, job.id, "stopped", "stopped over HTTP")
    return {"message": f"stopped job {job.id}"}


def _job(database: Connection, api: JobApi, kind: Kind, job_id: str) -> Job:
    """A job of this API that came over HTTP. Whether another one has it is nobody's business here."""
    job = queue.job(database, job_id)
    if (job.api, job.kind, job.place) != (api.name, kind, "gateway"):
        raise HandrailError("not_found", f"there is no job '{job_id[:40]}'", "check its id")
    return job


def _downloading(api: JobApi, runner: Runner, *, dead: bool) -> Endpoint:
    def download(request: Request) -> Later:
        return aside(request, _read_results(request, api, runner, dead), lambda response: response)

    return download


async def _read_results(request: Request, api: JobApi, runner: Runner, dead: bool) -> Response:
    job = await runner.read(lambda database: _job(database, api, "batch", _id(request)))
    if job.is_open:
        raise HandrailError("conflict", f"job {job.id} is not done yet", "ask for its status")
    path = None if job.output is None else Path(job.output)
    if path is not None and dead:
        path = path.with_name(f"{path.stem}.dead{path.suffix}")
    if path is None or not path.is_file():
        what = "rows without an answer" if dead else "results"
        raise HandrailError("not_found", f"job {job.id} has no {what}: {job.state}", "ask for its status")
    return await asyncio.to_thread(file_answer, path, KINDS[path.suffix], request.headers.get(b"range"))


# Tasks.


def _task_routes(api: JobApi, runner: Runner) -> dict[str, Route]:
    look, stop = _looking(api, "task", runner), _stopping(api, "task", runner)
    return {
        f"/{api.name}": Route(
            "caller", {"POST": _running(api, runner), "GET": look, "DELETE": stop}, about=jobs_taken(api.name, "run")
        ),
        f"/{api.name}/{ID}": Route("caller", {"GET": look, "DELETE": stop}, about=job_looked_at(api.name, "run")),
    }


def _running(api: JobApi, runner: Runner) -> Endpoint:
    def run(request: Request) -> Later:
        config, timeout_s = run_of(_body(request) if request.body else {})
        key, digest = key_of(request.headers), digest_of(request)
        assert api.target is not None
        task = Task(api.name, api.target.folder)

        def submit(database: Connection) -> Job:
            return submit_task(database, task, config, "gateway", timeout_s=timeout_s, key=key, digest=digest)[0]

        return aside(request, runner.write(submit), lambda job: _json(job_spec(job)))

    return run


# What a request says.


def _body(request: Request) -> Any:
    if len(request.body) > MOST_BODY_BYTES:
        mend = "put the rows into files, and name those"
        raise HandrailError("too_large", f"a job may have {MOST_BODY_BYTES:,} bytes", mend)
    return json.parsed(request.body)


def _options(request: Request) -> dict[str, str]:
    """What stands behind the question mark. Raises HandrailError for what is no option of ours."""
    try:
        options = dict(parse_qsl(request.query.decode("ascii"), keep_blank_values=True, max_num_fields=10))
    except ValueError:
        raise HandrailError("usage", "the query is off", f"options are {listed(OPTIONS)}") from None
    for option in options:
        if option not in OPTIONS:
            mend = did_you_mean(option, OPTIONS).strip() or f"options are {listed(OPTIONS)}"
            raise HandrailError("usage", f"unknown option '{option[:60]}'", mend, field=option[:60])
    if options.get("dryRun", "false") not in ("true", "false"):
        raise HandrailError("usage", "dryRun is true or false", "?dryRun=true", field="dryRun")
    return options


def _id(request: Request) -> str:
    """The id in a path; nothing where there is none."""
    parts = WITH_ID.fullmatch(request.path)
    return parts[2] if parts else ""


def _spec_written(job: Job) -> Response:
    place = f"/{job.api}/batches/{job.id}".encode()
    return Response(orjson.dumps(job_spec(job)), headers=((b"location", place),))


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value))
