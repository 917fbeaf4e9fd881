"""One continuation from its prompt to its end: its tokens, what of them is in the decoder, and what was told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from handrail.core.errors import HandrailError
from handrail.encode.tokens import Detokenizer, Tokenizer
from handrail.generate.grammar import Grammar
from handrail.generate.penalties import penalties_for
from handrail.generate.pieces import Finish, Piece, TokenLogprob, Usage
from handrail.generate.settings import Settings
from handrail.generate.stops import Stops


@dataclass(frozen=True)
class Request:
    """What the continuations of one request have in common; moments are those of the generator's clock."""

    id: int
    client: str
    settings: Settings
    seed: int
    submitted_s: float
    ends_s: float | None

    @property
    def is_exact(self) -> bool:
        """Whether the same text must come out each time: nothing that depends on others' past may be taken over."""
        return self.settings.seed is not None or self.settings.temperature == 0


class Continuation:
    """Tokens that grow. The decoder's slot holds `held` of them from `start` on; the last one is never held.

    `read` of those held were computed as part of a prompt, the others one by one: the same numbers but for the last
    bits.
    """

    def __init__(
        self,
        request: Request,
        index: int,
        prompt: np.ndarray,
        *,
        tokenizer: Tokenizer,
        window: int,
        grammar: Grammar | None,
    ) -> None:
        self.request, self.settings, self.index = request, request.settings, index
        self.slot = -1
        self.start = self.held = self.read = self.cached = 0
        self.finish: Finish | None = None
        self.grammar = grammar
        self.penalties = penalties_for(request.settings, prompt)
        self._prompt_size = self._count = len(prompt)
        self._tokens = np.concatenate([prompt, np.zeros(64, np.int64)])
        self._window = window
        self._ends = tokenizer.ends if grammar or not request.settings.ignore_end else frozenset()
        self._text = Detokenizer(tokenizer)
        self._stops = Stops(request.settings.stop)
        self._first_token_s: float | None = None
        self._begin_within_window()

    @property
    def written(self) -> int:
        """How many tokens it has written; the next one is at this place."""
        return self._count - self._prompt_size

    @property
    def context(self) -> np.ndarray:
        """The tokens within the window, (count,)."""
        return self._tokens[self.start : self._count]

    @property
    def to_read(self) -> int:
        """How many tokens must be read before the last one can be continued."""
        return self._count - 1 - self.start - self.held

    @property
    def need(self) -> int:
        """The most tokens that its slot will ever hold."""
        return min(self._window, self._prompt_size + self.settings.max_tokens)

    @property
    def last(self) -> int:
        return int(self._tokens[self._count - 1])

    def resume(self, tokens: Sequence[int]) -> None:
        """Goes on after what was written and told before."""
        for token in tokens:
            if self.finish is None:
                self._write(token)
        self._begin_within_window()

    def take(self, token: int, logprob: TokenLogprob | None, now_s: float) -> Piece:
        """The next token was chosen: what there is to tell."""
        if self._first_token_s is None:
            self._first_token_s = now_s
        before = self.written
        text = self._write(token)
        if self.written == before:
            return self.piece(text, now_s)
        self._begin_within_window()
        return self.piece(text, now_s, (token,), None if logprob is None else (logprob,))

    def end(self, finish: Finish, now_s: float, problem: HandrailError | None = None) -> Piece:
        """It ends for a reason that is not in its text."""
        self.finish = finish
        return self.piece(self._stops.rest(), now_s, problem=problem)

    def piece(
        self,
        text: str,
        now_s: float,
        tokens: tuple[int, ...] = (),
        logprobs: tuple[TokenLogprob, ...] | None = None,
        problem: HandrailError | None = None,
    ) -> Piece:
        usage = self._usage(now_s) if self.finish else None
        return Piece(self.request.id, self.index, text, tokens, logprobs, self.finish, usage, problem)

    def _write(self, token: int) -> str:
        """Adds one token; the text that is certain now."""
        if token in self._ends:
            self.finish = "stop"
            return self._stops.rest()
        self._append(token)
        text = self._stops.feed(self._text.feed((token,)))
        if self.penalties:
            self.penalties.count((token,))
        if self.grammar:
            self.grammar.take(token)
        if self._stops.is_met or (self.grammar and self.grammar.is_done):
            self.finish = "stop"
        elif self.written >= self.settings.max_tokens:
            self.finish = "length"
        return text + self._stops.rest() if self.finish else text

    def _append(self, token: int) -> None:
        if self._count == len(self._tokens):
            self._tokens = np.concatenate([self._tokens, np.zeros_like(self._tokens)])
        self._tokens[self._count] = token
        self._count += 1

    def _begin_within_window(self) -> None:
        """Where the window is full, its earlier half is left and the later half must be read again.

        Where it begins depends on the number of tokens alone: a text that was resumed slides where the first did.
        """
        left = self._window - self._window // 2
        start = -(-max(0, self._count - self._window) // left) * left
        if start != self.start:
            self.start, self.held, self.read = start, 0, 0

    def _usage(self, now_s: float) -> Usage:
        since = self.request.submitted_s
        first = since if self._first_token_s is None else self._first_token_s
        return Usage(self._prompt_size, self.written, self.cached, self.start, first - since, now_s - since)
