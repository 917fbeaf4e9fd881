"""Which slot of the decoder holds what: the running ones first, memory within a budget, prefixes taken over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from handrail.generate.continuation import Continuation
from handrail.runtimes.decoder.session import Decoder

# Memory comes in pages; with the usual sizes one page holds 16 tokens of one head.
PAGE_TOKENS: Final = 16
# Copying fewer tokens than this is not worth the search.
LEAST_SHARED: Final = 4
LEAST_KEPT: Final = 32
USUAL_BYTES: Final = 2**30
NOTHING: Final = np.zeros(0, np.int64)


@dataclass
class Slot:
    """What is in one slot: a continuation's tokens, or those kept of one that ended, or nothing.

    `touched` is how many tokens' memory it may take; `used` the turn in which it was last of use.
    """

    continuation: Continuation | None = None
    kept: np.ndarray = field(default_factory=lambda: NOTHING)
    kept_read: int = 0
    touched: int = 0
    used: int = 0

    @property
    def is_free(self) -> bool:
        return self.continuation is None and not len(self.kept)

    @property
    def tokens(self) -> np.ndarray:
        """The tokens whose keys and values are there."""
        if self.continuation is None:
            return self.kept
        return self.continuation.context[: self.continuation.held]

    @property
    def read(self) -> int:
        return self.kept_read if self.continuation is None else self.continuation.read

    @property
    def need(self) -> int:
        return self.touched if self.continuation is None else max(self.touched, self.continuation.need)


class Slots:
    """The decoder's slots. The first `rows` hold the running continuations, without a gap."""

    def __init__(self, decoder: Decoder, *, budget_bytes: int | None, keep: int) -> None:
        self._decoder = decoder
        self._slots = [Slot() for _ in range(decoder.slots)]
        self._keep = keep
        self._turn = 0
        window = self.bytes_for(decoder.window)
        usual = max(window, min(decoder.slots * window, USUAL_BYTES))
        self.budget_bytes = usual if budget_bytes is None else budget_bytes
        self.rows = 0
        # One slot is left for whoever must make way.
        self.most = max(1, decoder.slots - 1)

    @property
    def running(self) -> list[Continuation]:
        return [slot.continuation for slot in self._slots[: self.rows] if slot.continuation]

    @property
    def used_bytes(self) -> int:
        return sum(self.bytes_for(slot.need) for slot in self._slots)

    def bytes_for(self, tokens: int) -> int:
        """The memory that so many tokens of one continuation take."""
        return -(-tokens // PAGE_TOKENS) * PAGE_TOKENS * self._decoder.token_bytes

    def admit(self, continuation: Continuation) -> bool:
        """Gives it a slot if there is one, and memory for all that it may become; otherwise it must wait."""
        taken = [slot for slot in self._slots if slot.continuation]
        memory = sum(self.bytes_for(slot.need) for slot in taken) + self.bytes_for(continuation.need)
        if len(taken) >= self.most or memory > self.budget_bytes:
            return False
        self._turn += 1
        number = self._slot_for(continuation)
        slot = self._slots[number]
        slot.continuation, slot.kept = continuation, NOTHING
        continuation.slot = number
        self._make_room(continuation)
        return True

    def take_over(self, continuation: Continuation) -> None:
        """Copies what another slot holds of the same beginning, where nothing was read yet."""
        number, shared = self._longest(continuation, range(len(self._slots)))
        if shared <= continuation.held:
            return
        self._decoder.move(number, continuation.slot, shared)
        self._slots[continuation.slot].touched = max(self._slots[continuation.slot].touched, shared)
        self._slots[number].used = self._turn
        _share(continuation, shared, self._slots[number].read)

    def join(self, continuation: Continuation) -> None:
        """It runs from now on."""
        if continuation.slot != self.rows:
            self._vacate(self.rows)
            self._relocate(continuation.slot, self.rows)
        self.rows += 1

    def leave(self, continuation: Continuation) -> None:
        """It runs no more, and keeps its slot, though perhaps at another place."""
        hole, last = continuation.slot, self.rows - 1
        self.rows -= 1
        if hole != last:
            self._vacate(hole)
            self._relocate(last, hole)

    def release(self, continuation: Continuation) -> None:
        """It ends. What it leaves may be of use for one that begins alike."""
        if continuation.slot < self.rows:
            self.leave(continuation)
        self._let_go(self._slots[continuation.slot])
        self._drop_kept(self._keep)
        self._trim()

    def grew(self, continuation: Continuation) -> None:
        """More of its tokens are held now."""
        slot = self._slots[continuation.slot]
        slot.touched = max(slot.touched, continuation.held)

    def shared_with(self, continuation: Continuation, other: Continuation) -> int:
        """How many tokens both begin with, once the other has read all of its own."""
        return _usable(continuation, other.context[:-1], len(other.context) - 1)

    def _slot_for(self, continuation: Continuation) -> int:
        """A kept one that begins alike, if little is lost with it; else a free one; else the kept one used last."""
        kept = [number for number, slot in enumerate(self._slots) if len(slot.kept)]
        number, shared = self._longest(continuation, kept)
        if 2 * shared > len(self._slots[number].kept):
            _share(continuation, shared, self._slots[number].read)
            return number
        free = [number for number, slot in enumerate(self._slots) if slot.is_free]
        if free:
            return max(free, key=lambda number: self._slots[number].touched)
        return min(kept, key=lambda number: self._slots[number].used)

    def _longest(self, continuation: Continuation, numbers: range | list[int]) -> tuple[int, int]:
        """The slot that holds most of the same beginning, and how much of it can be taken."""
        best, most = 0, 0
        for number in numbers:
            slot = self._slots[number]
            if slot.continuation is continuation:
                continue
            usable = slot.read if continuation.request.is_exact else len(slot.tokens)
            shared = _usable(continuation, slot.tokens, usable)
            if shared > most:
                best, most = number, shared
        return best, most

    def _let_go(self, slot: Slot) -> None:
        tokens, read = slot.tokens, slot.read
        slot.continuation = None
        if self._keep and len(tokens) >= LEAST_KEPT:
            slot.kept, slot.kept_read, slot.used = tokens.copy(), read, self._turn

    def _vacate(self, number: int) -> None:
        """Moves what is in a slot elsewhere; what was only kept is dropped where there is no place."""
        slot = self._slots[number]
        if slot.is_free:
            return
        free = [other for other, place in enumerate(self._slots) if place.is_free]
        if not free:
            self._drop_kept(0, at_most=1)
            free = [other for other, place in enumerate(self._slots) if place.is_free]
        if number not in free:
            self._relocate(number, max(free, key=lambda other: self._slots[other].touched))

    def _relocate(self, source: int, target: int) -> None:
        moved, place = self._slots[source], self._slots[target]
        self._decoder.move(source, target, len(moved.tokens))
        place.continuation, place.kept, place.kept_read, place.used = (
            moved.continuation, moved.kept, moved.kept_read, moved.used,
        )  # fmt: skip
        place.touched = max(place.touched, len(place.tokens))
        moved.continuation, moved.kept = None, NOTHING
        if place.continuation:
            place.continuation.slot = target
        self._trim()

    def _make_room(self, continuation: Continuation) -> None:
        """Drops what is not needed until the budget holds with one that was just admitted."""
        self._trim()
        while self._is_over() and self._drop_kept(0, at_most=1):
            self._trim()
        if self._is_over():  # Its slot was somebody's who needed more.
            self._forget(continuation.slot)
            continuation.held = continuation.read = continuation.cached = 0

    def _is_over(self) -> bool:
        return self.used_bytes > self.budget_bytes

    def _trim(self) -> None:
        """Gives free slots' memory back as long as the budget is passed."""
        for number, slot in enumerate(self._slots):
            if not self._is_over():
                return
            if slot.is_free and slot.touched:
                self._forget(number)

    def _drop_kept(self, most: int, *, at_most: int = 2**30) -> int:
        """Drops what was kept, the one used last first, until `most` are left; how many were dropped."""
        kept = sorted((slot for slot in self._slots if len(slot.kept)), key=lambda slot: slot.used)
        dropped = kept[: min(at_most, max(0, len(kept) - most))]
        for slot in dropped:
            slot.kept = NOTHING
        return len(dropped)

    def _forget(self, number: int) -> None:
        self._decoder.forget(number)
        self._slots[number].touched = 0


def _share(continuation: Continuation, shared: int, read: int) -> None:
    continuation.held, continuation.read = shared, min(shared, read)
    if continuation.written == 0:
        continuation.cached = shared


def _usable(continuation: Continuation, tokens: np.ndarray, usable: int) -> int:
    """How many of another's tokens a continuation can take over as its first ones."""
    wanted = continuation.context[:-1]
    size = min(len(wanted), len(tokens), usable)
    if size < LEAST_SHARED or not np.array_equal(wanted[:LEAST_SHARED], tokens[:LEAST_SHARED]):
        return 0
    differs = wanted[:size] != tokens[:size]
    return int(differs.argmax()) if differs.any() else size
