"""Test rows are set aside honestly: whole groups, whole twins, the latest rows, each label's share."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from handrail.core.signature import Field
from handrail.data.look import Look, Split
from handrail.learn.holdout import hold_out


def look(split: Split, twins: np.ndarray | None = None) -> Look:
    field = Field("y", "category")
    return Look(0, (), "y", "", "binary", "", field, ("a", "b"), split, (), "", "", twins)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 30), min_size=20, max_size=200), st.integers(0, 5))
def test_twins_never_straddle_the_split(twins: list[int], seed: int) -> None:
    labels = np.array(["ab"[twin % 2] for twin in twins])
    rows = np.arange(len(twins))
    train, test = hold_out(look(Split("stratified", ""), np.array(twins)), rows, labels, 0.2, seed)
    assert not {twins[row] for row in train} & {twins[row] for row in test}
    assert sorted([*train, *test]) == rows.tolist()


def test_groups_never_straddle_the_split() -> None:
    keys = np.array([f"patient {number // 5}" for number in range(200)], dtype=object)
    train, test = hold_out(look(Split("group", "", "patient", keys)), np.arange(200), None, 0.2, 0)
    assert not set(keys[train]) & set(keys[test])
    assert 30 <= len(test) <= 50


def test_the_latest_rows_are_the_test_where_time_matters() -> None:
    keys = np.random.default_rng(0).permutation(100).astype(np.float64)
    train, test = hold_out(look(Split("time", "", "when", keys)), np.arange(100), None, 0.2, 0)
    assert len(test) == 20
    assert keys[train].max() < keys[test].min()


def test_each_label_keeps_its_share() -> None:
    labels = np.array(["a"] * 900 + ["b"] * 100)
    _, test = hold_out(look(Split("stratified", "")), np.arange(1000), labels, 0.2, 3)
    assert (labels[test] == "b").sum() == 20
    assert len(test) == 200


def test_the_same_seed_gives_the_same_rows() -> None:
    labels = np.array(["a", "b"] * 100)
    first, second = (hold_out(look(Split("stratified", "")), np.arange(200), labels, 0.2, 7)[1] for _ in range(2))
    assert first.tolist() == second.tolist()
