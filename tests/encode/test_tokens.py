"""Texts to tokens and back; a tokenizer.json from anywhere."""

from __future__ import annotations

import json
import time

import pytest
from tokenizers import Tokenizer as Library

from handrail.core.errors import HandrailError
from handrail.encode.tokens import Detokenizer, tokenizer_from
from tests.encode.tokenizers_made import byte_level, sentence_piece

TEXTS = ("The sea", "  Grüße 12 日本語 🎉👩‍👧 \n\n x", "", "\t\r\n", "<|im_end|>", "the <0x41> ▁")


def made(content=None, **special):
    return tokenizer_from(content or byte_level(), {"begin": None, "ends": [0], **special})


def changed(**parts):
    return json.dumps({**json.loads(byte_level()), **parts}).encode()


@pytest.mark.parametrize("content", [byte_level(), sentence_piece()], ids=["bytes", "pieces"])
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_comes_back_as_it_was(content, text):
    tokenizer = made(content)
    # Such a tokenizer writes a blank as ▁ and cannot tell the two apart afterwards.
    wanted = text.replace("▁", " ") if content == sentence_piece() else text
    pieces = b"".join(map(tokenizer.token_bytes, tokenizer.encode(text))).decode()
    assert pieces == wanted


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_are_the_ones_of_the_library(text):
    library = Library.from_str(byte_level().decode())
    assert made().encode(text, special=True) == library.encode(text, add_special_tokens=False).ids


def test_names_of_special_tokens_are_plain_text_unless_asked_for():
    tokenizer = made()
    assert len(tokenizer.encode("<|im_end|>")) > 1
    assert tokenizer.encode("<|im_end|>", special=True) == [2]
    assert tokenizer.decode([2]) == "" and tokenizer.token_name(2) == "<|im_end|>" and tokenizer.is_special(2)


def test_text_comes_in_whole_characters_and_adds_up():
    tokenizer = made()
    text = "Grüße 日本語 🎉 end"
    reader = Detokenizer(tokenizer)
    parts = [reader.feed([token]) for token in tokenizer.encode(text)]
    assert "".join(parts) + reader.flush() == text
    assert not any("�" in part for part in parts)


def test_a_character_that_never_became_whole_is_shown_as_one_that_is_off():
    tokenizer = made()
    reader = Detokenizer(tokenizer)
    assert reader.feed(tokenizer.encode("🎉")[:1]) == ""
    assert reader.flush() == "�"


def test_half_a_surrogate_pair_is_no_crash():
    tokenizer = made()
    assert tokenizer.decode(tokenizer.encode("a\ud83db")) == "a?b"


def test_the_first_blank_of_pieces_goes_only_at_the_beginning_of_a_text():
    tokenizer = made(sentence_piece(), begin=1, ends=[2])
    tokens = tokenizer.encode(" the the")
    assert tokenizer.decode(tokens) == "the the"
    assert Detokenizer(tokenizer).feed(tokens) == " the the"


def test_size_counts_added_tokens():
    added = [{"id": 500, "content": "<x>", "special": False}]
    assert made(changed(added_tokens=added)).size == 501


def test_too_long_a_text_is_refused():
    with pytest.raises(HandrailError, match="characters") as raised:
        made().encode("a" * (4 * 2**20 + 1))
    assert raised.value.code == "too_large"


@pytest.mark.parametrize("text", ["a" * 30_000, "\n" * 30_000, "aA1! " * 4_000, "é" * 10_000])
def test_time_grows_with_the_text_and_no_faster(text):
    tokenizer = made()

    def seconds(text):
        begun = time.thread_time()
        tokenizer.encode(text)
        return time.thread_time() - begun

    short, long = min(seconds(text) for _ in range(3)), min(seconds(text * 2) for _ in range(3))
    assert long < 4 * short + 0.05


def split(regex):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}


KNOWN_PATTERNS = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}",
]


@pytest.mark.parametrize("regex", KNOWN_PATTERNS)
def test_patterns_of_known_models_are_taken(regex):
    assert made(changed(pre_tokenizer=split(regex))).encode("It's 12345 o'clock")


BAD = {
    "not JSON": b"{",
    "a list": b"[]",
    "no model": b"{}",
    "binary": b"\x00\xff" * 100,
    "deep": b"[" * 100_000,
    "a model that is not known": changed(model={"type": "Python", "vocab": {"a": 0}}),
    "an empty vocabulary": changed(model={"type": "BPE", "vocab": {}, "merges": []}),
    "numbers that are none": changed(model={"type": "BPE", "vocab": {"a": -1}, "merges": []}),
    "merges of what is not there": changed(model={"type": "BPE", "vocab": {"a": 0}, "merges": [["x", "y"]]}),
    "chance": changed(model={"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.5}),
    "a step that is not known": changed(pre_tokenizer={"type": "Import", "module": "os"}),
    "a runaway pattern": changed(pre_tokenizer=split(r"(\w+\s?)+$")),
    "a runaway pattern, hidden": changed(
        normalizer={"type": "Replace", "pattern": {"Regex": "((a|b)*)*c"}, "content": ""}
    ),
    "a bomb": changed(normalizer={"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 100_000}),
    "a long pattern": changed(pre_tokenizer=split("a" * 3_000)),
    "many added tokens": changed(added_tokens=[{"id": n, "content": str(n)} for n in range(20_001)]),
    "an added token that is none": changed(added_tokens=[{"id": 2**40, "content": "x"}]),
}


@pytest.mark.parametrize("what", BAD)
def test_a_tokenizer_that_is_none_is_refused_in_words_and_at_once(what):
    begun = time.thread_time()
    with pytest.raises(HandrailError) as raised:
        made(BAD[what])
    assert raised.value.code == "bundle" and "tokenizer.json" in raised.value.problem
    assert time.thread_time() - begun < 1


@pytest.mark.parametrize("special", [{"ends": ["x"]}, {"ends": [-1]}, {"begin": 2**40}, {"ends": 3}, {"begin": "1"}])
def test_marks_that_are_no_tokens_are_refused(special):
    with pytest.raises(HandrailError):
        made(**special)
