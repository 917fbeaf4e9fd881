"""Texts to tokens of a language model and back; its tokenizer.json is read as if an enemy had written it."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any, Final

from tokenizers import Tokenizer as Library

from handrail.core.errors import HandrailError
from handrail.encode.tokenizer_file import checked_tokenizer, numbers_in, packed_tokenizer

MOST_CHARACTERS: Final = 4 * 2**20
SPACE: Final = "▁"


class Tokenizer:
    """`ends` are the tokens after which nothing follows; `begin` stands before a text, None where nothing does.

    `size` is the number of tokens; not every number below it need be one.
    """

    def __init__(self, file: Mapping[str, Any], special: Mapping[str, Any]) -> None:
        self.ends = frozenset(map(int, special.get("ends", ())))
        self.begin: int | None = special.get("begin")
        self._file = packed_tokenizer(file)
        self._library = _library(self._file)
        self._added: dict[int, str] = {item["id"]: item["content"] for item in file["added_tokens"]}
        self.size = 1 + max([*numbers_in(file["model"]), *self._added])
        self._special = {item["id"] for item in file["added_tokens"] if item["special"]}
        self._is_bytes, self._strips = _kind(file)
        self._known: dict[int, bytes] = {}

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """The tokens of a text, without `begin`. Names of special tokens in it are plain text unless `special`.

        Raises HandrailError ("too_large") for more than 4 million characters.
        """
        if len(text) > MOST_CHARACTERS:
            problem = f"a text of {len(text):,} characters"
            raise HandrailError("too_large", problem, f"give at most {MOST_CHARACTERS:,} at once")
        # Half of a surrogate pair, which JSON may carry, is no character.
        text = text.encode("utf-8", "replace").decode("utf-8")
        library = self._reads_special if special else self._library
        found: list[int] = library.encode(text, add_special_tokens=False).ids
        return found

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens from its beginning; special ones say nothing."""
        text = b"".join(map(self.token_bytes, tokens)).decode("utf-8", "replace")
        return text.removeprefix(" ") if self._strips else text

    def token_bytes(self, token: int) -> bytes:
        """What a token adds to a text: often a part of a character only; nothing for a special one."""
        found = self._known.get(token)
        if found is None:
            found = self._known[token] = self._bytes(token)
        return found

    def token_name(self, token: int) -> str:
        """How a token is shown, also a special one."""
        return self._added.get(token) or self.token_bytes(token).decode("utf-8", "replace")

    def is_special(self, token: int) -> bool:
        """Whether a token is a mark and no text."""
        return token in self._special or token in self.ends

    @cached_property
    def marks(self) -> tuple[str, ...]:
        """The names of tokens that are no text when they are read as special."""
        return tuple(self._added.values())

    def number(self, name: str) -> int | None:
        """The token of exactly this name, special ones too."""
        found: int | None = self._library.token_to_id(name)
        return found

    @cached_property
    def _reads_special(self) -> Any:
        library = _library(self._file)
        library.encode_special_tokens = False
        return library

    def _bytes(self, token: int) -> bytes:
        if self.is_special(token):
            return b""
        if token in self._added:
            return self._added[token].encode("utf-8", "replace")
        piece: str | None = self._library.id_to_token(token)
        if piece is None:
            return b""
        if self._is_bytes:
            known = _bytes_of_characters()
            return b"".join(known.get(char) or char.encode("utf-8", "replace") for char in piece)
        if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
            return bytes.fromhex(piece[3:5])
        return piece.replace(SPACE, " ").encode("utf-8", "replace")


class Detokenizer:
    """Text of tokens as they come: whole characters only, each token looked at once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._bytes: Callable[[int], bytes] = tokenizer.token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, tokens: Iterable[int]) -> str:
        """What these tokens add; a character whose bytes are not all there is kept back."""
        return self._decoder.decode(b"".join(map(self._bytes, tokens)))

    def flush(self) -> str:
        """What was kept back: � for a character that never became whole."""
        return self._decoder.decode(b"", final=True)


def tokenizer_from(content: bytes, special: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer in the bytes of a tokenizer.json. `special`: {"begin": token or None, "ends": [tokens]}.

    Raises HandrailError ("bundle") for what is none, or could load, run or repeat something.
    """
    try:
        tokenizer = Tokenizer(checked_tokenizer(content), special)
        _check(tokenizer)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        mend = "bring the tokenizer.json that belongs to the model"
        raise HandrailError("bundle", f"this tokenizer.json cannot be taken: {str(error)[:200]}", mend) from error
    return tokenizer


def _check(tokenizer: Tokenizer) -> None:
    marks = [*tokenizer.ends, *([] if tokenizer.begin is None else [tokenizer.begin])]
    if not all(type(mark) is int and 0 <= mark < 2**24 for mark in marks):
        raise ValueError("a mark that is no token")


def _library(content: bytes) -> Any:
    """The library's own object; by itself it reads the names of special tokens in a text as plain text."""
    try:
        found = Library.from_buffer(content)
    except BaseException as error:
        # The library is written in Rust and may give up with a PanicException, which is no Exception.
        if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit | MemoryError):
            raise
        raise ValueError(str(error)[:200]) from error
    found.encode_special_tokens = True
    return found


def _kind(file: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether pieces are written in characters that stand for bytes, and whether a text loses its first space."""
    decoder = file.get("decoder") or {}
    parts: Sequence[Mapping[str, Any]] = decoder.get("decoders") or [decoder]
    kinds = {part.get("type") for part in parts}
    return "ByteLevel" in kinds, "Strip" in kinds or "Metaspace" in kinds


@cache
def _bytes_of_characters() -> dict[str, bytes]:
    """The characters in which byte-level tokenizers write bytes.

    Source: Radford et al. 2019, GPT-2: printable bytes are themselves, the others follow from 256 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    places = [*printable, *range(256, 256 + len(others))]
    return {chr(place): bytes([byte]) for place, byte in zip(places, [*printable, *others], strict=True)}
