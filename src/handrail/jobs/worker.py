"""A worker process: `python -P -m handrail.jobs.worker HOME JOB DO PIPE NICE`, started and ended by a crew.

DO is "plan" (count the rows and enter the pieces), "answer" (one piece after the other until none waits), "complete"
(tell code that all is answered) or "task". What goes wrong is told as JSON over PIPE. Its standard input is held by the
crew: when that is gone, the worker is, too; a byte there asks it to leave after the piece at hand.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

import orjson

from handrail.core.errors import HandrailError, clipped
from handrail.core.files import read_limited
from handrail.core.jsons import line_of
from handrail.jobs import chunks, queue
from handrail.jobs.answering import Answered, Answerer
from handrail.jobs.batch import ITEMS, Batch, Layout, Target, batch_from, folder_of, read_layout
from handrail.jobs.chunks import Chunk
from handrail.jobs.database import Connection, opened
from handrail.jobs.enqueuing import enqueue, planned
from handrail.jobs.opening import opened_answerer
from handrail.jobs.output import Part, write_part
from handrail.jobs.processes import my_lease
from handrail.jobs.queue import Job
from handrail.jobs.reading import names_of_files, rows_of
from handrail.jobs.status import job_spec
from handrail.predictors.job_code import JobCode
from handrail.predictors.memory import limit_memory
from handrail.predictors.settings import read_settings

TOLD: Final = 1
MAX_ITEMS_BYTES: Final = 2**25
LONGEST_TOLD: Final = 2_000


def main(home: str, job: str, do: str, pipe: str, nice: str) -> None:
    """Does it, and exits: 0, or 1 when what went wrong was told."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the crew decides
    leaving = threading.Event()
    threading.Thread(target=_follow_the_crew, args=(leaving,), daemon=True).start()
    os.nice(int(nice))
    sys.stdout, sys.stderr = _Stamped(sys.stdout), _Stamped(sys.stderr)
    try:
        with contextlib.closing(opened(Path(home))) as database:
            _DOES[do](Work(database, Path(home), queue.job(database, job), leaving, my_lease()))
    except BaseException as error:
        _tell(int(pipe), error)
        raise SystemExit(TOLD) from None


@dataclass(frozen=True)
class Work:
    """What one worker has at hand; `leaving` is set when it is asked to leave."""

    database: Connection
    home: Path
    job: Job
    leaving: threading.Event
    me: str

    @property
    def folder(self) -> Path:
        return folder_of(self.home, self.job.id)

    @property
    def batch(self) -> Batch:
        return batch_from(self.job.asked)


def plan(work: Work) -> None:
    """Finds the rows of a job and enters its pieces."""
    batch = work.batch
    items = read_limited(work.folder / ITEMS, MAX_ITEMS_BYTES) if batch.reads == "items" else b""
    made = planned(batch, opened_answerer(batch.target, plans=True), work.job.workers, items=items)
    enqueue(work.database, work.folder, work.job.id, made)


def answer(work: Work) -> None:
    """Answers pieces until none waits, or it is asked to leave."""
    batch, layout = work.batch, read_layout(work.folder)
    with contextlib.closing(_answerer(work, batch)) as answerer:
        chunk = chunks.claim(work.database, work.job.id, work.me)
        while chunk is not None:
            begun = time.monotonic()
            dead = _answer_piece(work, batch, layout, answerer, chunk)
            took_s = time.monotonic() - begun
            chunk = chunks.done(
                work.database, work.job.id, chunk.piece, work.me,
                dead=dead, seconds=took_s, leaves=work.leaving.is_set(),
            )  # fmt: skip


def complete(work: Work) -> None:
    """Tells the code of a job that all is answered."""
    with contextlib.closing(_answerer(work, work.batch)) as answerer:
        answerer.complete()


def task(work: Work) -> None:
    """Runs a task; what it returns is its last line in the log."""
    target, config = Target(**work.job.asked["target"]), work.job.asked["config"]
    limit_bytes = limit_memory(read_settings(Path(target.folder)).mem)
    with contextlib.closing(JobCode(Path(target.folder), job_spec(work.job), limit_bytes)) as code:
        returned = code.run(config)
    if returned is not None:
        sys.stdout.write(f"returned {clipped(line_of(returned), LONGEST_TOLD)}\n")


def _answerer(work: Work, batch: Batch) -> Answerer:
    mem = batch.memory_bytes
    if mem is None and batch.target.kind == "predictor":
        mem = read_settings(Path(batch.target.folder)).mem
    limit_bytes = limit_memory(mem)
    return opened_answerer(batch.target, job=job_spec(work.job), tries=batch.tries, limit_bytes=limit_bytes)


def _answer_piece(work: Work, batch: Batch, layout: Layout, answerer: Answerer, chunk: Chunk) -> int:
    """Answers one piece and writes its part; how many rows got no answer."""
    piece, source = chunk.piece, layout.sources[chunk.piece.source]
    rows = rows_of(
        piece, source, work.folder, as_items=answerer.lines_as == "items", as_paths=answerer.files_as == "path"
    )
    names = names_of_files(piece, source, work.folder) if source.kind == "files" else ()
    if chunk.state == "poison":  # who asks for its answer is ended
        found = Answered([None] * rows.count, dict.fromkeys(range(rows.count), f"failed (poison): {chunk.said}"))
    else:
        found = answerer.answer(rows, f"{work.job.id}-{piece.position}-{piece.rows}")
    return write_part(work.folder, batch, layout, answerer, Part(piece, rows, found, source.name, names))


def _follow_the_crew(leaving: threading.Event) -> None:
    while os.read(0, 1):
        leaving.set()
    os._exit(TOLD)


def _tell(pipe: int, error: BaseException) -> None:
    """Says over the pipe what went wrong, in fewer bytes than a pipe holds."""
    traceback.print_exc()
    if isinstance(error, HandrailError):
        told: dict[str, Any] = {"code": error.code, "problem": error.problem, "mend": error.mend, "where": error.where}
    elif isinstance(error, MemoryError):
        told = {"code": "memory", "problem": "not enough memory", "mend": "give it more, or fewer rows at a time"}
    else:
        said = f"{type(error).__name__}: {error}"
        told = {"code": "bug", "problem": said, "mend": "see the job's log: handrail jobs logs"}
    shown = {name: text[:LONGEST_TOLD] for name, text in told.items() if text is not None}
    with contextlib.suppress(OSError):
        os.write(pipe, orjson.dumps(shown))


class _Stamped:
    """A stream whose lines begin with the time and the process."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._half = ""

    def write(self, text: str) -> int:
        *lines, self._half = (self._half + text).split("\n")
        now = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
        with contextlib.suppress(OSError):  # a full disk costs lines, never the work
            self._stream.write("".join(f"{now}Z {os.getpid()} {line}\n" for line in lines))
            self._stream.flush()
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


_DOES: Final[dict[str, Callable[[Work], None]]] = {"plan": plan, "answer": answer, "complete": complete, "task": task}

if __name__ == "__main__":
    main(*sys.argv[1:])
