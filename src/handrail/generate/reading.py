"""Reads prompts piece by piece between the steps of those that run, so that a long one stalls nobody."""

from __future__ import annotations

from typing import Final

from handrail.generate.continuation import Continuation
from handrail.generate.slots import Slots
from handrail.runtimes.decoder.session import Decoder

# Where nobody runs who could be stalled, or so many wait for their first token, more is read at once.
CROWD: Final = 8
CROWD_TIMES: Final = 2
# A smaller piece of a prompt would cost nearly as much as this one.
LEAST_PIECE: Final = 8
# So many tokens that somebody else is reading just now are worth waiting for.
WORTH_WAITING: Final = 32


class Reading:
    """The continuations whose prompts are not yet read, oldest first."""

    def __init__(self, decoder: Decoder, slots: Slots, tokens: int) -> None:
        self._decoder, self._slots, self._tokens = decoder, slots, tokens
        self._waiting: list[Continuation] = []
        self._oldest_first = False
        self.read_tokens = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, continuation: Continuation) -> None:
        self._waiting.append(continuation)

    def remove(self, continuation: Continuation) -> None:
        if continuation in self._waiting:
            self._waiting.remove(continuation)

    def step(self) -> None:
        """Reads a bounded number of tokens; whose prompt is read runs from then on.

        Every other time the shortest prompts come first, so that a few words need not wait for a book; in between the
        oldest, so that the book is read, too.
        """
        is_urgent = len(self._waiting) >= CROWD or not self._slots.rows
        left = self._tokens * (CROWD_TIMES if is_urgent else 1)
        self._oldest_first = not self._oldest_first
        order = list(self._waiting) if self._oldest_first else sorted(self._waiting, key=lambda each: each.to_read)
        for continuation in order:
            if continuation.held == 0:
                self._slots.take_over(continuation)
                if self._is_worth_waiting(continuation):
                    continue
            if continuation.to_read <= left:  # It goes to its place among those that run while little is to be moved.
                self._waiting.remove(continuation)
                self._slots.join(continuation)
            if continuation.to_read:
                left -= self._read(continuation, left)
            if left < LEAST_PIECE:
                break

    def _is_worth_waiting(self, continuation: Continuation) -> bool:
        """Whether an older one is about to read much of the same."""
        for other in self._waiting:
            if other is continuation:
                return False
            if self._slots.shared_with(continuation, other) - continuation.held >= WORTH_WAITING:
                return True
        return False

    def _read(self, continuation: Continuation, most: int) -> int:
        size = min(continuation.to_read, most)
        begin = continuation.held
        piece = continuation.context[begin : begin + size]
        self._decoder.prefill(continuation.slot, piece, begin, wants=False)
        if continuation.read == begin:
            continuation.read += size
        continuation.held += size
        self._slots.grew(continuation)
        self.read_tokens += size
        return size
