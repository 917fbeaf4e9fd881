"""Several sources with the same weight each: the larger ones are cut to the size of the smallest."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from handrail.finetuning.documents import Document, Reading


def balanced(reading: Reading, seed: int) -> Reading:
    """As many characters of each source: whole documents in a random order, and a part of the last one."""
    sources = sorted({document.source for document in reading.documents})
    groups = [[one for one in reading.documents if one.source == number] for number in sources]
    sizes = [sum(document.characters for document in group) for group in groups]
    kept = [one for group in groups for one in _cut(group, min(sizes), seed)]
    note = f"{len(sources)} sources with the same weight: {min(sizes):,} characters of each"
    return dataclasses.replace(reading, documents=tuple(kept), notes=(*reading.notes, note))


def _cut(documents: Sequence[Document], characters: int, seed: int) -> Iterator[Document]:
    left = characters
    for place in np.random.default_rng([seed, 29]).permutation(len(documents)):
        document = documents[place]
        if left <= 0:
            return
        if document.characters <= left or document.messages:
            yield document
        else:
            yield dataclasses.replace(document, text=document.text[:left])
        left -= document.characters
