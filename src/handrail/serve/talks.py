"""What one request for text waits for: its continuations, and what is said of them as it comes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from handrail.core.errors import HandrailError
from handrail.serve.messages import Header

# What a client may leave unread before it is given up; it reads some kilobytes ahead in the sockets, too.
MOST_UNREAD: Final = 8_192


class Said(NamedTuple):
    """A piece of one continuation. `place` says which of the request's; `logprobs`, where they were asked for, are
    `[token, bytes, logprob, [[token, bytes, logprob], …]]` for each token. `usage` stands in the last one."""

    place: int
    text: str
    tokens: Sequence[int] = ()
    logprobs: Sequence[Any] | None = None
    finish: str | None = None
    usage: dict[str, Any] | None = None


@dataclass(frozen=True)
class Asked:
    """One continuation as it is asked for. `prompt` has a text, tokens, or messages (and tools); `settings` are as
    `generate.settings` reads them, with a seed; `index` is which of several of the same prompt it is."""

    prompt: Header
    settings: Header
    index: int = 0


class Link(Protocol):
    """A replica that is up. `told` is what it said when it was ready."""

    @property
    def told(self) -> Header: ...
    def send(self, message: bytes) -> None: ...
    def kill(self) -> None: ...
    def close(self) -> None: ...


@dataclass(eq=False)
class Stream:
    """One continuation on its way. `tokens` are those that are written, so that another replica may go on after them;
    `suspect`: a replica crashed while it ran, and nothing has come of it since. `patience` is until when it waits for a
    replica, for `patience_s` each time; `deadline` is when it has to be whole."""

    number: int
    asked: Asked
    client: str
    talk: Talk
    place: int
    give_up: Callable[[Stream], None]
    queued: float
    deadline: float
    patience_s: float
    patience: float
    tokens: list[int] = field(default_factory=list)
    link: Link | None = None
    sent: float = 0.0
    first: float = 0.0
    crashes: int = 0
    tries: int = 0
    suspect: bool = False
    is_over: bool = False

    @property
    def has_tokens(self) -> bool:
        """Whether it is begun, or asked for, in tokens: only who has the same tokenizer can go on with it."""
        return bool(self.tokens) or "tokens" in self.asked.prompt

    def took(self, now: float) -> Header:
        """What it took as its client sees it, whichever replicas wrote it."""
        first_s = (self.first or now) - self.queued
        return {"completion_tokens": len(self.tokens), "first_token_s": round(first_s, 6),
                "seconds": round(now - self.queued, 6)}  # fmt: skip


class Talk:
    """All continuations of one request. Read it with `some`; `close` gives up what is not written yet."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self._said: deque[Said] = deque()
        self._left = 0
        self._problem: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def add(self, stream: Stream) -> None:
        self.streams.append(stream)
        self._left += 1

    def say(self, said: Said) -> None:
        """Something of one continuation came."""
        if self._problem is not None:
            return
        self._said.append(said)
        self._left -= said.finish is not None
        if len(self._said) > MOST_UNREAD:
            self.fail(HandrailError("timeout", "the text was not read as it came", "read it faster"))
        self._wake()

    def fail(self, problem: Exception) -> None:
        """None of its continuations comes to its end."""
        if self._problem is None and self._left:
            self._problem = problem
            self.close()
            self._wake()

    async def some(self) -> list[Said]:
        """What came since the last call, at least one piece; nothing when all has come. Raises what went wrong."""
        while not self._said:
            if self._problem is not None:
                raise self._problem
            if not self._left:
                return []
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        found = list(self._said)
        self._said.clear()
        return found

    async def all(self) -> list[list[Said]]:
        """Everything, continuation by continuation. Raises what went wrong."""
        found: list[list[Said]] = [[] for _ in self.streams]
        while some := await self.some():
            for said in some:
                found[said.place].append(said)
        return found

    def close(self) -> None:
        """Nobody waits for the rest."""
        for stream in self.streams:
            if not stream.is_over:
                stream.give_up(stream)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def too_late(stream: Stream) -> HandrailError:
    """What a client hears whose time is over."""
    what = "no replica was free in time" if stream.link is None else "the text took longer than allowed"
    return HandrailError("timeout", what, "try again, or ask for fewer tokens")


def problem_told(problem: Mapping[str, Any] | None) -> HandrailError:
    """What went wrong in a replica, as it said it."""
    if problem is None:
        return HandrailError("bug", "the text was cut off", "try again")
    return HandrailError(problem["code"], problem["problem"], problem["mend"], field=problem.get("field"))
