"""A text as its sentences, in any language that a kept library knows."""

from __future__ import annotations

import re
from typing import Final

from sentencex import segment

from handrail.core.errors import HandrailError

LANGUAGE: Final = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{1,8})*")
# The lines of subtitles that say when: "17" and "00:01:02,500 --> 00:01:04,000".
CUES: Final = re.compile(r"^(?:\d+\s*\n)?[ \t]*\d+:\d\d(?::\d\d)?[.,]\d+ *--> *\d+:\d\d(?::\d\d)?[.,]\d+.*$", re.M)


def sentences(text: str, language: str = "en") -> list[str]:
    """The sentences in order, each on one line, without blanks around it; empty for a text of blanks.

    `language` (a code: "de", "ja") says which dots end no sentence. Times between the lines of subtitles are left out.
    """
    if LANGUAGE.fullmatch(language) is None:
        raise HandrailError("usage", f"no language has the code '{language[:20]}'", "two letters: en, de, fr, ja")
    if "-->" in text:
        text = CUES.sub("", text)
    found = (" ".join(sentence.split()) for sentence in segment(_code(language), text))
    return [sentence for sentence in found if sentence]


def spans(text: str, language: str = "en") -> list[tuple[int, int]]:
    """Where the sentences start and end in the text, blanks around them left out."""
    found = []
    cursor = 0
    for sentence in segment(_code(language), text):
        words = sentence.strip()
        if words:
            start = text.index(words, cursor)
            cursor = start + len(words)
            found.append((start, cursor))
    return found


def _code(language: str) -> str:
    """What the library calls a language: "pt" for "pt-BR"."""
    return language.partition("-")[0]
