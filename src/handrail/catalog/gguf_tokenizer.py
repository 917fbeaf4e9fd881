"""The tokenizer in a GGUF file, written as the tokenizer.json that the library tokenizers reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from handrail.core.errors import listed

CONTROL, DEFINED = 3, 4
MAX_CHARACTERS: Final = 1024
SPACE: Final = "▁"
# How text is cut before pairs are merged, by the name that files give it. They are part of what each model learnt.
# Source: the tokenizer.json of Llama 3 and Qwen2.
WORDS: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST: Final = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CUTS: Final = {"llama-bpe": WORDS + r"\p{N}{1,3}" + REST, "qwen2": WORDS + r"\p{N}" + REST}
PLAIN: Final = ("gpt-2", "default", "smollm")


@dataclass(frozen=True)
class TokenizerJson:
    """`content` is a tokenizer.json; `ends`: "bos", "eos" and so on → a token's number, or several."""

    content: bytes
    ends: dict[str, Any]


def tokenizer_json(said: Mapping[str, Any]) -> TokenizerJson:
    """From a file's metadata. Raises ValueError, KeyError or TypeError for a tokenizer that is not read."""
    kind, tokens = said["tokenizer.ggml.model"], said["tokenizer.ggml.tokens"]
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise TypeError("its vocabulary is no list of texts")
    vocabulary = {token: number for number, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        raise ValueError("a token is in its vocabulary twice")
    if max(map(len, tokens), default=0) > MAX_CHARACTERS:
        raise ValueError(f"a token of more than {MAX_CHARACTERS} characters")
    if kind not in ("gpt2", "llama"):
        raise ValueError(f"the tokenizer '{str(kind)[:40]}' is not read; read are gpt2 and llama")
    ends = _ends(said, len(tokens))
    parts = _by_bytes(said, vocabulary) if kind == "gpt2" else _by_scores(said, vocabulary)
    content = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": _added(said, tokens), "post_processor": _begins(said, tokens, ends), **parts,
    }  # fmt: skip
    return TokenizerJson(json.dumps(content, ensure_ascii=False).encode(), ends)


def _ends(said: Mapping[str, Any], size: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, key in {"bos": "bos", "eos": "eos", "turn": "eot", "pad": "padding", "unk": "unknown"}.items():
        number = said.get(f"tokenizer.ggml.{key}_token_id")
        if number is not None and not (type(number) is int and 0 <= number < size):
            raise ValueError(f"its {key} token is none of its tokens")
        if number is not None:
            found[name] = number
    turn = found.pop("turn", None)
    if turn is not None and turn != found.get("eos"):
        found["eos"] = [*([found["eos"]] if "eos" in found else []), turn]
    return found


def _added(said: Mapping[str, Any], tokens: list[str]) -> list[dict[str, Any]]:
    """Tokens that are never cut: marks of control, which are not shown, and words that the maker defined."""
    kinds = _numbers(said, "token_type", len(tokens)) if "tokenizer.ggml.token_type" in said else []
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return [
        {"id": number, "content": tokens[number], **flags, "special": kind == CONTROL}
        for number, kind in enumerate(kinds)
        if kind in (CONTROL, DEFINED)
    ]


def _begins(said: Mapping[str, Any], tokens: list[str], ends: Mapping[str, Any]) -> dict[str, Any] | None:
    """The token that every text begins with, where the model wants one."""
    by_scores = said["tokenizer.ggml.model"] == "llama"
    if not said.get("tokenizer.ggml.add_bos_token", by_scores) or "bos" not in ends:
        return None
    token = tokens[ends["bos"]]
    mark = {"SpecialToken": {"id": token, "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [mark, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [mark, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {token: {"id": token, "ids": [ends["bos"]], "tokens": [token]}},
    }


def _by_bytes(said: Mapping[str, Any], vocabulary: Mapping[str, int]) -> dict[str, Any]:
    """Pairs of bytes merged in an order that the file gives, as in GPT-2."""
    pairs = [tuple(pair.split(" ", 1)) for pair in said["tokenizer.ggml.merges"]]
    if not all(len(pair) == 2 and "".join(pair) in vocabulary and set(pair) <= vocabulary.keys() for pair in pairs):
        raise ValueError("it merges tokens that it does not have")
    style = said.get("tokenizer.ggml.pre", "default")
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": style in PLAIN}
    if style in CUTS:
        cutter = {"type": "Split", "pattern": {"Regex": CUTS[style]}, "behavior": "Isolated", "invert": False}
        cutters = [cutter, byte_level]
    elif style in PLAIN:
        digits = [{"type": "Digits", "individual_digits": True}] if style == "smollm" else []
        cutters = [*digits, byte_level]
    else:
        raise ValueError(f"text cut as in '{str(style)[:40]}' is not read; read are {listed((*PLAIN, *CUTS))}")
    return {
        "normalizer": {"type": "NFC"} if style == "qwen2" else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": cutters},
        "decoder": byte_level,
        "model": _model(vocabulary, pairs, ignore_merges=style == "llama-bpe"),
    }


def _by_scores(said: Mapping[str, Any], vocabulary: Mapping[str, int]) -> dict[str, Any]:
    """Pairs merged by the score of what they become, as in SentencePiece; unknown characters as bytes."""
    scores = _numbers(said, "scores", len(vocabulary))
    prefix = [{"type": "Prepend", "prepend": SPACE}] if said.get("tokenizer.ggml.add_space_prefix", True) else []
    replaced = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    shown = [{"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"},
             {"type": "Fuse"}]  # fmt: skip
    cut = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if prefix else []
    unknown = said.get("tokenizer.ggml.unknown_token_id")
    name = None if unknown is None else said["tokenizer.ggml.tokens"][unknown]
    return {
        "normalizer": {"type": "Sequence", "normalizers": [*prefix, replaced]},
        "pre_tokenizer": None,
        "decoder": {"type": "Sequence", "decoders": [*shown, *cut]},
        "model": _model(vocabulary, _merges(vocabulary, scores), fuse_unk=True, byte_fallback=True, unk_token=name),
    }


def _merges(vocabulary: Mapping[str, int], scores: list[Any]) -> list[tuple[str, str]]:
    """All ways to make a token of two others, the best-scored token first."""
    found = []
    for token, number in vocabulary.items():
        ways = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        known = [(vocabulary[left], vocabulary[right], left, right) for left, right in ways
                 if left in vocabulary and right in vocabulary]  # fmt: skip
        found += [(-scores[number], number, *way) for way in sorted(known)]
    return [(left, right) for *_, left, right in sorted(found, key=lambda item: item[:4])]


def _model(vocabulary: Mapping[str, int], pairs: list[Any], **settings: Any) -> dict[str, Any]:
    plain = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False}  # fmt: skip
    return {**plain, **settings, "vocab": vocabulary, "merges": pairs}


def _numbers(said: Mapping[str, Any], name: str, size: int) -> list[Any]:
    found = said[f"tokenizer.ggml.{name}"]
    if len(found) != size or isinstance(found, list):
        raise ValueError(f"its {name} are not one for each token")
    numbers: list[Any] = found.tolist()
    return numbers
