"""The queue of one API: what waited while the last batch ran is the next batch; a lone request waits for nothing."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import orjson

from handrail.core.errors import HandrailError
from handrail.serve.cost import Cost
from handrail.serve.messages import Header, framed, parted
from handrail.serve.metrics import PHASES, Metrics
from handrail.serve.packing import Pack

# A request that was in flight when a replica crashed is tried again alone, once; one that crashes two is not.
MAX_CRASHES: Final = 2
# What is foretold to take longer than this share of a client's patience is refused at once: better than late.
PATIENCE: Final = 0.6
# Replicas that were ended from outside do not speak against a request; only so often is it tried again all the same.
MAX_TRIES: Final = 10
QUARANTINE_S: Final = 600.0
QUARANTINE_SIZE: Final = 1_000


class Link(Protocol):
    """A replica that is up: takes one message at a time and calls `Batcher.replied` or `Batcher.lost`."""

    def send(self, message: bytes) -> None: ...
    def kill(self) -> None: ...
    def close(self) -> None: ...


class Queue(Protocol):
    """What stands between requests for one version and its replicas: a `Batcher`, or `Streams` where text is written.
    A replica is told to it with `joined`, and taken from it with `lost`; `retire` asks for its end."""

    batching: Batching
    wanting: Callable[[], object] | None

    def submit(self, rows: Sequence[Any], *, timeout_s: float, do: str = "predict") -> asyncio.Future[list[bytes]]: ...
    def retry_after_s(self) -> int: ...
    def joined(self, link: Any) -> None: ...
    def replied(self, link: Any, header: Header, payload: bytes) -> None: ...
    def lost(self, link: Any, *, crashed: bool = True) -> None: ...
    def take_from(self, other: Any) -> None: ...
    def retire(self, link: Any) -> None: ...
    def tick(self, hang_s: float, *, ping: bool) -> None: ...
    def close(self) -> None: ...
    @property
    def waiting(self) -> int: ...
    @property
    def is_quiet(self) -> bool: ...


@dataclass(eq=False)
class Work:
    """One request's rows, parsed. `answers` grows batch by batch; a cancelled future says that nobody waits."""

    rows: Sequence[Any]
    do: str
    future: asyncio.Future[list[bytes]]
    deadline: float
    queued: float
    answers: list[bytes] = field(default_factory=list)
    sent: int = 0
    crashes: int = 0
    tries: int = 0

    def is_dead(self, now: float) -> bool:
        """True when its answer would reach nobody; a work past its deadline is told so here."""
        if self.future.done():
            return True
        if now > self.deadline:
            self.fail(HandrailError("timeout", "the answer took longer than allowed", "try again, or send fewer rows"))
            return True
        return False

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


Batch = list[tuple[Work, int]]  # (work, how many of its rows), in the order of the rows sent


@dataclass(frozen=True)
class Batching:
    """Bounds of a queue: rows in a batch, seconds that the first of a batch waits for others, what may wait in all, and
    how many requests may be under way, waiting or being answered (None: no bound of its own)."""

    max_batch_size: int = 512
    batch_interval_s: float = 0.0
    max_waiting_rows: int = 20_000
    max_waiting: int = 2_000
    max_in_flight: int | None = None


class Batcher:
    """Work-conserving and bounded. Lives on one event loop; nothing here awaits."""

    def __init__(
        self, metrics: Metrics, batching: Batching | None = None, pack: Pack = orjson.dumps,
        same: Callable[[Sequence[Any]], bytes] | None = None,
    ) -> None:  # fmt: skip
        """`same` gives what two requests for the same have in common (None: all that is packed)."""
        self._metrics = metrics
        self.batching = batching or Batching()
        self._cost = Cost(self.batching.max_batch_size)
        self._pack = pack
        self._same = same or pack
        self._queue: deque[Work] = deque()
        self._waiting_rows = 0
        self._idle: list[Link] = []
        self._flying: dict[Link, tuple[Batch, float]] = {}
        self._leaving: set[Link] = set()
        # Called when something is asked while no replica is there: a pool that sleeps wakes.
        self.wanting: Callable[[], object] | None = None
        # Called with the header of every reply that has more to say than its answers: user code tells of itself.
        self.heard: Callable[[Header], object] | None = None
        self._planned = False
        self._quarantine: dict[bytes, float] = {}
        self._loop = asyncio.get_running_loop()

    def submit(self, rows: Sequence[Any], *, timeout_s: float, do: str = "predict") -> asyncio.Future[list[bytes]]:
        """The answers, one JSON text for each row; cancelling it takes the work back.

        Raises HandrailError ("overloaded") when too much waits already, or more than can be answered in `timeout_s`.
        """
        queue = self._queue
        limit = self.batching.max_in_flight
        if limit is not None and self._metrics.in_flight >= limit:
            self._metrics.refused += 1
            raise HandrailError("overloaded", f"{limit} requests are under way already", "try again in 1 s")
        if queue and (
            self._waiting_rows + len(rows) > self.batching.max_waiting_rows
            or len(queue) >= self.batching.max_waiting
            or self.wait_s(len(rows)) > PATIENCE * timeout_s
        ):
            self._metrics.refused += 1
            raise HandrailError("overloaded", "too much is waiting already", f"try again in {self.retry_after_s()} s")
        now = time.perf_counter()
        work = Work(rows, do, self._loop.create_future(), now + timeout_s, now)
        if self._quarantine:
            self._refuse_quarantined(work)
        self._queue.append(work)
        self._waiting_rows += len(rows)
        self._plan()
        if self.wanting is not None and not self._idle and not self._flying:
            self.wanting()
        return work.future

    def retry_after_s(self) -> int:
        """When it is worth trying again: about when what waits now is done."""
        return max(1, min(60, math.ceil(self.wait_s())))

    def wait_s(self, rows: int = 0) -> float:
        """How long `rows` more rows would wait for their answers, judged by what batches took so far."""
        replicas = max(1, len(self._idle) + len(self._flying))
        return self._under_way_s() + self._cost.seconds(self._waiting_rows + rows) / replicas

    def _under_way_s(self) -> float:
        """How long it is until the first replica is idle."""
        if self._idle or not self._flying:
            return 0.0
        now = time.perf_counter()
        return max(0.0, min(sent + self._cost.seconds(_rows(batch)) - now for batch, sent in self._flying.values()))

    def joined(self, link: Link) -> None:
        """A replica is up and idle."""
        self._idle.append(link)
        self._plan()

    def replied(self, link: Link, header: Header, payload: bytes) -> None:
        """A batch came back: its answers go to their requests, and what waited meanwhile is the next batch."""
        batch, sent = self._flying.pop(link)
        if link in self._leaving:
            self._leaving.discard(link)
            link.close()
        else:
            self._idle.append(link)
        if batch:
            took_s = time.perf_counter() - sent
            self._hand_out(batch, header["failed"], parted(payload, header["rows"]))
            # Written down when those who wait have their answers.
            self._loop.call_soon(self._measure, _rows(batch), header, took_s)
            if self.heard is not None:
                self.heard(header)
        if self.batching.batch_interval_s:
            self._plan()
        else:
            self._pump()

    def lost(self, link: Link, *, crashed: bool = True) -> None:
        """A replica died: what it had in flight is pure, so it is tried again; after a crash, each request alone."""
        if link in self._idle:
            self._idle.remove(link)
        self._leaving.discard(link)
        batch, _ = self._flying.pop(link, ([], 0.0))
        alone = len(batch) == 1
        for work, rows in reversed(batch):
            work.crashes += crashed
            work.tries += 1
            if work.crashes >= MAX_CRASHES and alone:
                self._quarantine_rows(work)
                work.fail(HandrailError("data", "the model crashed on this request, twice", "send other rows"))
            if work.tries >= MAX_TRIES:
                work.fail(HandrailError("bug", "the model's processes were ended again and again", "try again later"))
            if work.future.done():
                self._waiting_rows -= len(work.rows) - work.sent
                continue
            work.sent -= rows
            self._waiting_rows += rows
            self._queue.appendleft(work)
        self._plan()

    def take_from(self, other: Batcher) -> None:
        """What waits there, waits here from now on: for two versions that read the same rows."""
        while other._queue:
            work = other._queue.popleft()
            self._queue.append(work)
            self._waiting_rows += len(work.rows) - work.sent
        other._waiting_rows = 0
        self._plan()
        if self.wanting is not None and not self._idle and not self._flying:
            self.wanting()

    def retire(self, link: Link) -> None:
        """A replica is to go: at once when it is idle, else when it has answered what it has."""
        if link in self._flying:
            self._leaving.add(link)
        elif link in self._idle:
            self._idle.remove(link)
            link.close()

    def tick(self, hang_s: float, *, ping: bool) -> None:
        """Now and then: tells the late, kills who hangs, and asks idle replicas whether they are there."""
        now = time.perf_counter()
        dead = {work for work in self._queue if work.is_dead(now)}
        if dead:
            self._queue = deque(work for work in self._queue if work not in dead)
            self._waiting_rows -= sum(len(work.rows) - work.sent for work in dead)
        for link, (batch, sent) in list(self._flying.items()):
            for work, _ in batch:
                work.is_dead(now)
            if now - sent > hang_s:
                link.kill()
        if ping:
            for link in [link for link in self._idle if not self._queue]:
                self._idle.remove(link)
                self._send(link, [], "ping", b"")

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def is_quiet(self) -> bool:
        """True when nothing waits and nothing is being answered."""
        return not self._queue and not any(batch for batch, _ in self._flying.values())

    def close(self) -> None:
        """Fails what still waits."""
        while self._queue:
            self._queue.popleft().fail(HandrailError("overloaded", "the server is stopping", "try again later"))

    def _plan(self) -> None:
        # One turn of the loop later, so that requests that arrived together travel together.
        if self._idle and self._queue and not self._planned:
            self._planned = True
            if wait_s := self._patience_s():
                self._loop.call_later(wait_s, self._pump)
            else:
                self._loop.call_soon(self._pump)

    def _patience_s(self) -> float:
        """How long the first in the queue still waits for others to travel with."""
        interval_s = self.batching.batch_interval_s
        if not interval_s or self._waiting_rows >= self._cost.best_rows:
            return 0.0
        return max(0.0, self._queue[0].queued + interval_s - time.perf_counter())

    def _pump(self) -> None:
        self._planned = False
        while self._idle and self._queue:
            batch, do, values = self._next_batch()
            if batch:
                pack = self._pack if do == "predict" else orjson.dumps
                self._send(self._idle.pop(), batch, do, pack(values))

    def _next_batch(self) -> tuple[Batch, str, list[Any]]:
        now, queue = time.perf_counter(), self._queue
        batch: Batch = []
        values: list[Any] = []
        do = "predict"
        first = queue[0]
        most = self._cost.rows_for(first.deadline - first.queued)
        while queue and len(values) < most:
            work = queue[0]
            if work.is_dead(now):
                queue.popleft()
                self._waiting_rows -= len(work.rows) - work.sent
                continue
            alone = work.crashes > 0 or work.do != "predict"
            if alone and batch:
                break
            queue.popleft()
            do = work.do
            taken = work.rows[work.sent : work.sent + most - len(values)]
            if not work.sent:
                self._metrics.queue_s.observe(now - work.queued)
            work.sent += len(taken)
            self._waiting_rows -= len(taken)
            values += taken
            batch.append((work, len(taken)))
            if work.sent < len(work.rows) or alone:
                break
        return batch, do, values

    def _send(self, link: Link, batch: Batch, do: str, payload: bytes) -> None:
        self._flying[link] = (batch, time.perf_counter())
        link.send(framed({"id": 0, "do": do}, payload))

    def _hand_out(self, batch: Batch, failed: dict[str, Any], answers: list[bytes]) -> None:
        start = 0
        for work, rows in batch:
            if failed:
                self._fail_first(work, failed, range(start, start + rows))
            work.answers += answers[start : start + rows]
            start += rows
            if work.future.done():
                self._waiting_rows -= len(work.rows) - work.sent
            elif len(work.answers) == len(work.rows):
                work.future.set_result(work.answers)
            elif work.sent < len(work.rows):
                # Its rest goes to the end, so that short requests pass between the batches of a long one.
                self._queue.append(work)

    def _fail_first(self, work: Work, failed: dict[str, Any], rows: range) -> None:
        for index in rows:
            if (problem := failed.get(str(index))) is not None:
                row = len(work.answers) + index - rows.start + 1
                words = problem["problem"]
                text = words if len(work.rows) == 1 or words.startswith("row ") else f"row {row}: {words}"
                work.fail(HandrailError(problem["code"], text, problem["mend"], field=problem["field"]))
                return

    def _measure(self, rows: int, header: Header, total_s: float) -> None:
        self._cost.learn(rows, total_s)
        for phase, seconds in zip(PHASES, header["seconds"], strict=True):
            self._metrics.phase_s[phase].observe(seconds)
        self._metrics.batch_rows.observe(rows)

    def _key(self, work: Work) -> bytes:
        """What two requests for the same have in common; the beginning of long ones."""
        packed = self._same(work.rows[:1_000]) if work.do == "predict" else orjson.dumps(work.rows)
        return packed[:65_536]

    def _quarantine_rows(self, work: Work) -> None:
        if len(self._quarantine) >= QUARANTINE_SIZE:
            self._quarantine.pop(next(iter(self._quarantine)))
        self._quarantine[self._key(work)] = time.perf_counter() + QUARANTINE_S

    def _refuse_quarantined(self, work: Work) -> None:
        until = self._quarantine.get(self._key(work))
        if until is not None and time.perf_counter() < until:
            raise HandrailError(
                "data",
                "this request crashed the model before; it is not tried again for a while",
                "send other rows",
            )


def _rows(batch: Batch) -> int:
    return sum(rows for _, rows in batch)
