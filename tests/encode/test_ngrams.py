"""N-grams: the same alone and in a batch, exact against counting by hand, quick, and never at a loss."""

from __future__ import annotations

import itertools
import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handrail.encode.ngrams import fit_ngrams, normal

TEXTS = ["the quick brown fox", "the lazy dog", "a quick dog", "fox and dog", "", "The QUICK   fox!"] * 4
WORDS = fit_ngrams(TEXTS, min_rows=1)


def counted(text: str) -> tuple[set[str], set[str]]:
    """Word 1- and 2-grams and character 2- to 5-grams inside words, the slow way."""
    plain = normal(text)
    words = re.findall(r"[a-z0-9'_\x80-\U0010ffff]+", plain)
    pairs = {f"{one} {other}" for one, other in itertools.pairwise(words)}
    characters = set()
    for word in plain.split():
        padded = f" {word} "
        characters |= {padded[start : start + size] for size in range(2, 6) for start in range(len(padded) - size + 1)}
    return {*words, *pairs}, characters


@pytest.mark.parametrize("text", ["the quick brown fox", "a", "fox and dog", "don't stop"])
def test_the_features_of_a_text_are_those_counted_by_hand(text: str) -> None:
    fitted = fit_ngrams([text, text], min_rows=1)
    words, characters = counted(text)
    assert int(fitted.is_word.sum()) == len(words)
    assert int((~fitted.is_word).sum()) == len(characters)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=12))
def test_a_text_is_encoded_alone_as_in_a_batch(texts: list[str]) -> None:
    fitted = fit_ngrams(texts, min_rows=1)
    starts, features, values = fitted.encode(texts)
    for row, text in enumerate(texts):
        _, alone_features, alone_values = fitted.encode([text])
        assert features[starts[row] : starts[row + 1]].tolist() == alone_features.tolist()
        assert np.allclose(values[starts[row] : starts[row + 1]], alone_values)


def test_each_block_of_a_text_has_length_one() -> None:
    _, features, values = WORDS.encode(["the quick fox"])
    for block in (True, False):
        assert np.sum(values[WORDS.is_word[features] == block] ** 2) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("texts", [[], [None], [""], ["   "], ["zzzzzz"], ["\ud800"], ["😀" * 300], ["x" * 100_000]])
def test_odd_texts_are_encoded_without_fuss(texts: list[str | None]) -> None:
    starts, _, values = WORDS.encode(texts)
    assert len(starts) == len(texts) + 1
    assert np.isfinite(values).all()


def test_rare_and_surplus_features_are_left_out() -> None:
    assert len(fit_ngrams(TEXTS, max_features=50).hashes) == 50
    assert not len(fit_ngrams(["one", "two"], min_rows=3).hashes)


def test_a_megabyte_takes_well_under_a_second_of_a_core() -> None:
    texts = [" ".join(f"word{number % 97}" for number in range(start, start + 120)) for start in range(1200)]
    started = time.process_time()
    fit_ngrams(texts)
    assert time.process_time() - started < 6.0
