"""The worker processes of one job, looked after: started, told apart when they end, and ended when the job does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

import orjson

from handrail.core.control_group import out_of_memory_kills
from handrail.core.errors import HandrailError
from handrail.core.files import disk_errors
from handrail.jobs import chunks
from handrail.jobs.batch import Target, log_of
from handrail.jobs.database import Connection
from handrail.jobs.opening import python_of
from handrail.jobs.processes import lease_of
from handrail.jobs.queue import Job, State

WORKER: Final = ("-P", "-m", "handrail.jobs.worker")
LEAVE: Final = b"l"
TOLD_BYTES: Final = 2**14
LOG_BYTES: Final = 32 * 2**20
# What is not done again when it fails, and how its failure begins.
ONCE: Final = {"complete": "all rows are answered; then on_job_complete failed: ", "task": ""}
# Ends in a row with no piece done between: then the rows are not to blame.
MOST_ENDS_IN_A_ROW: Final = 40
MOST_ENDS_AT_START: Final = 3
# How long the news of a kill for want of memory may lag behind the kill.
NEWS_S: Final = 0.05


class Slots(Protocol):
    """How many workers there may be on this machine: `take` is False where there are enough."""

    def take(self) -> bool: ...
    def put_back(self) -> None: ...


@dataclass(frozen=True)
class Ended:
    """How a worker ended. `told` is what it said of it; `out_of_memory` whether the system ended it for that."""

    status: int
    peak_bytes: int
    told: dict[str, Any]
    out_of_memory: bool

    @property
    def is_well(self) -> bool:
        return self.status == 0

    @property
    def is_from_outside(self) -> bool:
        """A plain kill: nobody knows why."""
        return self.status in (-signal.SIGKILL, -signal.SIGTERM) and not self.out_of_memory

    @property
    def lacked_memory(self) -> bool:
        return self.out_of_memory or self.told.get("code") == "memory"

    def __str__(self) -> str:
        peak = f"the worker held {self.peak_bytes / 2**20:,.0f} MB at most"
        if self.lacked_memory:
            return f"out of memory; {peak}"
        if self.told:
            return f"{self.told['problem']} ({self.told['where']})" if "where" in self.told else self.told["problem"]
        if self.status < 0:
            return f"the worker was ended by {signal.Signals(-self.status).name}; {peak}"
        return f"the worker ended with status {self.status}; {peak}"


class Worker:
    """One worker process, until it is reaped."""

    def __init__(self, python: str, home: Path, job: Job, do: str, nice: int, log: BinaryIO) -> None:
        self._hears, tells = os.pipe()
        os.set_blocking(self._hears, False)
        self._kills = out_of_memory_kills()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, arguments as a list
                [python, *WORKER, str(home.absolute()), job.id, do, str(tells), str(nice)],
                stdin=subprocess.PIPE, stdout=log, stderr=log, pass_fds=[tells], start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip
        except OSError:
            os.close(self._hears)
            raise
        finally:
            os.close(tells)
        self.lease = lease_of(self._process.pid)
        self.is_leaving = False

    def ended(self) -> Ended | None:
        """How it ended, once; None while it runs."""
        pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
        if not pid:
            return None
        return self._reaped(os.waitstatus_to_exitcode(status), usage.ru_maxrss)

    def leave(self) -> None:
        """Asks it to leave after the piece at hand."""
        self.is_leaving = True
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            os.write(self._process.stdin.fileno(), LEAVE)

    def kill(self) -> None:
        """Ends it now, and waits for that."""
        os.kill(self._process.pid, signal.SIGKILL)  # Popen.kill would reap one that has ended
        _, status, usage = os.wait4(self._process.pid, 0)
        self._reaped(os.waitstatus_to_exitcode(status), usage.ru_maxrss)

    def _reaped(self, status: int, peak: int) -> Ended:
        self._process.returncode = status
        with contextlib.suppress(OSError):  # what its code started, and left
            os.killpg(self._process.pid, signal.SIGKILL)
        said = b""
        with contextlib.suppress(BlockingIOError):  # a process that it left behind may hold the other end
            said = os.read(self._hears, TOLD_BYTES)
        os.close(self._hears)
        assert self._process.stdin is not None
        self._process.stdin.close()
        peak_bytes = peak * (1 if sys.platform == "darwin" else 1024)
        return Ended(status, peak_bytes, orjson.loads(said) if said else {}, self._was_out_of_memory(status))

    def _was_out_of_memory(self, status: int) -> bool:
        if status != -signal.SIGKILL:
            return False
        time.sleep(NEWS_S)
        return out_of_memory_kills() > self._kills


class Stopped(Exception):  # noqa: N818 - an end like others
    """The job cannot go on: `state` is how it ends, `detail` why."""

    def __init__(self, state: State, detail: str) -> None:
        super().__init__(detail)
        self.state = state
        self.detail = detail


class Crew:
    """All workers of a job. `look` starts those that are missing and reaps those that ended; `close` ends them."""

    def __init__(
        self, database: Connection, home: Path, job: Job, *, nice: int = 0, slots: Slots | None = None
    ) -> None:
        self._database = database
        self._home = home
        self._job = job
        self._nice = nice
        self._slots = slots
        self._workers: list[Worker] = []
        self._done_before = 0
        self._in_a_row = 0
        self._python = python_of(Target(**job.asked["target"]), home)
        self._log = _opened_log(log_of(home, job.api, job.id))

    def look(self, do: str, wanted: int, *, asks: bool = True) -> bool:
        """Reaps, then starts what is missing of so many workers; `asks` those to leave that are too many.

        False when nobody is at work and nobody was wanted. Raises Stopped when the job cannot go on.
        """
        for worker in list(self._workers):
            if (ended := worker.ended()) is not None:
                self._gone(worker)
                self._judge(do, worker, ended)
        staying = [worker for worker in self._workers if not worker.is_leaving]
        for worker in staying[wanted:] if asks else ():
            worker.leave()
        for _ in range(wanted - len(staying)):
            if self._slots is not None and not self._slots.take():
                break
            self._start(do)
        self._shorten_log()
        return bool(self._workers) or wanted > 0

    def close(self) -> None:
        """Ends all workers at once; what they held waits again."""
        for worker in list(self._workers):
            worker.kill()
            self._gone(worker)
            with contextlib.suppress(HandrailError):
                chunks.give_back(self._database, self._job.id, worker.lease)
        self._log.close()

    @property
    def size(self) -> int:
        return len(self._workers)

    def _start(self, do: str) -> None:
        try:
            with disk_errors(self._home):
                self._workers.append(Worker(self._python, self._home, self._job, do, self._nice, self._log))
        except BaseException:
            if self._slots is not None:
                self._slots.put_back()
            raise

    def _gone(self, worker: Worker) -> None:
        self._workers.remove(worker)
        if self._slots is not None:
            self._slots.put_back()

    def _judge(self, do: str, worker: Worker, ended: Ended) -> None:
        """What the end of a worker means for its piece and for the job."""
        if ended.is_well:
            chunks.give_back(self._database, self._job.id, worker.lease)
            return
        if do in ONCE:
            raise Stopped("out of memory" if ended.lacked_memory else "worker error", f"{ONCE[do]}{ended}")
        if ended.told and ended.told["code"] not in ("memory", "bug"):
            raise Stopped(_state(do), str(ended))
        held = chunks.blame(self._database, self._job.id, worker.lease, str(ended), crashed=not ended.is_from_outside)
        done = chunks.count(self._database, self._job.id).done
        self._in_a_row = self._in_a_row + 1 if done == self._done_before else 1
        self._done_before = done
        at_start = held is None and not ended.is_from_outside
        if self._in_a_row >= (MOST_ENDS_AT_START if at_start else MOST_ENDS_IN_A_ROW):
            raise Stopped("out of memory" if ended.lacked_memory else _state(do), str(ended))

    def _shorten_log(self) -> None:
        """A log never grows without end: what is too much is dropped. It is open for adding, so that this is safe."""
        with contextlib.suppress(OSError):
            if os.fstat(self._log.fileno()).st_size > LOG_BYTES:
                os.ftruncate(self._log.fileno(), 0)


def _state(do: str) -> State:
    return "failed while enqueuing" if do == "plan" else "worker error"


def _opened_log(path: Path) -> BinaryIO:
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
