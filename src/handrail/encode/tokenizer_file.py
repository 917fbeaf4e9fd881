"""What a tokenizer.json may say: only known steps, nothing that is loaded by name, no pattern that runs away."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

import orjson

MAX_BYTES: Final = 64 * 2**20
MAX_TOKENS: Final = 2**20
MAX_ADDED: Final = 20_000
MAX_STEPS: Final = 64
MAX_PATTERN: Final = 2_000
MAX_TEXT: Final = 64
MODELS: Final = ("BPE", "Unigram", "WordLevel", "WordPiece")
NORMALIZERS: Final = ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Nmt", "Prepend", "Replace", "Strip", "StripAccents",
                      "BertNormalizer", "Precompiled", "ByteLevel")  # fmt: skip
PRE_TOKENIZERS: Final = ("BertPreTokenizer", "ByteLevel", "Digits", "Metaspace", "Punctuation", "Split",
                         "UnicodeScripts", "Whitespace", "WhitespaceSplit")  # fmt: skip
DECODERS: Final = ("ByteFallback", "ByteLevel", "Fuse", "Metaspace", "Replace", "Strip", "BPEDecoder", "WordPiece")
# Unicode classes that Python's own reader of patterns does not know; only the form of a pattern is looked at.
CLASS: Final = re.compile(r"\\[pP](?:\{\^?[\w=: -]{1,40}\}|[A-Z])")


def checked_tokenizer(content: bytes) -> dict[str, Any]:
    """The parts of a tokenizer.json that turn texts into tokens and back; others are left out.

    Raises ValueError, KeyError or TypeError for anything that is not known.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES:,} bytes")
    file = orjson.loads(content)
    if type(file) is not dict or type(file.get("model")) is not dict:
        raise TypeError("it is no object with a model")
    _check_model(file["model"])
    for name, kinds in (("normalizer", NORMALIZERS), ("pre_tokenizer", PRE_TOKENIZERS), ("decoder", DECODERS)):
        for count, step in enumerate(_steps(file.get(name))):
            _check_step(step, name, kinds, count)
    added = file.get("added_tokens") or []
    if type(added) is not list or len(added) > MAX_ADDED:
        raise ValueError("too many added tokens")
    return {"version": "1.0", "model": file["model"], "added_tokens": [_added(item) for item in added],
            **{name: file.get(name) for name in ("normalizer", "pre_tokenizer", "decoder")}}  # fmt: skip


def numbers_in(model: Mapping[str, Any]) -> Iterable[int]:
    """The numbers of a vocabulary's tokens."""
    vocabulary = model["vocab"]
    return vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))


def packed_tokenizer(file: Mapping[str, Any]) -> bytes:
    """The bytes of a tokenizer.json that says just this."""
    whole = {**file, "truncation": None, "padding": None, "post_processor": None}
    return orjson.dumps(whole)


def _check_model(model: Mapping[str, Any]) -> None:
    # Files of before 2020 do not say which model they are.
    kind = model.get("type", "BPE")
    if kind not in MODELS:
        raise ValueError(f"the model '{str(kind)[:40]}' is not known")
    vocabulary, merges = model["vocab"], model.get("merges", [])
    if not isinstance(vocabulary, dict | list) or not 1 <= len(vocabulary) <= MAX_TOKENS:
        raise ValueError("its vocabulary is empty or too large")
    if isinstance(vocabulary, dict) and not all(type(n) is int and 0 <= n < 2**24 for n in vocabulary.values()):
        raise ValueError("a token whose number is none")
    if type(merges) is not list or len(merges) > 4 * MAX_TOKENS:
        raise ValueError("too many merges")
    if model.get("dropout"):
        raise ValueError("it drops merges by chance")


def _steps(part: Any) -> Iterator[Mapping[str, Any]]:
    """The steps of a part, those of a sequence one by one; sequences in sequences are not taken."""
    if part is None:
        return
    inner = {"Sequence": ("normalizers", "pretokenizers", "decoders")}.get(part["type"], ())
    lists = [part[name] for name in inner if name in part]
    yield from lists[0] if lists else [part]


def _check_step(step: Mapping[str, Any], part: str, kinds: tuple[str, ...], count: int) -> None:
    if step["type"] not in kinds:
        raise ValueError(f"the {part} '{str(step['type'])[:40]}' is not known")
    if count >= MAX_STEPS:
        raise ValueError(f"more than {MAX_STEPS} steps in the {part}")
    for name, value in step.items():
        if name == "pattern":
            _check_pattern(value)
        elif isinstance(value, str) and len(value) > MAX_TEXT and name != "precompiled_charsmap":
            raise ValueError(f"the {part}'s {name[:40]} is longer than {MAX_TEXT} characters")


def _check_pattern(pattern: Any) -> None:
    """Refuses a pattern in which a repetition without end holds another one: such a one may take for ever."""
    if "String" in pattern and isinstance(pattern["String"], str):
        return
    text = pattern["Regex"]
    if not isinstance(text, str) or len(text) > MAX_PATTERN:
        raise ValueError(f"a pattern longer than {MAX_PATTERN:,} characters")
    try:
        parsed = parser.parse(CLASS.sub(r"\\w", text))
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"a pattern that is not understood: {error}") from error
    if _runs_away(parsed, within=False):
        raise ValueError("a pattern that may take for ever: one repetition inside another")


def _runs_away(parsed: Any, *, within: bool) -> bool:
    for code, value in parsed:
        repeats = code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT) and value[1] > MAX_TEXT
        if (repeats and within) or code in (codes.GROUPREF, codes.GROUPREF_EXISTS):
            return True
        for inner in _inside(code, value):
            if _runs_away(inner, within=within or repeats):
                return True
    return False


def _inside(code: Any, value: Any) -> list[Any]:
    """The patterns inside a part of a pattern."""
    if code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
        return [value[2]]
    if code is codes.BRANCH:
        return list(value[1])
    if code is codes.SUBPATTERN:
        return [value[3]]
    if code in (codes.ASSERT, codes.ASSERT_NOT):
        return [value[1]]
    return [value] if code is codes.ATOMIC_GROUP else []


def _added(item: Mapping[str, Any]) -> dict[str, Any]:
    content, number = item["content"], item["id"]
    if not isinstance(content, str) or not 1 <= len(content) <= 1_000 or type(number) is not int or number >= 2**24:
        raise ValueError("an added token that is none")
    flags = {name: item.get(name, False) is True for name in ("single_word", "lstrip", "rstrip", "special")}
    return {"id": number, "content": content, "normalized": item.get("normalized", True) is True, **flags}
