"""The queue of one API that writes text: continuations run side by side in its replicas, and outlive them."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from handrail.core.errors import HandrailError
from handrail.serve.batcher import MAX_CRASHES, MAX_TRIES, PATIENCE, QUARANTINE_S, QUARANTINE_SIZE, Batching
from handrail.serve.generation_metrics import Generated
from handrail.serve.messages import Header, framed
from handrail.serve.metrics import Metrics
from handrail.serve.talks import Asked, Link, Said, Stream, Talk, problem_told, too_late

# A replica that does not say how many it continues at once.
SLOTS: Final = 8
# A step that reads a part of a long prompt takes longer than a batch of rows.
LONGER_STEPS: Final = 3.0
# Weights of gigabytes are hashed and packed before a replica is ready.
LONGEST_START_S: Final = 300.0
# What a continuation is thought to take before any was seen.
GUESSED_S: Final = 2.0
LEARNT: Final = 0.1
# One continuation with settings that nobody chose, as JSON: `predict` answers with it.
Prompted = Callable[[Sequence[Any]], Asked]


@dataclass(eq=False)
class Line:
    """What runs in one replica. `asked` is when it was asked whether it is there, None once it said so."""

    running: dict[int, Stream] = field(default_factory=dict)
    slots: int = SLOTS
    leaving: bool = False
    asked: float | None = None
    state: Mapping[str, float] = field(default_factory=dict)

    @property
    def suspects(self) -> list[Stream]:
        return [stream for stream in self.running.values() if stream.suspect]


class Streams:
    """Stands where a `Batcher` stands for other models. Lives on one event loop; nothing here awaits.

    Clients take turns. A replica gets as many continuations as it has slots; what ran in one that died goes on in
    another after the tokens that were written, with the same seed, so that its client notices nothing.
    """

    def __init__(
        self, metrics: Metrics, prompted: Prompted, batching: Batching | None = None, *, whole_s: float = 600.0,
        words: str = "",
    ) -> None:  # fmt: skip
        """`prompted` makes of a row what is asked; `whole_s` is how long a continuation may take in all; `words` says
        which tokenizer the model has: tokens of one mean nothing to another."""
        self.batching = batching or Batching()
        self.generated = Generated()
        # Called when something is asked while no replica is there: a pool that sleeps wakes.
        self.wanting: Callable[[], object] | None = None
        self.whole_s = whole_s
        self._metrics = metrics
        self._prompted = prompted
        self._words = words
        self._queues: dict[str, deque[Stream]] = {}
        self._waiting = 0
        self._lines: dict[Link, Line] = {}
        self._numbers = 0
        self._takes_s = GUESSED_S
        self._quarantine: dict[bytes, float] = {}
        self._planned = False
        self._loop = asyncio.get_running_loop()

    # The application's side.

    def open(self, asked: Sequence[Asked], *, client: str, timeout_s: float, whole_s: float | None = None) -> Talk:
        """Continuations of one request, read with `Talk.some`. `timeout_s` is how long they may wait for a replica,
        `whole_s` how long they may take in all.

        Raises HandrailError ("overloaded") when too much waits already, or one like these crashed replicas before.
        """
        self._refuse_too_many(len(asked), timeout_s)
        for one in asked:
            self._refuse_quarantined(one)
        now = time.perf_counter()
        talk = Talk()
        for place, one in enumerate(asked):
            deadline = now + (self.whole_s if whole_s is None else whole_s)
            stream = Stream(
                self._number(), one, client, talk, place, self._give_up, now, deadline, timeout_s, now + timeout_s
            )
            talk.add(stream)
            self._enqueue(stream)
        self._plan()
        if self.wanting is not None and not self._lines:
            self.wanting()
        return talk

    def submit(self, rows: Sequence[Any], *, timeout_s: float, do: str = "predict") -> asyncio.Future[list[bytes]]:
        """The answers to rows of prompts, one JSON text for each; cancelling it takes the work back."""
        if do != "predict":
            raise HandrailError("usage", "a text is not explained", "leave explain out")
        talk = self.open([self._prompted(row) for row in rows], client="", timeout_s=timeout_s)
        answers = asyncio.ensure_future(_answers(talk))
        # Not in the task itself: one that is cancelled before its first step would never get there.
        answers.add_done_callback(lambda _: talk.close())
        return answers

    def retry_after_s(self) -> int:
        """When it is worth trying again: about when what waits now is being written."""
        return max(1, min(60, math.ceil(self.wait_s())))

    def wait_s(self, more: int = 0) -> float:
        """How long `more` continuations more would wait for a slot, judged by what those before took."""
        slots = sum(line.slots for line in self._lines.values()) or SLOTS
        free = slots - sum(len(line.running) for line in self._lines.values())
        return max(0, self._waiting + more - free) * self._takes_s / slots

    @property
    def waiting(self) -> int:
        return self._waiting

    @property
    def running(self) -> int:
        return sum(len(line.running) for line in self._lines.values())

    @property
    def is_quiet(self) -> bool:
        """True when nothing waits and nothing is being written."""
        return not self._waiting and not self.running

    def states(self) -> list[Mapping[str, float]]:
        """What each replica said of itself last."""
        return [line.state for line in self._lines.values()]

    # The pool's side.

    def joined(self, link: Link) -> None:
        """A replica is up and idle."""
        self._lines[link] = Line(slots=int(link.told.get("slots", SLOTS)))
        self._plan()

    def replied(self, link: Link, header: Header, payload: bytes) -> None:
        """A replica says something: pieces of what it writes, or that it is there."""
        line = self._lines.get(link)
        if line is None:
            return
        line.asked = None
        line.state = header.get("state", line.state)
        for piece in header.get("pieces", ()):
            stream = line.running.get(piece[0])
            if stream is not None:
                self._hear(line, stream, *piece[1:])
        if line.leaving and not line.running:
            self._drop(link)
        elif self._waiting:
            self._pump()

    def lost(self, link: Link, *, crashed: bool = True) -> None:
        """A replica died: what it was writing goes on in another. Where it crashed, each of them is a suspect until it
        has got one token further; suspects are let in one by one, so that the next crash says who it is."""
        line = self._lines.pop(link, None)
        if line is None:
            return
        now = time.perf_counter()
        blamed = line.suspects or list(line.running.values())
        for stream in reversed(list(line.running.values())):
            stream.link = None
            stream.patience = now + stream.patience_s  # What it has written took none of its patience.
            stream.tries += 1
            if crashed:
                stream.crashes += stream in blamed
                stream.suspect = True
            if not self._is_hopeless(stream, alone=len(blamed) == 1):
                self.generated.resumed += 1
                self._enqueue(stream, first=True)
        self._plan()

    def retire(self, link: Link) -> None:
        """A replica is to go: at once when it is idle, else when it has written what it has."""
        line = self._lines.get(link)
        if line is None:
            return
        line.leaving = True
        if not line.running:
            self._drop(link)

    def take_from(self, other: Streams) -> None:
        """What waits there, waits here from now on: for two versions that read the same prompts. What has tokens goes
        on here only where they mean the same."""
        for client, queue in list(other._queues.items()):
            moved = [stream for stream in queue if self._words == other._words or not stream.has_tokens]
            for stream in moved:
                queue.remove(stream)
                other._waiting -= 1
                stream.number, stream.give_up = self._number(), self._give_up
                self._enqueue(stream)
            if not queue:
                del other._queues[client]
        self._plan()
        if self._waiting and self.wanting is not None and not self._lines:
            self.wanting()

    def tick(self, hang_s: float, *, ping: bool) -> None:
        """Now and then: tells the late, kills who hangs, and asks replicas whether they are there."""
        now = time.perf_counter()
        for stream in self._everything():
            if now > stream.deadline or (stream.link is None and now > stream.patience):
                stream.talk.fail(too_late(stream))
        for link, line in list(self._lines.items()):
            if line.asked is not None and now - line.asked > hang_s:
                link.kill()
            elif ping and line.asked is None:
                line.asked = now
                link.send(framed({"do": "ping"}))

    def close(self) -> None:
        """Fails what still waits or runs."""
        for stream in self._everything():
            stream.talk.fail(HandrailError("overloaded", "the server is stopping", "try again later"))

    # Between the two.

    def _everything(self) -> list[Stream]:
        waiting = [stream for queue in self._queues.values() for stream in queue]
        return [*waiting, *(stream for line in self._lines.values() for stream in line.running.values())]

    def _refuse_too_many(self, more: int, timeout_s: float) -> None:
        limit = self.batching.max_in_flight
        over = limit is not None and self._waiting + self.running + more > max(limit, more)
        if over or (
            self._waiting
            and (self._waiting + more > self.batching.max_waiting or self.wait_s(more) > PATIENCE * timeout_s)
        ):
            self._metrics.refused += 1
            raise HandrailError("overloaded", "too much is waiting already", f"try again in {self.retry_after_s()} s")

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _enqueue(self, stream: Stream, *, first: bool = False) -> None:
        queue = self._queues.setdefault(stream.client, deque())
        if first:
            queue.appendleft(stream)
        else:
            queue.append(stream)
        self._waiting += 1

    def _plan(self) -> None:
        # One turn of the loop later, so that requests that arrived together travel together.
        if self._waiting and self._lines and not self._planned:
            self._planned = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._planned = False
        while self._waiting and (found := self._roomiest()) is not None:
            link, line = found
            stream = self._next(line)
            if stream is None:
                return
            self._send(link, line, stream)

    def _roomiest(self) -> tuple[Link, Line] | None:
        """The replica with the most room; none of those where a suspect has yet to show that it is none."""
        free = [
            (line.slots - len(line.running), link, line)
            for link, line in self._lines.items()
            if not line.leaving and len(line.running) < line.slots and not line.suspects
        ]
        if not free:
            return None
        _, link, line = max(free, key=lambda one: one[0])
        return link, line

    def _next(self, line: Line) -> Stream | None:
        """Clients take turns: the first of the first one's queue, which then goes to the end."""
        for client in list(self._queues):
            queue = self._queues.pop(client)
            stream = queue.popleft()
            if queue:
                self._queues[client] = queue
            self._waiting -= 1
            return stream
        return None

    def _send(self, link: Link, line: Line, stream: Stream) -> None:
        now = time.perf_counter()
        if not stream.sent:
            self._metrics.queue_s.observe(now - stream.queued)
            self.generated.phase_s["queue"].observe(now - stream.queued)
            stream.sent = now
        stream.link = link
        line.running[stream.number] = stream
        asked = stream.asked
        told = {"id": stream.number, "prompt": asked.prompt, "settings": asked.settings, "index": asked.index,
                "client": stream.client, "resume": stream.tokens}  # fmt: skip
        link.send(framed({"do": "submit"}, orjson.dumps(told)))

    def _hear(
        self, line: Line, stream: Stream, text: str, tokens: list[int], logprobs: Any, finish: str | None,
        usage: dict[str, Any] | None, problem: dict[str, Any] | None,
    ) -> None:  # fmt: skip
        now = time.perf_counter()
        stream.suspect = False
        stream.tokens += tokens
        if not stream.first and tokens:
            stream.first = now
            self.generated.first_token_s.observe(now - stream.queued)
            self.generated.phase_s["prompt"].observe(now - stream.sent)
        self.generated.tokens["completion"] += len(tokens)
        if finish is not None:
            del line.running[stream.number]
            self._end(stream, now, usage or {})
        if problem is not None or finish in ("failed", "cancelled"):
            stream.talk.fail(problem_told(problem))
        elif text or tokens or finish is not None:
            usage = None if usage is None else {**usage, **stream.took(now)}
            stream.talk.say(Said(stream.place, text, tokens, logprobs, finish, usage))

    def _end(self, stream: Stream, now: float, usage: Mapping[str, Any]) -> None:
        stream.is_over = True
        self._takes_s += LEARNT * (now - stream.sent - self._takes_s)
        self.generated.tokens["prompt"] += int(usage.get("prompt_tokens", 0))
        self.generated.tokens["cached"] += int(usage.get("cached_tokens", 0))
        if stream.first:
            self.generated.phase_s["writing"].observe(now - stream.first)

    def _give_up(self, stream: Stream) -> None:
        """Nobody waits for it any more: its slot is free at the replica's next step."""
        stream.is_over = True
        self.generated.cancelled += 1
        link = stream.link
        if link is None:
            queue = self._queues.get(stream.client)
            if queue is not None and stream in queue:
                queue.remove(stream)
                self._waiting -= 1
                if not queue:
                    del self._queues[stream.client]
            return
        line = self._lines.get(link)
        if line is not None and line.running.pop(stream.number, None) is not None:
            link.send(framed({"do": "cancel"}, orjson.dumps({"id": stream.number})))
            if line.leaving and not line.running:
                self._drop(link)
            self._plan()

    def _drop(self, link: Link) -> None:
        self._lines.pop(link, None)
        link.close()

    def _is_hopeless(self, stream: Stream, *, alone: bool) -> bool:
        """Fails one that crashes replicas, or whose replicas were ended again and again."""
        if stream.crashes >= MAX_CRASHES and alone:
            self._quarantine_one(stream.asked)
            error = HandrailError("data", "the model crashed on this request, twice", "send another prompt")
        elif stream.tries >= MAX_TRIES:
            error = HandrailError("bug", "the model's processes were ended again and again", "try again later")
        else:
            return stream.is_over
        stream.is_over = True
        stream.talk.fail(error)
        return True

    def _quarantine_one(self, asked: Asked) -> None:
        if len(self._quarantine) >= QUARANTINE_SIZE:
            self._quarantine.pop(next(iter(self._quarantine)))
        self._quarantine[_key(asked)] = time.perf_counter() + QUARANTINE_S

    def _refuse_quarantined(self, asked: Asked) -> None:
        until = self._quarantine.get(_key(asked)) if self._quarantine else None
        if until is not None and time.perf_counter() < until:
            raise HandrailError(
                "data", "this request crashed the model before; it is not tried again for a while",
                "send another prompt",
            )  # fmt: skip


async def _answers(talk: Talk) -> list[bytes]:
    return [orjson.dumps(answer_of(said)) for said in await talk.all()]


def answer_of(said: Sequence[Said]) -> dict[str, Any]:
    """One whole continuation as an answer."""
    return {"text": "".join(one.text for one in said), "finish": said[-1].finish, "usage": said[-1].usage}


def _key(asked: Asked) -> bytes:
    settings = {name: value for name, value in asked.settings.items() if name != "seed"}
    return hashlib.sha256(orjson.dumps([asked.prompt, settings])).digest()
