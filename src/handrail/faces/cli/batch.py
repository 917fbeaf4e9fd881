"""`handrail batch`: rows of files to answers in a file, by several processes, however often it is cut off."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handrail.core.errors import HandrailError, counted
from handrail.core.processors import processors
from handrail.faces.cli.options import once, opened, seconds, shared, whole, writable
from handrail.faces.cli.printing import put, put_json, put_table

if TYPE_CHECKING:
    from handrail.jobs.batch import Batch, Target
    from handrail.jobs.enqueuing import Planned
    from handrail.jobs.queue import Job

SOME_DEAD = 3
MOST_WORKERS = 8
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
# Ends of jobs → the code of the error that a command ends with.
CODES = {"timed out": "timeout", "stopped": "interrupted"}


def amount(option: str, text: str) -> int:
    """512MB, 2GB, 1GiB → bytes."""
    found = re.fullmatch(r"(\d{1,12}) ?([a-z]{0,3})", text.strip(), re.ASCII | re.IGNORECASE)
    if found is None or found[2].upper() not in UNITS or int(found[1]) * UNITS[found[2].upper()] < 2**20:
        problem = f"{option} must be an amount of memory, received '{text[:60]}'"
        raise HandrailError("usage", problem, f"for example {option} 512MB", field="memory")
    return int(found[1]) * UNITS[found[2].upper()]


@click.command("batch", epilog="Example: handrail batch reviews rows.csv -o answers.csv --workers 4")
@click.argument("name")
@click.argument("paths", nargs=-1, required=True, metavar="FILE|FOLDER...")
@once("-o", "--output", metavar="FILE", help="Write rows with answers to a .csv, or answers to a .jsonl.")
@click.option("--include", "includes", multiple=True, metavar="GLOB", help="Of folders, only files like this: '*.csv'.")
@click.option("--exclude", "excludes", multiple=True, metavar="GLOB", help="Leave files like this out.")
@once("--workers", read=whole(1, 64, "4"), metavar="N", help="Processes that answer (default: one for each core).")
@once("--chunk-size", read=whole(1, 1_000_000, "1000"), metavar="ROWS", help="Rows that are answered at a time.")
@once("--timeout", read=seconds, metavar="TIME", help="Give up after that long: 30m, 12h (default: never).")
@once("--memory", read=amount, metavar="SIZE", help="What one worker may have: 2GB (default: no limit).")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--fresh", is_flag=True, help="Begin anew where a run was cut off.")
@click.option("--raw", is_flag=True, help="Leave cells in a .csv that begin like a formula as they are.")
@shared
def command(
    name: str, paths: tuple[str, ...], output: str | None, includes: tuple[str, ...], excludes: tuple[str, ...],
    workers: int | None, chunk_size: int | None, timeout: float | None, memory: int | None, dry_run: bool,
    fresh: bool, raw: bool, as_json: bool,
) -> None:  # fmt: skip
    """Answer all rows of files with the model (or the BatchAPI) NAME, in their order, into one file.

    Files are CSV, TSV, JSON lines, Parquet or Excel, or a folder of them; where the model takes a text, a folder of
    texts, too. Cut off at any moment, the same command goes on where it was. A row that gets no answer is also in
    FILE.dead, with the reason; the exit status is then 3.
    """
    from handrail.faces.cli.drawing import drawn
    from handrail.jobs import here as jobs_here
    from handrail.jobs.batch import Batch
    from handrail.store.home import default_home

    target, path = target_of(name), _output(output, paths)
    batch = Batch(
        target, "auto", path.suffix.lower(), tuple(_absolute(one) for one in paths), includes, excludes,
        piece_rows=chunk_size, path=str(path), raw=raw, memory_bytes=memory,
    )  # fmt: skip
    with drawn() as tell:
        here = jobs_here.Here(workers or default_workers(), timeout, fresh, tell)
        if dry_run:
            made = jobs_here.dry_run(batch, here)
        else:
            job, is_old = jobs_here.batch_here(default_home(), batch, here)
    if dry_run:
        put_plan(batch, made, here.workers, as_json)
    else:
        put_end(job, is_old, as_json)


def default_workers() -> int:
    """One for each core that we may use, within reason: each holds the model."""
    return min(MOST_WORKERS, processors())


def target_of(name: str) -> Target:
    """What answers: code that is deployed as a BatchAPI under that name, else the model."""
    from handrail.core.bundle import MODEL_NAME
    from handrail.jobs.batch import Target
    from handrail.store.deployments import Deployments
    from handrail.store.home import default_home

    served = Deployments(default_home()).served(name) if MODEL_NAME.fullmatch(name) else None
    if served is not None and served.spec.get("kind") == "BatchAPI" and served.spec.get("predictor"):
        return Target("predictor", name, served.folder)
    model = opened(name)
    return Target("model", model.name, str(model.bundle.path.absolute()), model.version)


def put_plan(batch: Batch, made: Planned, workers: int, as_json: bool) -> None:
    """What would be done."""
    plan = made.plan
    told: dict[str, Any] = {
        "dry_run": True, "files": made.files, "rows": plan.rows, "chunks": len(plan.pieces),
        "chunk_size": plan.piece_rows, "workers": min(workers, len(plan.pieces)), "output": batch.path,
        "columns": [*made.layout.inputs, *made.layout.answers],
    }  # fmt: skip
    if as_json:
        put_json(told)
        return
    put(f"would answer {counted(plan.rows, 'row')} of {counted(made.files, 'file')}")
    chunks = f"{len(plan.pieces):,} of {plan.piece_rows:,} rows at most"
    put_table([("  chunks", chunks), ("  workers", str(told["workers"])), ("  output", str(batch.path))])


def put_end(job: Job, is_old: bool, as_json: bool) -> None:
    """How a job ended; a status where some rows got no answer, an error where it did not come to its end."""
    from handrail.jobs.queue import ENDED_WELL
    from handrail.jobs.status import described

    if job.state not in ENDED_WELL:
        mend = f"the same command goes on with it; handrail jobs logs {job.id} shows what was printed"
        code = CODES.get(job.state, "environment")
        raise HandrailError(code, f"{job.state}: {job.detail}" if job.detail else job.state, mend)
    if as_json:
        put_json(described(job))
    elif is_old:
        put(f"done already: {job.output} (job {job.id}; --fresh does it again)")
    else:
        put(f"wrote {counted(job.rows or 0, 'row')} to {job.output}")
    if job.state != "succeeded":
        if not as_json:
            put(job.detail)
        raise click.exceptions.Exit(SOME_DEAD)


def _absolute(path: str) -> str:
    return path if "://" in path else str(Path(path).absolute())


def _output(output: str | None, paths: tuple[str, ...]) -> Path:
    """Where answers go. Raises HandrailError for a place that is no good, or that the rows come from."""
    from handrail.faces.cli.answers import refuse_ending

    if output is None:
        raise HandrailError("usage", "where the answers go is missing", "-o answers.csv", field="output")
    path = writable(output).absolute()
    refuse_ending(path)
    if path.is_dir():
        raise HandrailError("usage", f"'{output}' is a folder", "-o answers.csv", field="output")
    if any(os.path.realpath(one) == os.path.realpath(path) for one in paths):
        raise HandrailError("usage", "the answers would be written over the rows", "give another -o", field="output")
    return path
