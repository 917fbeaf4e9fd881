"""Many continuations at once on one decoder: they join and leave between steps, and none stalls the others."""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Generator as Coroutine
from typing import Final

import numpy as np

from handrail.core.errors import HandrailError
from handrail.encode.tokens import Tokenizer
from handrail.generate.chance import chance
from handrail.generate.continuation import Continuation, Request
from handrail.generate.grammar import Grammars
from handrail.generate.pieces import Answered, Finish, Piece, TokenLogprob
from handrail.generate.reading import Reading
from handrail.generate.sampling import Sampler
from handrail.generate.settings import Settings
from handrail.generate.slots import Slots
from handrail.generate.waiting import Waiting
from handrail.runtimes.decoder.session import Decoder

MAX_WAITING: Final = 4096
MAX_PROMPT_TOKENS: Final = 2**20
RATE_S: Final = 10.0
AHEAD: Final = 2
Pieces = Coroutine[Piece, None, None]


class Generator:
    """Continues prompts on a decoder, one fewer at once than it has slots; calls from several threads take turns.

    `budget_bytes` is how much memory keys and values may take (None: as much as the slots can hold, at most 1 GiB, but
    at least one whole window). Whose turn it is waits for memory and holds up those behind it, so that a long one is
    not passed by short ones for ever.
    `prefill_tokens` is how many tokens of prompts are read between two steps of those that run. `keep` is how many
    ended continuations stay in memory for prompts that begin alike.
    """

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Tokenizer,
        *,
        budget_bytes: int | None = None,
        prefill_tokens: int = 128,
        keep: int = 8,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._decoder, self._tokenizer, self._clock = decoder, tokenizer, clock
        self._slots = Slots(decoder, budget_bytes=budget_bytes, keep=keep)
        self._waiting: Waiting[Continuation] = Waiting()
        self._reading = Reading(decoder, self._slots, prefill_tokens)
        self._sampler = Sampler(decoder.shape.vocabulary)
        self._grammars = Grammars(tokenizer)
        self._live: dict[int, list[Continuation]] = {}
        self._cancelled: list[int] = []
        self._last_id = 0
        self._generated_tokens = self._cached_tokens = 0
        self._recent: deque[tuple[float, int]] = deque()
        self._inboxes: dict[int, deque[Piece]] = {}
        # Of a stream that is dropped in the middle of a turn, the end comes within that turn: the lock lets it in.
        self._lock = threading.RLock()

    def submit(
        self,
        prompt: Sequence[int],
        settings: Settings,
        *,
        client: str = "",
        resume: Sequence[int] = (),
        first_index: int = 0,
        timeout_s: float | None = None,
    ) -> int:
        """The id under which pieces come. Clients that wait take turns.

        `resume` are tokens that this continuation has written before, elsewhere: it goes on after them with the same
        chances as if it had never stopped (give the same `seed`, `n` 1, and its index as `first_index`), and their
        text is not told again. They are read as a prompt is, which rounds otherwise in the last bits: where two tokens
        are all but equally likely, it may take the other one.

        Raises HandrailError when the request can never run, or too many wait.
        """
        tokens = self._checked(prompt)
        self._checked(resume or [0])
        with self._lock:
            if len(self._waiting) + settings.n > MAX_WAITING:
                raise HandrailError("overloaded", f"{len(self._waiting):,} continuations wait already", "ask later")
            now = self._clock()
            seed = secrets.randbits(63) if settings.seed is None else settings.seed
            ends = None if timeout_s is None else now + timeout_s
            request = Request(self._last_id + 1, client, settings, seed, now, ends)
            continuations = self._continuations(request, tokens, first_index)
            for continuation in continuations:
                continuation.resume(resume)
            self._last_id = request.id
            self._live[request.id] = continuations
            for continuation in continuations:
                self._waiting.add(client, continuation)
            return request.id

    def cancel(self, request: int) -> None:
        """Ends all continuations of a request at the next step; unknown and ended ids are ignored."""
        with self._lock:
            self._cancelled.append(request)

    def step(self) -> list[Piece]:
        """One turn: some of the prompts' tokens are read, then each running continuation gets one token."""
        with self._lock:
            return self._turn()

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs or waits."""
        return not self._live

    def state(self) -> dict[str, float]:
        """running, reading, waiting; kv_bytes_used, kv_bytes_budget; tokens_per_s over the last seconds;
        generated_tokens, prefilled_tokens, cached_tokens since the beginning."""
        with self._lock:
            self._forget_old(self._clock())
            span = self._clock() - self._recent[0][0] if self._recent else 0.0
            return {
                "running": self._slots.rows,
                "reading": len(self._reading),
                "waiting": len(self._waiting),
                "kv_bytes_used": self._slots.used_bytes,
                "kv_bytes_budget": self._slots.budget_bytes,
                "tokens_per_s": sum(count for _, count in self._recent) / span if span else 0.0,
                "generated_tokens": self._generated_tokens,
                "prefilled_tokens": self._reading.read_tokens,
                "cached_tokens": self._cached_tokens,
            }

    def stream(self, prompt: Sequence[int], settings: Settings) -> Iterator[Piece]:
        """The pieces of one request; leaving the loop cancels it. Several streams share the steps of whoever asks.

        Raises HandrailError at once when the request can never run.
        """
        return self._opened(prompt, settings)

    def answer(self, prompts: Iterable[Sequence[int]], settings: Settings) -> list[list[Answered]]:
        """For each prompt, its `n` whole continuations, in order; no more prompts wait at once than help.

        Raises the problem of one that failed.
        """
        opened: deque[Pieces] = deque()
        answers = []
        try:
            for prompt in prompts:
                opened.append(self._opened(prompt, settings))
                if len(opened) > AHEAD * self._slots.most:
                    answers.append(_answers(opened[0], settings))
                    opened.popleft()
            return answers + [_answers(pieces, settings) for pieces in opened]
        finally:
            for pieces in opened:
                pieces.close()

    def _opened(self, prompt: Sequence[int], settings: Settings) -> Pieces:
        pieces = self._pieces_of(self._listen(prompt, settings), settings.n)
        next(pieces)  # From here on, whoever drops it ends it.
        return pieces

    def _listen(self, prompt: Sequence[int], settings: Settings) -> int:
        with self._lock:  # Nobody takes a turn before there is where its pieces go.
            request = self.submit(prompt, settings)
            self._inboxes[request] = deque()
            return request

    def _pieces_of(self, request: int, unfinished: int) -> Pieces:
        inbox = self._inboxes[request]
        try:
            yield Piece(request, 0, "")
            while unfinished:
                while not inbox:
                    self._deliver(inbox)
                piece = inbox.popleft()
                unfinished -= piece.finish is not None
                yield piece
        finally:
            del self._inboxes[request]
            self.cancel(request)

    def _deliver(self, inbox: deque[Piece]) -> None:
        """Takes a turn for all who listen, unless another thread's turn has just filled this inbox."""
        with self._lock:
            for piece in () if inbox else self._turn():
                if (other := self._inboxes.get(piece.id)) is not None:
                    other.append(piece)

    def _checked(self, prompt: Sequence[int]) -> np.ndarray:
        """The prompt's tokens; an empty one begins as the model's texts begin."""
        if len(prompt) > MAX_PROMPT_TOKENS:
            problem = f"a prompt of {len(prompt):,} tokens"
            raise HandrailError("too_large", problem, f"give at most {MAX_PROMPT_TOKENS:,}", field="prompt")
        begin = self._tokenizer.begin
        marks = [*([] if begin is None else [begin]), *sorted(self._tokenizer.ends)]
        tokens = list(prompt) or marks[:1]
        if not tokens:
            raise HandrailError("data", "the prompt is empty", "give at least one character", field="prompt")
        if min(tokens) < 0 or max(tokens) >= self._decoder.shape.vocabulary:
            problem = f"a prompt with tokens outside 0 to {self._decoder.shape.vocabulary - 1:,}"
            raise HandrailError("data", problem, "take the tokenizer that belongs to this model", field="prompt")
        return np.array(tokens, dtype=np.int64)

    def _continuations(self, request: Request, prompt: np.ndarray, first_index: int) -> list[Continuation]:
        settings = request.settings
        grammar = self._grammars.grammar(settings.json_schema) if settings.json_schema is not None else None
        made = [
            Continuation(
                request,
                first_index + number,
                prompt,
                tokenizer=self._tokenizer,
                window=self._decoder.window,
                grammar=grammar and grammar.copy(),
            )
            for number in range(settings.n)
        ]
        needed = self._slots.bytes_for(made[0].need)
        if needed > self._slots.budget_bytes:
            problem = (
                f"this request may need {needed:,} bytes for keys and values, {self._slots.budget_bytes:,} are given"
            )
            mend = "ask for fewer max_tokens, give a shorter prompt, or give more memory"
            raise HandrailError("too_large", problem, mend, field="max_tokens")
        return made

    def _turn(self) -> list[Piece]:
        now = self._clock()
        pieces = self._end_what_must(now)
        while (first := self._waiting.first()) and (first.finish or self._slots.admit(first)):
            self._admit(self._waiting.take(), pieces, now)
        self._reading.step()
        if self._slots.rows:
            self._write(pieces)
        return pieces

    def _admit(self, continuation: Continuation, pieces: list[Piece], now: float) -> None:
        if continuation.finish:  # It was resumed, and had said everything.
            self._gone(continuation)
            pieces.append(continuation.piece("", now))
        else:
            self._reading.add(continuation)

    def _write(self, pieces: list[Piece]) -> None:
        """One token for each that runs."""
        running = self._slots.running
        tokens = np.array([continuation.last for continuation in running], np.int64)
        held = np.array([continuation.held for continuation in running], np.int32)
        logits = self._decoder.step(len(running), tokens, held)
        logits[:, self._tokenizer.size :] = -np.inf
        now = self._clock()
        for row, continuation in enumerate(running):
            continuation.held += 1
            self._slots.grew(continuation)
            pieces.append(self._next(continuation, logits[row], now))
        for continuation in running:
            if continuation.finish:
                self._slots.release(continuation)
                self._gone(continuation)
            elif continuation.to_read:  # The window slid.
                self._slots.leave(continuation)
                self._reading.add(continuation)
        self._generated_tokens += len(running)
        self._recent.append((now, len(running)))
        self._forget_old(now)

    def _next(self, continuation: Continuation, logits: np.ndarray, now: float) -> Piece:
        """The next token of one continuation; what goes wrong in it ends it alone."""
        try:
            token, logprob = self._chosen(continuation, logits)
            return continuation.take(token, logprob, now)
        except HandrailError as problem:
            return continuation.end("failed", now, problem)

    def _chosen(self, continuation: Continuation, logits: np.ndarray) -> tuple[int, TokenLogprob | None]:
        settings, request = continuation.settings, continuation.request
        raw = logits.copy() if settings.logprobs is not None else logits
        if continuation.penalties:
            continuation.penalties.apply(logits)
        if continuation.grammar:
            continuation.grammar.restrict(logits)
        token = self._sampler.choose(logits, settings, chance(request.seed, continuation.index, continuation.written))
        if settings.logprobs is None:
            return token, None
        return token, self._sampler.logprob(raw, token, settings.logprobs)

    def _end_what_must(self, now: float) -> list[Piece]:
        """Ends those that were cancelled, and those whose time is over."""
        cancelled, self._cancelled = self._cancelled, []
        pieces = [
            self._end(continuation, "cancelled", now, None)
            for request in cancelled
            for continuation in list(self._live.get(request, ()))
        ]
        late = [
            continuation
            for continuations in self._live.values()
            for continuation in continuations
            if continuation.request.ends_s is not None and continuation.request.ends_s <= now
        ]
        problem = HandrailError("timeout", "the time given for this answer is over", "give more time, or ask for less")
        return pieces + [self._end(continuation, "failed", now, problem) for continuation in late]

    def _end(self, continuation: Continuation, finish: Finish, now: float, problem: HandrailError | None) -> Piece:
        if continuation.slot < 0:
            self._waiting.remove(continuation.request.client, continuation)
        else:
            self._reading.remove(continuation)
            self._slots.release(continuation)
        self._gone(continuation)
        return continuation.end(finish, now, problem)

    def _gone(self, continuation: Continuation) -> None:
        self._cached_tokens += continuation.cached
        alive = self._live[continuation.request.id]
        alive.remove(continuation)
        if not alive:
            del self._live[continuation.request.id]

    def _forget_old(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - RATE_S:
            self._recent.popleft()


def _answers(pieces: Iterator[Piece], settings: Settings) -> list[Answered]:
    """The pieces of one request put together, by index. Raises the problem of one that failed."""
    own: list[list[Piece]] = [[] for _ in range(settings.n)]
    for piece in pieces:
        if piece.problem is not None:
            raise piece.problem
        own[piece.index].append(piece)
    return [_answered(some, settings) for some in own]


def _answered(pieces: Sequence[Piece], settings: Settings) -> Answered:
    last = pieces[-1]
    assert last.finish is not None and last.usage is not None
    logprobs = tuple(logprob for piece in pieces for logprob in piece.logprobs or ())
    return Answered(
        text="".join(piece.text for piece in pieces),
        tokens=tuple(token for piece in pieces for token in piece.tokens),
        logprobs=None if settings.logprobs is None else logprobs,
        finish=last.finish,
        usage=last.usage,
    )
