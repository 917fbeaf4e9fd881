"""Long texts cut into passages that an encoder reads whole: at the ends of sentences, overlapping a little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from handrail.language.sentences import spans

# About 110 word pieces of English; minilm reads 128.
LONGEST: Final = 480
OVERLAP: Final = 120
Span = tuple[int, int]


def passages(text: str, language: str = "en") -> list[Span]:
    """Where the passages of a text start and end; each of its words is in one at least."""
    if len(text) <= LONGEST:
        return [(0, len(text))] if text.strip() else []
    pieces = [piece for span in spans(text, language) for piece in _short(text, *span)]
    return list(_packed(pieces))


def _packed(pieces: Sequence[Span]) -> Iterator[Span]:
    """As many pieces in a row as fit; the next passage begins with the last of them where those are short."""
    first = 0
    while first < len(pieces):
        start = pieces[first][0]
        last = first
        while last + 1 < len(pieces) and pieces[last + 1][1] - start <= LONGEST:
            last += 1
        yield start, pieces[last][1]
        if last + 1 == len(pieces):
            return
        again = last + 1
        # Never back to the piece this passage began with: each passage goes on.
        while again - 1 > first and pieces[last][1] - pieces[again - 1][0] <= OVERLAP:
            again -= 1
        # Nor so far back that the next piece, which did not fit here, does not fit there either.
        while again <= last and pieces[last + 1][1] - pieces[again][0] > LONGEST:
            again += 1
        first = again


def _short(text: str, start: int, end: int) -> Iterator[Span]:
    """A sentence, or, where it is too long, pieces of it, cut at blanks where there are some."""
    while end - start > LONGEST:
        blank = text.rfind(" ", start + LONGEST // 2, start + LONGEST)
        cut = blank if blank > 0 else start + LONGEST
        yield start, cut
        start = cut + 1 if blank > 0 else cut
    if end > start:
        yield start, end
