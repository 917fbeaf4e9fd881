"""Explanations add up to the answer; shuffling shows what a model leans on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handrail.core.signature import Columns
from handrail.measure.explain import contributions, word_contributions
from handrail.measure.importance import permutation_importance

VALUES = st.floats(-100, 100)


def tangled(columns: Columns) -> np.ndarray:
    """A function of which no column's share is plain."""
    total = np.zeros(len(next(iter(columns.values()))))
    for place, column in enumerate(columns.values()):
        total = np.sin(total) * 3 + (place + 1) * np.nan_to_num(column) + total * np.nan_to_num(column) / 50
    return total


@given(st.lists(VALUES, min_size=1, max_size=6), st.integers(1, 5), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_base_and_contributions_add_up_to_the_answer(values: list[float], rows: int, seed: int) -> None:
    names = [f"c{index}" for index in range(len(values))]
    background = np.random.default_rng(seed).normal(0, 10, (len(values), rows))
    row = {name: np.array([value]) for name, value in zip(names, values, strict=True)}
    base, parts = contributions(tangled, row, dict(zip(names, background, strict=True)), seed)
    answer = float(tangled(row)[0])
    assert base + sum(part["contribution"] for part in parts) == pytest.approx(answer, rel=1e-9, abs=1e-6)


def test_a_sum_is_shared_out_exactly_and_an_unused_column_gets_nothing() -> None:
    def answer(columns: Columns) -> np.ndarray:
        return np.asarray(2 * columns["x"] + np.array([len(word or "") for word in columns["w"]]))

    row = {"x": np.array([5.0]), "w": np.array(["four"], dtype=object), "idle": np.array([np.nan])}
    background = {"x": np.array([1.0, 3.0]), "w": np.array([None, "ab"], dtype=object), "idle": np.array([1.0, 2.0])}
    base, parts = contributions(answer, row, background)
    assert base == pytest.approx(5.0)
    assert {part["name"]: part["contribution"] for part in parts} == pytest.approx({"x": 6.0, "w": 3.0, "idle": 0.0})
    assert {part["name"]: part["value"] for part in parts} == {"x": 5.0, "w": "four", "idle": None}


def test_the_word_that_matters_is_named_with_its_place() -> None:
    def answer(texts: Sequence[str]) -> np.ndarray:
        return np.array([1.0 if "lovely" in text else 0.25 for text in texts])

    text = "It was a lovely, well-made film"
    parts = word_contributions(answer, text)
    assert [part["word"] for part in parts] == ["It", "was", "a", "lovely", "well-made", "film"]
    assert [part["word"] for part in parts if part["contribution"] == 0.75] == ["lovely"]
    assert all(text[part["start"] : part["end"]] == part["word"] for part in parts)


def test_words_count_also_where_the_model_is_sure_without_each_of_them() -> None:
    def answer(texts: Sequence[str]) -> np.ndarray:
        return np.array([1.0 if "dull" in text or "awful" in text else 0.5 for text in texts])

    parts = {part["word"]: part["contribution"] for part in word_contributions(answer, "dull and awful")}
    assert parts == {"dull": 0.25, "and": 0.0, "awful": 0.25}


def test_signs_of_a_script_without_blanks_are_words_of_their_own() -> None:
    parts = word_contributions(lambda texts: np.zeros(len(texts)), "映画は good")
    assert [part["word"] for part in parts] == ["映", "画", "は", "good"]


def test_long_texts_are_explained_in_groups_of_words_with_one_call() -> None:
    calls: list[int] = []

    def answer(texts: Sequence[str]) -> np.ndarray:
        calls.append(len(texts))
        return np.zeros(len(texts))

    parts = word_contributions(answer, "word " * 1000)
    assert len(parts) == 200
    assert calls == [402]


@pytest.mark.parametrize("text", ["", "   ", "?!"])
def test_a_text_without_words_has_nothing_to_explain(text: str) -> None:
    assert word_contributions(lambda texts: np.zeros(len(texts)), text) == []


def importance_of(deadline_s: float | None) -> list[dict[str, float | str]]:
    draw = np.random.default_rng(0)
    columns = {name: draw.normal(0, 1, 200) for name in ("idle", "weak", "strong")}
    truth = columns["weak"] + 5 * columns["strong"]

    def score(some: Columns) -> float:
        return -float(np.mean((some["weak"] + 5 * some["strong"] - truth) ** 2))

    return permutation_importance(score, columns, list(columns), repeats=3, seed=0, deadline_s=deadline_s)


def test_the_column_that_matters_most_comes_first() -> None:
    found = importance_of(None)
    assert [item["name"] for item in found] == ["strong", "weak", "idle"]
    assert found[-1]["importance"] == 0
    assert found == importance_of(None)


def test_importance_keeps_to_its_deadline() -> None:
    assert importance_of(0.0) == []
