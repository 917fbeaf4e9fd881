"""Documents as tokens: parted into what is learnt and what is held out, then packed into rows of one length."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from handrail.core.errors import HandrailError
from handrail.finetuning.dialogues import Piece, Render
from handrail.finetuning.documents import Document

HELD_OUT_SHARE: Final = 0.1
# So many pieces, evenly spread, are held out of a text that is one document.
BLOCKS: Final = 5
FEWEST_DOCUMENTS: Final = 5
# With fewer characters than this nothing can be held out.
FEWEST_CHARACTERS: Final = 400
# Tokenizers are given no more at once, so that one line of a gigabyte is like any other text.
MOST_AT_ONCE: Final = 2**16
FEWEST_TOKENS: Final = 2


class Tokenizer(Protocol):
    """What is asked of a tokenizer here (see encode/tokens.py)."""

    begin: int | None

    def encode(self, text: str, *, special: bool = False) -> list[int]: ...


@dataclass(frozen=True)
class Split:
    """Documents to learn from and documents held out, and how they were parted, in words."""

    train: tuple[Document, ...]
    held_out: tuple[Document, ...]
    reason: str


@dataclass(frozen=True)
class Tokens:
    """One long run of tokens. `learnt` says which of them are to be foretold; `size_bytes` is the text of these."""

    ids: np.ndarray  # (tokens,) int32
    learnt: np.ndarray  # (tokens,) bool
    size_bytes: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def distinct(self) -> np.ndarray:
        return np.unique(self.ids)


@dataclass(frozen=True)
class Rows:
    """Tokens in rows of one length: `inputs` (rows, length), the tokens that follow them, and which of these count."""

    inputs: np.ndarray  # (rows, length) int64
    targets: np.ndarray  # (rows, length) int64
    counted: np.ndarray  # (rows, length) bool

    def __len__(self) -> int:
        return len(self.inputs)

    def some(self, numbers: np.ndarray | slice) -> Rows:
        return Rows(self.inputs[numbers], self.targets[numbers], self.counted[numbers])

    def spread(self, count: int) -> Rows:
        """`count` of the rows, evenly over all of them: the first ones alone may be of one kind."""
        return self.some(np.linspace(0, len(self) - 1, count).round().astype(int))


def parted(documents: Sequence[Document], seed: int, most_characters: int) -> Split:
    """About a tenth is held out, at most `most_characters`: whole documents, or pieces of one where there are few.

    Documents that say the same stay on one side.
    """
    total = sum(document.characters for document in documents)
    if total < FEWEST_CHARACTERS:
        return Split(tuple(documents), (), "there is too little to hold any of it out")
    wanted = min(HELD_OUT_SHARE * total, most_characters)
    largest = max(document.characters for document in documents)
    alike = list(_alike(documents).values())
    if len(alike) >= FEWEST_DOCUMENTS and largest <= 4 * wanted:
        return _by_document(alike, wanted, seed)
    if any(document.messages for document in documents):
        return _by_document(alike, wanted, seed) if len(alike) > 1 else Split(tuple(documents), (), "one conversation")
    return _by_block(documents, wanted / total)


def _alike(documents: Iterable[Document]) -> dict[object, list[Document]]:
    groups: dict[object, list[Document]] = {}
    for document in documents:
        groups.setdefault(document.key(), []).append(document)
    return groups


def _by_document(alike: Sequence[list[Document]], wanted: float, seed: int) -> Split:
    order = np.random.default_rng([seed, 11]).permutation(len(alike))
    held: set[int] = set()
    characters = 0.0
    for place in order[:-1]:
        if held and characters >= wanted:
            break
        held.add(int(place))
        characters += alike[place][0].characters
    train = tuple(one for place, group in enumerate(alike) if place not in held for one in group)
    return Split(train, tuple(alike[place][0] for place in sorted(held)), "whole documents are held out, at random")


def _by_block(documents: Sequence[Document], share: float) -> Split:
    """From each text long enough, pieces evenly spread are taken out, cut where a line or word ends."""
    train: list[Document] = []
    held: list[Document] = []
    for document in documents:
        keep, take = _cut(document.text, share)
        train += [dataclasses.replace(document, text=text) for text in keep]
        held += [dataclasses.replace(document, text=text) for text in take]
    return Split(tuple(train), tuple(held), "pieces of the text, evenly spread over it, are held out")


def _cut(text: str, share: float) -> tuple[list[str], list[str]]:
    count = BLOCKS if len(text) * share > BLOCKS * FEWEST_CHARACTERS else 1
    period, size = len(text) / count, len(text) * share / count
    edges = [0]
    for number in range(count):
        ends = round((number + 1) * period)
        edges += [_end_of_line(text, round(ends - size)), _end_of_line(text, ends)]
    pieces = [text[start:end] for start, end in itertools.pairwise(edges)]
    return [piece for piece in pieces[::2] if piece.strip()], [piece for piece in pieces[1::2] if piece.strip()]


def _end_of_line(text: str, place: int) -> int:
    """The end of the line or else the word that ends nearest before `place`."""
    if place >= len(text):
        return len(text)
    for sign in ("\n\n", "\n", " "):
        found = text.rfind(sign, max(0, place - 2_000), place)
        if found >= 0:
            return found + len(sign)
    return place


def tokens_of(
    documents: Iterable[Document], tokenizer: Tokenizer, end: int, render: Render, *, begins: bool = False
) -> Tokens:
    """All documents one after another, texts closed by the token `end`; of conversations only answers are learnt.

    `begins`: each text begins with the tokenizer's mark; else only the first one does.
    """
    ids: list[np.ndarray] = []
    learnt: list[np.ndarray] = []
    size = 0
    for document in documents:
        pieces = list(render(document.messages)) if document.messages else [Piece(document.text, True, False)]
        if tokenizer.begin is not None and not document.messages and (begins or not ids):
            ids.append(np.array([tokenizer.begin], np.int32))
            learnt.append(np.zeros(1, bool))
        for piece in pieces:
            for text in _bounded(piece.text):
                found = np.array(tokenizer.encode(text, special=piece.marks), np.int32)
                ids.append(found)
                learnt.append(np.full(len(found), piece.learnt))
            size += len(piece.text.encode()) if piece.learnt else 0
        if not document.messages:  # of a conversation the template has closed the last answer
            ids.append(np.array([end], np.int32))
            learnt.append(np.ones(1, bool))
    if not ids:
        return Tokens(np.zeros(0, np.int32), np.zeros(0, bool), 0)
    return Tokens(np.concatenate(ids), np.concatenate(learnt), size)


def _bounded(text: str) -> Iterator[str]:
    """The text in parts that are cut where a line or a word ends, if there is such a place."""
    start = 0
    while start < len(text):
        end = _end_of_line(text, start + MOST_AT_ONCE)
        yield text[start:end]
        start = end


def rows_of(tokens: Tokens, length: int) -> Rows:
    """Each token that is to be foretold stands in exactly one row where it counts.

    Raises HandrailError ("data") where there are not two tokens.
    """
    last = len(tokens) - 1
    if last < FEWEST_TOKENS - 1:
        raise HandrailError("data", "there is too little text to learn from", "give more than a word")
    length = min(length, last)
    starts = np.arange(0, last, length)
    begins = np.minimum(starts, last - length)  # the last row reaches back over what the row before it holds
    places = begins[:, None] + np.arange(length)  # (rows, length)
    counted = tokens.learnt[places + 1] & (places >= starts[:, None])
    return Rows(tokens.ids[places].astype(np.int64), tokens.ids[places + 1].astype(np.int64), counted)
