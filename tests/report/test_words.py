"""Judgements say what the numbers say, in words."""

from __future__ import annotations

from typing import Any

import pytest

from handrail.report import verdict
from handrail.report.terminal import lines
from handrail.report.words import number, percent
from tests.report.samples import EVERY_PROBLEM, binary


def scored(
    value: float, low: float | None, high: float | None, baseline: float, name: str = "accuracy"
) -> dict[str, Any]:
    metric = {"value": value, "low": low, "high": high, "baseline": baseline}
    return {"score": {"metric": name, "metrics": {name: metric}, "rows": 1409}}


def test_the_headline_has_the_score_its_interval_the_trivial_model_and_the_rows() -> None:
    said = verdict.headline(scored(0.847, 0.826, 0.867, 0.5, "roc_auc"))
    assert said == "AUC 0.847 (0.826–0.867), trivial 0.500, on 1,409 rows never seen in training"


def test_cross_validation_is_called_by_its_name() -> None:
    assert "cross-validation" in verdict.headline({**scored(0.8, 0.7, 0.9, 0.5), "evaluated_on": "cross-validation"})


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (scored(0.8, 0.75, 0.85, 0.6), "clearly better"),
        (scored(0.8, 0.55, 0.9, 0.6), "can be chance"),
        (scored(0.5, 0.4, 0.6, 0.6), "no better"),
        (scored(3.0, 2.5, 3.5, 5.0, "rmse"), "clearly better"),
        (scored(6.0, 5.5, 6.5, 5.0, "rmse"), "no better"),
    ],
)
def test_a_model_is_called_better_only_when_its_interval_is(report: dict[str, Any], said: str) -> None:
    assert said in verdict.better_than_trivial(report)


@pytest.mark.parametrize(
    ("metric", "scores", "said"),
    [
        ("accuracy", (0.70, 0.75, 0.80), "would probably help"),
        ("accuracy", (0.70, 0.80, 0.802), "hardly help"),
        ("accuracy", (0.80, 0.70, 0.74), "not clear"),
        ("log_loss", (0.60, 0.50, 0.40), "would probably help"),
        ("rmse", (31000.0, 29700.0, 29600.0), "hardly help"),
        ("accuracy", (0.70, 0.80, 0.60), "not clear"),
    ],
)
def test_more_data_is_advised_when_the_last_doubling_paid(metric: str, scores: tuple[float, ...], said: str) -> None:
    curve = [{"rows": 100 * 2**step, "score": score} for step, score in enumerate(scores)]
    assert said in verdict.more_data({"candidates_metric": metric, "learning_curve": curve})


def calibration(said: float, happened: float, rows: int = 5000) -> dict[str, Any]:
    return {"score": {"calibration": [{"rows": rows, "mean_probability": said, "share_right": happened}]}}


def test_probabilities_are_believed_only_when_they_come_true() -> None:
    assert "at their word: they are" in verdict.calibrated(calibration(0.8, 0.79))
    assert "too sure" in verdict.calibrated(calibration(0.95, 0.7))
    assert "more often than it says" in verdict.calibrated(calibration(0.6, 0.9))


def test_probabilities_are_not_judged_on_a_handful_of_rows() -> None:
    assert "cannot be told" in verdict.calibrated(calibration(0.7, 0.9, rows=20))


def test_the_weakest_label_is_named_unless_it_has_almost_no_rows() -> None:
    classes = [
        {"label": "a", "rows": 50, "f1": 0.9, "precision": 0.9, "recall": 0.9},
        {"label": "b", "rows": 40, "f1": 0.5, "precision": 0.4, "recall": 0.6},
        {"label": "c", "rows": 1, "f1": 0.0, "precision": None, "recall": 0.0},
    ]
    assert "'b': 60 %" in verdict.weakest({"score": {"per_class": classes}})


def test_no_label_is_called_the_weakest_where_nothing_is_wrong() -> None:
    classes = [{"label": name, "rows": 30, "f1": 1.0, "precision": 1.0, "recall": 1.0} for name in "ab"]
    assert verdict.weakest({"score": {"per_class": classes}}) == ""


def test_the_learning_curve_says_what_it_measures() -> None:
    curve = [{"rows": 100, "score": 0.6}, {"rows": 200, "score": 0.4}]
    said = verdict.more_data({"candidates_metric": "log_loss", "learning_curve": curve})
    assert "the log loss of quick models went from 0.600 to 0.400" in said


@pytest.mark.parametrize("problem", EVERY_PROBLEM)
def test_the_terminal_gets_rows_of_equal_length_and_nothing_empty(problem: str) -> None:
    for heading, rows in lines(EVERY_PROBLEM[problem]()):
        assert rows, heading
        assert len({len(row) for row in rows}) == 1
        assert all(isinstance(cell, str) for row in rows for cell in row)


def test_the_terminal_starts_with_the_headline() -> None:
    assert lines(binary())[0] == ("", [(verdict.headline(binary()),)])


def test_nothing_is_said_of_nothing() -> None:
    assert lines({}) == []


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.8471, "0.847"),
        (0.0, "0.000"),
        (12345.6, "12,346"),
        (123.45, "123.5"),
        (0.00012, "0.00012"),
        (7, "7"),
        (None, "–"),
    ],
)
def test_numbers_are_written_for_people(value: object, written: str) -> None:
    assert number(value) == written


def test_shares_are_written_in_percent() -> None:
    assert [percent(share) for share in (0.5, 0.034, 1, None)] == ["50 %", "3.4 %", "100 %", "–"]
