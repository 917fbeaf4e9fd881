"""Test rows are set aside honestly: whole groups, whole twins, the latest rows, each label's share."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from handrail.core.field import Field
from handrail.data.look import Look, Split
from handrail.learn.folds import fold_numbers
from handrail.learn.holdout import hold_out


def look(split: Split, twins: np.ndarray | None = None, rows: int = 0) -> Look:
    field = Field("y", "category")
    return Look(rows, (), "y", "", "binary", "", field, ("a", "b"), split, (), "", "", twins)


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


def keyed(keys: list[str]) -> np.ndarray:
    found = np.empty(len(keys), dtype=object)
    found[:] = keys
    return found


def test_rows_of_one_moment_are_the_test_together_where_a_cut_would_leave_none() -> None:
    keys = np.array([2019.0] * 200 + [2020.0] * 200)
    train, test = hold_out(look(Split("time", "", "year", keys)), np.arange(400), None, 0.2, 0)
    assert set(keys[train]) == {2019.0}
    assert set(keys[test]) == {2020.0}


def test_the_last_rows_of_the_file_are_the_test_where_most_share_the_latest_moment() -> None:
    keys = np.array([2019.0] * 50 + [2020.0] * 350)
    train, test = hold_out(look(Split("time", "", "year", keys)), np.arange(400), None, 0.2, 0)
    assert test.tolist() == list(range(320, 400))
    assert len(train) == 320


def test_the_last_group_of_a_label_is_never_set_aside() -> None:
    keys = keyed([f"site {number // 50}" for number in range(300)])
    labels = np.array([f"label {max(0, number // 50 - 2)}" for number in range(300)])
    train, test = hold_out(look(Split("group", "", "site", keys)), np.arange(300), labels, 0.2, 0)
    assert set(labels[train]) == set(labels)
    assert len(test) == 50


def test_a_group_with_most_of_the_rows_is_learnt_from() -> None:
    keys = keyed(["A" if number % 20 else f"B{number}" for number in range(400)])
    for seed in range(5):
        train, test = hold_out(look(Split("group", "", "site", keys)), np.arange(400), None, 0.2, seed)
        assert "A" in set(keys[train])
        assert 0 < len(test) <= 20


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 5), min_size=10, max_size=60), st.integers(2, 6), st.integers(0, 5))
def test_no_fold_is_empty_however_few_different_rows_there_are(twins: list[int], count: int, seed: int) -> None:
    labels = np.array([twin % 2 for twin in twins])
    folds = fold_numbers(look(Split("random", ""), np.array(twins), len(twins)), labels, count, seed)
    assert 2 <= len(set(folds.tolist())) == folds.max() + 1


def test_a_group_with_most_of_the_rows_is_divided_between_folds() -> None:
    keys = keyed(["A" if number % 20 else f"B{number}" for number in range(400)])
    folds = fold_numbers(look(Split("group", "", "site", keys), None, 400), None, 5, 0)
    assert np.bincount(folds).tolist() == [80] * 5
