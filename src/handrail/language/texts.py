"""Texts as people give them, checked: one or many, from memory or from a file of any usual encoding."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from handrail.core.errors import HandrailError
from handrail.core.events import Tell, Warned, quiet
from handrail.core.field import described
from handrail.data.delimited import decoded
from handrail.data.read import SIGNATURES, content_of

# Control characters that no text is full of; a file with one in a hundred of them is something else.
ODD_SHARE = 0.01
SAMPLE_CHARACTERS = 100_000


def text_of(value: object, what: str = "the text") -> str:
    """A text that says something. Raises HandrailError ("usage", "data") for what is none, or is empty."""
    if not isinstance(value, str):
        raise HandrailError("usage", f"{what}: expected a text, received {described(value)}", "give words in quotes")
    if not value.strip():
        raise HandrailError("data", f"{what} is empty", "give at least one word")
    return whole(value)


def texts_of(values: object, what: str = "text") -> list[str]:
    """A list of texts, which may be empty ones. Raises HandrailError ("usage") that names the first which is none."""
    if hasattr(values, "to_list"):
        values = values.to_list()
    if not isinstance(values, Iterable) or isinstance(values, dict | bytes | str):
        problem = f"expected a text or a list of texts, received {described(values)}"
        raise HandrailError("usage", problem, 'give ["one text", "another"]')
    found = list(values)
    for place, value in enumerate(found, start=1):
        if not isinstance(value, str):
            problem = f"{what} {place:,}: expected a text, received {described(value)}"
            raise HandrailError("usage", problem, "leave it out, or give a text in its place")
    return [whole(text) for text in found]


def whole(text: str) -> str:
    """The text with halves of characters (lone surrogates) replaced: nothing can write those down."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def read_text(path: str | os.PathLike[str], tell: Tell = quiet) -> str:
    """The text in a file: UTF-8, UTF-16 or Windows-1252. Raises HandrailError ("data") for what is no text."""
    return decoded_text(content_of(Path(path)), str(path), tell)


def decoded_text(content: bytes, where: str, tell: Tell = quiet) -> str:
    """The text that some bytes are; `tell` hears it where they are not UTF-8."""
    for signature, meaning in SIGNATURES.items():
        if content.startswith(signature):
            raise HandrailError("data", f"this looks like {meaning.split(':')[0]}, not text", "give text", where=where)
    text, notes = decoded(content, where)
    sample = text[:SAMPLE_CHARACTERS]
    odd = sum(char < " " and char not in "\t\n\r\f\x1b" for char in sample)
    if odd > ODD_SHARE * len(sample):
        raise HandrailError("data", "most of it is no text", "save it as plain text in UTF-8", where=where)
    if not text.strip():
        raise HandrailError("data", "the file is empty", "give a file with words in it", where=where)
    for note in notes:
        tell(Warned(f"{where}: {note}"))
    return text
