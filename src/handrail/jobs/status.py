"""How jobs stand, as plain values: for lists, for `--json`, and in Cortex's words over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from handrail.jobs import chunks
from handrail.jobs.batch import batch_from
from handrail.jobs.chunks import Count
from handrail.jobs.database import Connection
from handrail.jobs.queue import Job


def described(job: Job, count: Count | None = None) -> dict[str, Any]:
    """A job for `--json`."""
    shown: dict[str, Any] = {
        "id": job.id, "kind": job.kind, "api": job.api, "state": job.state, "detail": job.detail,
        "attended": job.is_attended, "rows": job.rows, "workers": job.workers, "created": job.created,
        "started": job.started, "ended": job.ended, "output": job.output,
    }  # fmt: skip
    if count is not None and job.kind == "batch":
        shown |= {"rows_done": count.rows_done, "rows_without_answer": count.dead, "chunks": count.chunks,
                  "chunks_done": count.done}  # fmt: skip
    return shown


def job_spec(job: Job) -> dict[str, Any]:
    """A job as it was submitted, in Cortex's words."""
    config = batch_from(job.asked).config if job.kind == "batch" else job.asked.get("config", {})
    return {
        "job_id": job.id, "api_name": job.api, "kind": "BatchAPI" if job.kind == "batch" else "TaskAPI",
        "workers": job.workers, "config": dict(config), "timeout": job.timeout_s, "created_time": moment(job.created),
    }  # fmt: skip


def job_status(database: Connection, job: Job) -> dict[str, Any]:
    """How a job stands, in Cortex's words."""
    count = chunks.count(database, job.id)
    ended = {} if job.ended is None else {"end_time": moment(job.ended)}
    detail = {"detail": job.detail} if job.detail else {}
    return {
        **job_spec(job),
        "status": job.state,
        **detail,
        "batches_in_queue": count.waiting,
        "batch_metrics": {
            "succeeded": count.done - count.chunks_with_dead,
            "failed": count.chunks_with_dead,
            "avg_time_per_batch": round(count.seconds, 6),
        },
        "rows": {"total": job.rows, "done": count.rows_done, "without_answer": count.dead},
        "worker_counts": {"running": count.running if job.is_open else 0},
        "start_time": None if job.started is None else moment(job.started),
        **ended,
    }


def moment(at: float) -> str:
    """A moment in UTC, as JSON writes it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
