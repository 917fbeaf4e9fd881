"""What a gateway has running beside its answers: batches, requests that are answered later, webhooks, schedules."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from handrail.core.errors import HandrailError
from handrail.jobs import queue, requests, webhook
from handrail.jobs.attending import Terms, attend
from handrail.jobs.batch import batch_from
from handrail.jobs.database import Connection
from handrail.jobs.ledger import Ledger
from handrail.jobs.queue import Job
from handrail.jobs.requests import Asked, NewRequest
from handrail.jobs.status import job_status
from handrail.jobs.sweeping import KEEP_S, sweep
from handrail.jobs.tasks import Task, mark, submit_task, upcoming

Result = TypeVar("Result")
# Asks an API as a client would: name, body and headers in; status, content type and body out.
Answer = Callable[[str, bytes, Mapping[str, str]], Awaitable[tuple[int, bytes, bytes]]]
NICE: Final = 10
# Jobs that another process cancelled or left are seen when they are looked at; so are clocks that were set.
LOOK_S: Final = 30.0
SWEEP_S: Final = 3600.0
# Tasks do not wait for batches, which may take days.
MOST_TASKS: Final = 2
BUSY: Final = (429, 503)
MOST_TOGETHER: Final = 64

log = logging.getLogger("handrail.jobs")


@dataclass(frozen=True)
class Settings:
    """What the operator allows. `workers`: how many processes jobs have together. `folders`: where batches may read
    files; none when empty. `webhooks`: origins that may be told, such as https://example.com.

    `most_waiting` requests of one API, and `most_bytes` of all together, are kept for later; `in_flight` are asked at
    a time.
    """

    workers: int = field(default_factory=lambda: max(1, (os.cpu_count() or 1) // 2))
    folders: Sequence[Path] = ()
    webhooks: Sequence[str] = ()
    keep_s: float = KEEP_S
    most_waiting: int = 10_000
    most_bytes: int = 256 * 2**20
    in_flight: int = 8


class Runner:
    """Open from `open` to `close`; what is not done then is gone on with by the next one. `answer` asks the live APIs.

    Where there is no database to be had, it says so in the log and tries again: who serves is not to be stopped by it.
    Until then all it is asked raises HandrailError ("environment").
    """

    def __init__(self, home: Path, settings: Settings, answer: Answer) -> None:
        self.home = home
        self.settings = settings
        self._answer = answer
        self._ledger = Ledger(home)
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(max(1, settings.workers) + MOST_TASKS, "handrail-job")
        self._slots = _Slots(settings.workers)
        self._attended: dict[str, tuple[str, asyncio.Task[None]]] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._wake_jobs, self._wake_requests, self._wake_hooks, self._wake_clock = (asyncio.Event() for _ in range(4))
        self._tasks: Mapping[str, Task] = {}
        self._held: dict[str, int] = {}
        self._held_bytes = 0
        self._took_s = 1.0

    async def open(self) -> None:
        """Takes up what an earlier one left."""
        try:
            await self._opened()
        except HandrailError as error:
            log.error("no jobs: %s", error)
            self._loops = [asyncio.create_task(self._open_later())]

    async def _open_later(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            with contextlib.suppress(HandrailError):
                await self._opened()
                return

    async def _opened(self) -> None:
        await self._ledger.open()
        await self._ledger.write(requests.restore)
        for api, (count, size) in (await self._ledger.read(requests.held)).items():
            self._held[api] = count
            self._held_bytes += size
        loops = (self._batches, self._requests, self._webhooks, self._clock, self._sweeps)
        self._loops += [asyncio.create_task(_kept_up(loop)) for loop in loops]

    async def close(self) -> None:
        """Ends workers at once: what they were at is done again. Requests in progress are asked again, too."""
        self._stop.set()
        for task in (*self._loops, *self._asking):
            task.cancel()
        await asyncio.gather(*self._loops, *self._asking, return_exceptions=True)
        await asyncio.gather(*(task for _, task in self._attended.values()), return_exceptions=True)
        await asyncio.to_thread(self._pool.shutdown)
        await self._ledger.close()

    async def read(self, act: Callable[[Connection], Result]) -> Result:
        """Looks something up."""
        return await self._ledger.read(act)

    async def write(self, act: Callable[[Connection], Result]) -> Result:
        """Changes something, durably, and looks at what is to be done."""
        found = await self._ledger.write(act)
        self._wake_jobs.set()
        return found

    async def submit_request(self, new: NewRequest) -> tuple[str, bool]:
        """The id of a request that is kept on the disk now, and whether it is new.

        Raises HandrailError: "rate_limited" when too many wait, "conflict" for a key that was used for another.
        """
        size = len(new.body)
        full = self._held_bytes + size > self.settings.most_bytes
        if full or self._held.get(new.api, 0) >= self.settings.most_waiting:
            mend = f"try again in {self.retry_after_s(new.api)} s"
            raise HandrailError("rate_limited", f"too many requests for '{new.api}' wait already", mend)
        self._hold(new.api, 1, size)
        try:
            request_id, is_new = await self._ledger.write(lambda database: requests.submit(database, new))
        except BaseException:
            self._hold(new.api, -1, -size)
            raise
        if not is_new:
            self._hold(new.api, -1, -size)
        self._wake_requests.set()
        return request_id, is_new

    def retry_after_s(self, api: str) -> int:
        """In how many seconds there may be room again, by how long requests took so far."""
        return max(1, min(60, round(self._held.get(api, 0) * self._took_s / self.settings.in_flight / 10)))

    def schedule(self, tasks: Mapping[str, Task]) -> None:
        """The tasks that run by their schedules from now on; the others do not any more."""
        self._tasks = dict(tasks)
        self._wake_clock.set()

    # Batches and runs of tasks.

    async def _batches(self) -> None:
        while True:
            for job in await self._ledger.read(queue.waiting):
                kinds = [kind for kind, _ in self._attended.values()]
                most = self.settings.workers if job.kind == "batch" else MOST_TASKS
                if job.id not in self._attended and kinds.count(job.kind) < most:
                    self._attended[job.id] = job.kind, asyncio.create_task(self._attend(job))
            await _woken(self._wake_jobs, LOOK_S)

    async def _attend(self, job: Job) -> None:
        terms = Terms(self._stop, NICE, self._slots if job.kind == "batch" else None, self._share)
        try:
            ended = await asyncio.get_running_loop().run_in_executor(self._pool, attend, self.home, job.id, terms)
        except HandrailError as error:
            if error.code == "conflict":
                return
            log.warning("job %s: %s", job.id, error)
            problem = error.problem
            ended = await self._ledger.write(lambda database: queue.finish(database, job.id, "worker error", problem))
        except Exception:
            log.exception("job %s", job.id)
            ended = await self._ledger.write(lambda database: queue.finish(database, job.id, "worker error", "our bug"))
        finally:
            self._attended.pop(job.id, None)
            self._wake_jobs.set()
        await self._tell_of(ended)

    async def _tell_of(self, job: Job) -> None:
        url = batch_from(job.asked).webhook if job.kind == "batch" else None
        if url is None or job.is_open:
            return

        def enter(database: Connection) -> None:
            body = {"job_status": job_status(database, job)}
            requests.deliver(database, job.id, url, json.dumps(body).encode())

        await self._ledger.write(enter)
        self._wake_hooks.set()

    def _share(self) -> int:
        """How many workers each job may have now."""
        batches = sum(kind == "batch" for kind, _ in self._attended.values())
        return max(1, self.settings.workers // max(1, batches))

    # Requests that are answered later.

    async def _requests(self) -> None:
        while True:
            room = self.settings.in_flight - len(self._asking)
            found: list[Asked] = []
            if room > 0 and any(self._held.values()):
                found = await self._ledger.write(lambda database: requests.claim(database, room))  # noqa: B023 - run at once
            for asked in found:
                task = asyncio.create_task(self._ask(asked))
                self._asking.add(task)
                task.add_done_callback(self._asked)
            await _woken(self._wake_requests, LOOK_S)

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._asking.discard(task)
        self._wake_requests.set()

    async def _ask(self, asked: Asked) -> None:
        begun = time.monotonic()
        try:
            status, content_type, body = await self._answer(asked.api, asked.body, asked.headers)
        except Exception:
            log.exception("request %s failed", asked.id)
            error = HandrailError("bug", "something went wrong here", "report it with the request's id")
            status, content_type, body = 500, b"application/json", json.dumps(error.as_dict(asked.id)).encode()
        if status in BUSY:
            wait_s = await self._ledger.write(lambda database: requests.postpone(database, asked.id, asked.tries))
            asyncio.get_running_loop().call_later(wait_s, self._wake_requests.set)
            return
        kind = content_type.decode("latin-1")
        await self._ledger.write(lambda database: requests.finish(database, asked.id, status, kind, body))
        self._hold(asked.api, -1, -len(asked.body))
        self._took_s += 0.1 * (time.monotonic() - begun - self._took_s)
        self._wake_hooks.set()

    def _hold(self, api: str, count: int, size: int) -> None:
        self._held[api] = self._held.get(api, 0) + count
        self._held_bytes += size

    # Webhooks.

    async def _webhooks(self) -> None:
        while True:
            found = await self._ledger.read(lambda database: webhook.waiting(database, MOST_TOGETHER))
            await asyncio.gather(*map(self._deliver, found))
            upcoming = await self._ledger.read(webhook.next_try)
            wait_s = LOOK_S if upcoming is None else max(0.05, min(LOOK_S, upcoming - time.time()))
            await _woken(self._wake_hooks, wait_s)

    async def _deliver(self, delivery: webhook.Delivery) -> None:
        try:
            address = webhook.checked(delivery.url, self.settings.webhooks)
            said = await asyncio.to_thread(webhook.post, address, delivery.body, delivery.about)
        except HandrailError as error:  # it is not on the list any more
            said = error.problem
        if said:
            log.info("webhook of %s: %s", delivery.about, said)
        await self._ledger.write(lambda database: webhook.tried(database, delivery, said))

    # Time.

    async def _clock(self) -> None:
        while True:
            wait_s = LOOK_S
            if any(task.schedule for task in self._tasks.values()):
                tasks, now = self._tasks, time.time()
                times = await self._ledger.write(lambda database: upcoming(database, tasks, now))  # noqa: B023 - run at once
                for name in [name for name, at in times.items() if at <= now]:
                    await self._run(tasks[name], now)
                    wait_s = 0.0
                # Looked at now and then all the same: somebody may set the clock.
                wait_s = max(0.0, min([wait_s, *(at - now for at in times.values())]))
            await _woken(self._wake_clock, wait_s)

    async def _run(self, task: Task, now: float) -> None:
        await self._ledger.write(lambda database: mark(database, task, now))
        try:
            await self.write(lambda database: submit_task(database, task, {}, "gateway"))
        except HandrailError as error:
            log.info("task %s does not run now: %s", task.name, error.problem)

    async def _sweeps(self) -> None:
        while True:
            await self._ledger.write(lambda database: sweep(database, self.home, self.settings.keep_s))
            await asyncio.sleep(SWEEP_S)


class _Slots:
    """So many workers, whichever jobs they work for."""

    def __init__(self, count: int) -> None:
        self._free = threading.Semaphore(max(1, count))

    def take(self) -> bool:
        return self._free.acquire(blocking=False)

    def put_back(self) -> None:
        self._free.release()


async def _woken(event: asyncio.Event, wait_s: float) -> None:
    """Waits for an event, or for a while."""
    # Not wait_for: that loses a cancellation which comes together with the event.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await event.wait()
    event.clear()


async def _kept_up(loop: Callable[[], Awaitable[None]]) -> None:
    """A loop that goes on after a failure: a disk that is full now may not be so later."""
    while True:
        try:
            await loop()
        except Exception:
            log.exception("jobs: begins again in %g s", LOOK_S)
            await asyncio.sleep(LOOK_S)
