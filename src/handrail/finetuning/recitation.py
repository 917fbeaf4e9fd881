"""How much of what a model writes is copied word by word from the text it learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

# So many tokens in a row that stand in the training text, too, are copied: about a line and more.
RUN: Final = 12
# Where tokens are single characters, a run has to be as long as that many words are.
RUN_CHARACTERS: Final = 50
# Places of the training text that one run is followed from, to find the longest.
MOST_PLACES: Final = 20
FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
# A share of copied tokens that is this far above what new text of the same kind has deserves a warning.
WORTH_SAYING: Final = 0.2


@dataclass(frozen=True)
class Copied:
    """`share` of the tokens stand in runs of the training text; the longest of these has `longest` tokens."""

    share: float
    longest: int
    tokens: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Source:
    """A training text in which runs of tokens are looked up. Different runs have the same number once in 2^64."""

    def __init__(self, tokens: np.ndarray, run: int = RUN) -> None:
        self._run = run
        self._tokens = np.asarray(tokens, np.int64)
        numbers = _numbers(self._tokens, run)
        self._order = np.argsort(numbers, kind="stable")
        self._sorted = numbers[self._order]

    def copied(self, texts: Sequence[Sequence[int]]) -> Copied:
        """How much of some texts, each a list of tokens, is copied from this one."""
        marked = longest = total = 0
        for text in texts:
            tokens = np.asarray(text, np.int64)
            numbers = _numbers(tokens, self._run)
            starts = np.searchsorted(self._sorted, numbers)
            found = starts < len(self._sorted)
            found[found] = self._sorted[starts[found]] == numbers[found]
            covered = np.zeros(len(tokens), bool)
            for place in np.flatnonzero(found):
                covered[place : place + self._run] = True
                longest = max(longest, self._longest(tokens, int(place), int(starts[place])))
            marked += int(covered.sum())
            total += len(tokens)
        return Copied(marked / max(1, total), longest, total)

    def _longest(self, tokens: np.ndarray, place: int, start: int) -> int:
        """How far the run goes on that begins at `place`, in the best of the first places where it stands."""
        best = 0
        for there in self._order[start : start + MOST_PLACES]:
            length = min(len(tokens) - place, len(self._tokens) - int(there))
            same = tokens[place : place + length] == self._tokens[there : there + length]
            best = max(best, length if same.all() else int(same.argmin()))
        return best


def warning(greedy: Copied, sampled: Copied, new: Copied | None) -> str:
    """A sentence where the model copies much more than new text of the same kind repeats anyhow; "" where not."""
    usual = new.share if new is not None else 0.0
    most = max(greedy.share, sampled.share)
    if most - usual < WORTH_SAYING:
        return ""
    beside = f" (text that it never saw: {usual:.0%})" if new is not None else ""
    return (
        f"it recites: {most:.0%} of what it writes stands word by word in the training text{beside}; "
        "more text, or fewer passes over it, help"
    )


def run_of(characters: int, tokens: int) -> int:
    """How many tokens in a row count as copied, where so many tokens write so many characters."""
    return max(RUN, round(RUN_CHARACTERS * tokens / max(1, characters)))


def _numbers(tokens: np.ndarray, run: int) -> np.ndarray:
    """A number for each run of so many tokens, (tokens - run + 1,) uint64."""
    count = len(tokens) - run + 1
    if count <= 0:
        return np.zeros(0, np.uint64)
    found = np.zeros(count, np.uint64)
    with np.errstate(over="ignore"):
        for offset in range(run):
            found = found * FACTOR + (tokens[offset : offset + count].astype(np.uint64) + np.uint64(1))
            found ^= found >> np.uint64(29)
    return found
