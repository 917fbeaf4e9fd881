"""Summaries in a language model's own words: long texts part by part, and then the parts' summaries together."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.language.extracts import Wish
from handrail.language.sentences import sentences
from handrail.model import Model

WRITER: Final = "smollm2"
# A part is no longer than this, and than half of what the model looks back on: the rest is for the answer.
MOST_TOKENS: Final = 640
# Parts that are asked together; and how often summaries are summarised again at most.
TOGETHER: Final = 16
MOST_ROUNDS: Final = 6
# An English sentence is some 25 tokens; a long-winded one is cut off.
TOKENS_EACH, MOST_WRITTEN = 48, 400
# What models say before they begin.
PREAMBLE: Final = re.compile(r"^(?:here (?:is|are)\b[^\n:.]*:|summary:|sure[,!.][^\n:]*:?)\s*", re.IGNORECASE)


class Abstracts:
    """Sentences that say in few words what a text says; the same for the same text and seed."""

    def __init__(self, model: Model, language: str, seed: int) -> None:
        """Raises HandrailError ("usage") for a model that does not write."""
        if not model.writes:
            problem = f"'{model.name}' is for {model.manifest.task}: it writes nothing"
            raise HandrailError("usage", problem, f"writer='{WRITER}', or another model that writes", field="writer")
        self._writer: Any = model.writer
        self._language = language
        self._seed = seed
        self._longest = min(MOST_TOKENS, self._writer.window // 2)

    def __call__(self, body: str, wish: Wish) -> list[str]:
        """The summary's sentences: as many as are wished for, or fewer. Those of a length that does not fit are left
        out, unless nothing else is there; it is never empty where the text is not."""
        said = sentences(body, self._language)
        count = wish.number(len(said))
        for _ in range(MOST_ROUNDS):
            parts = list(self._parts(said))
            each = math.ceil(count / len(parts))
            shorter = [one for part in self._summaries(parts, each) for one in part]
            is_done = len(parts) == 1 or len(shorter) >= len(said)
            said = shorter
            if is_done:
                break
        fitting = [one for one in said if wish.min_length < len(one) < wish.max_length] or said
        return fitting[:count]

    def _parts(self, said: Sequence[str]) -> Iterator[str]:
        """As many sentences in a row as the model reads well."""
        part: list[str] = []
        size = 0
        for piece in (piece for one in said for piece in self._short(one)):
            tokens = self._size(piece)
            if part and size + tokens > self._longest:
                yield " ".join(part)
                part, size = [], 0
            part.append(piece)
            size += tokens
        if part:
            yield " ".join(part)

    def _short(self, text: str) -> Iterator[str]:
        """A sentence, or, where it is too long, halves of it."""
        if len(text) < 2 or self._size(text) <= self._longest:
            yield text
            return
        middle = text.rfind(" ", 1, len(text) // 2 + 1)
        middle = middle if middle > 0 else len(text) // 2
        yield from self._short(text[:middle])
        yield from self._short(text[middle:].lstrip() or text[middle:])

    def _size(self, text: str) -> int:
        # No token is less than a character, and looking at a line of megabytes takes a while.
        return len(text) if len(text) > 64 * self._longest else len(self._writer.tokenizer.encode(text))

    def _summaries(self, parts: Sequence[str], count: int) -> Iterator[list[str]]:
        settings = self._writer.settings(
            {"temperature": 0.0, "seed": self._seed, "max_tokens": min(MOST_WRITTEN, TOKENS_EACH * (count + 1)),
             "frequency_penalty": 0.3}, chats=True,
        )  # fmt: skip
        for start in range(0, len(parts), TOGETHER):
            some = parts[start : start + TOGETHER]
            prompts = [self._writer.chat_tokens(_asked(part, count)) for part in some]
            for part, (found,) in zip(some, self._writer.generator.answer(prompts, settings), strict=True):
                # The first sentence of a part stands for it where the model says nothing.
                yield self._said(found.text, count, cut=found.finish == "length") or [_first(part, self._language)]

    def _said(self, text: str, count: int, *, cut: bool) -> list[str]:
        """The sentences of an answer; one that was cut off in the middle is left out where there are others."""
        found = sentences(PREAMBLE.sub("", text.strip()), self._language)
        found = [one for one in found if any(char.isalnum() for char in one)]
        return (found[:-1] if cut and len(found) > 1 else found)[:count]


def _asked(part: str, count: int) -> list[dict[str, str]]:
    length = "one sentence" if count == 1 else f"{count} sentences"
    return [{"role": "user", "content": f"Summarize the following text in {length}. Use only what it says.\n\n{part}"}]


def _first(part: str, language: str) -> str:
    return sentences(part, language)[0]
