"""Every measure equals scikit-learn's, ties and strange labels included; intervals hold what they should."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from handrail.measure import classification, multilabel, regression
from handrail.measure.ranking import average_precision, ranked, roc_auc


@pytest.fixture
def unrounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets all digits through: reports keep six."""
    for module in ("classes", "label_sets", "numbers"):
        monkeypatch.setattr(f"handrail.measure.{module}.rounded", lambda found: found)


def near(found: float, wanted: float) -> None:
    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def answers(labels: int, rows: int, seed: int, decimals: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with many ties, and the right labels, related to them."""
    draw = np.random.default_rng(seed)
    scores = draw.dirichlet(np.ones(labels), rows)
    truth = np.array([draw.choice(labels, p=row) for row in scores])
    coarse = np.round(scores, decimals) + 1e-3
    return coarse / coarse.sum(axis=1, keepdims=True), truth


def measured(labels: int, rows: int, seed: int) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    scores, truth = answers(labels, rows, seed)
    names = [f"label {index}" for index in range(labels)]
    shares = np.bincount(truth, minlength=labels) / rows
    return classification(names, scores, [names[index] for index in truth], shares), scores, truth


@pytest.mark.parametrize("seed", range(5))
def test_areas_equal_scikit_learns_to_the_last_digits_with_ties_and_with_repeated_rows(seed: int) -> None:
    draw = np.random.default_rng(seed)
    scores = draw.random(200).round(1 + seed % 2)
    truth = draw.random(200) < scores
    times = draw.integers(0, 4, 200)
    ranking, weights = ranked(scores, truth), times[:, None].astype(np.float64)
    repeated = np.repeat(truth, times), np.repeat(scores, times)
    assert roc_auc(ranking, weights)[0] == pytest.approx(reference.roc_auc_score(*repeated), abs=1e-9)
    wanted = reference.average_precision_score(*repeated)
    assert average_precision(ranking, weights)[0] == pytest.approx(wanted, abs=1e-9)


@pytest.mark.usefixtures("unrounded")
@pytest.mark.parametrize("seed", range(3))
def test_binary_measures_equal_scikit_learns(seed: int) -> None:
    found, scores, truth = measured(2, 400, seed)
    value = {name: item["value"] for name, item in found["metrics"].items()}
    said = scores.argmax(axis=1)
    near(value["roc_auc"], reference.roc_auc_score(truth, scores[:, 1]))
    near(value["average_precision"], reference.average_precision_score(truth, scores[:, 1]))
    near(value["accuracy"], reference.accuracy_score(truth, said))
    near(value["balanced_accuracy"], reference.balanced_accuracy_score(truth, said))
    near(value["f1_macro"], reference.f1_score(truth, said, average="macro"))
    near(value["log_loss"], reference.log_loss(truth, scores))
    near(value["brier"], reference.brier_score_loss(truth, scores[:, 1]))


@pytest.mark.usefixtures("unrounded")
@pytest.mark.parametrize("labels", [3, 9])
def test_measures_of_many_labels_equal_scikit_learns(labels: int) -> None:
    found, scores, truth = measured(labels, 500, labels)
    value = {name: item["value"] for name, item in found["metrics"].items()}
    said = scores.argmax(axis=1)
    near(value["roc_auc"], reference.roc_auc_score(truth, scores, multi_class="ovr", average="macro"))
    near(value["balanced_accuracy"], reference.balanced_accuracy_score(truth, said))
    near(value["f1_macro"], reference.f1_score(truth, said, average="macro"))
    near(value["log_loss"], reference.log_loss(truth, scores))
    precision, recall, f1, rows = reference.precision_recall_fscore_support(truth, said, zero_division=0)
    for index, item in enumerate(found["per_class"]):
        near(item["precision"], precision[index])
        near(item["recall"], recall[index])
        near(item["f1"], f1[index])
        assert item["rows"] == rows[index]
    assert found["confusion"]["matrix"].tolist() == reference.confusion_matrix(truth, said).tolist()


@pytest.mark.usefixtures("unrounded")
def test_measures_of_label_sets_equal_scikit_learns() -> None:
    draw = np.random.default_rng(0)
    scores = draw.random((300, 5)).round(1)
    truth = draw.random((300, 5)) < scores * 0.8
    names = list("abcde")
    sets = [[name for name, has in zip(names, row, strict=True) if has] for row in truth]
    found = multilabel(names, scores, sets, np.full(5, 0.5), truth.mean(axis=0))
    value = {name: item["value"] for name, item in found["metrics"].items()}
    said = scores >= 0.5
    near(value["f1_micro"], reference.f1_score(truth, said, average="micro"))
    near(value["f1_macro"], reference.f1_score(truth, said, average="macro"))
    near(value["exact_match"], reference.accuracy_score(truth, said))
    near(value["hamming_loss"], reference.hamming_loss(truth, said))
    near(value["average_precision"], reference.average_precision_score(truth, scores, average="macro"))
    near(value["roc_auc"], reference.roc_auc_score(truth, scores, average="macro"))


@pytest.mark.usefixtures("unrounded")
def test_measures_of_numbers_equal_scikit_learns() -> None:
    draw = np.random.default_rng(0)
    truth = draw.normal(50, 10, 301)
    values = (truth + draw.normal(0, 5, 301)).round()
    found = regression(values, truth, float(truth.mean()), low=values - 8, high=values + 8)
    value = {name: item["value"] for name, item in found["metrics"].items()}
    near(value["r2"], reference.r2_score(truth, values))
    near(value["mae"], reference.mean_absolute_error(truth, values))
    near(value["rmse"], reference.root_mean_squared_error(truth, values))
    near(value["median_absolute_error"], reference.median_absolute_error(truth, values))
    near(value["mape"], reference.mean_absolute_percentage_error(truth, values))
    near(value["coverage_90"], float(np.mean(np.abs(truth - values) <= 8)))
    near(found["metrics"]["r2"]["baseline"], 0.0)


def test_relative_errors_are_left_out_where_the_truth_comes_near_zero() -> None:
    assert "mape" not in regression(np.ones(3), np.array([0.0, 5.0, 9.0]), 1.0)["metrics"]


@pytest.mark.usefixtures("unrounded")
def test_the_trivial_model_ranks_nothing() -> None:
    found, _, truth = measured(2, 400, 0)
    assert found["metrics"]["roc_auc"]["baseline"] == 0.5
    near(found["metrics"]["accuracy"]["baseline"], max(truth.mean(), 1 - truth.mean()))


def test_intervals_hold_the_true_accuracy_about_as_often_as_they_say() -> None:
    held = 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        right = draw.random(150) < 0.8
        scores = np.where(right, 0.9, 0.1)[:, None] * [0, 1] + np.where(right, 0.1, 0.9)[:, None] * [1, 0]
        accuracy = classification(["a", "b"], scores, ["b"] * 150, np.array([0.5, 0.5]))["metrics"]["accuracy"]
        held += accuracy["low"] <= 0.8 <= accuracy["high"]
    assert held >= 51


def test_the_same_seed_gives_the_same_intervals() -> None:
    assert measured(2, 200, 4)[0] == measured(2, 200, 4)[0]


def test_a_threshold_counts_what_it_flags() -> None:
    found, scores, truth = measured(2, 300, 1)
    assert len(found["thresholds"]) == 101
    for step in found["thresholds"][::7]:
        said = scores[:, 1] >= step["threshold"]
        assert step["tp"] == int((said & (truth == 1)).sum())
        assert step["fp"] == int((said & (truth == 0)).sum())
        assert step["tp"] + step["fp"] + step["fn"] + step["tn"] == 300


def test_curves_have_few_points_and_both_ends() -> None:
    curve = measured(2, 3000, 2)[0]["curves"][0]
    roc = curve["roc"]
    assert len(roc["true_positive_rate"]) <= 100
    assert (roc["false_positive_rate"][0], roc["true_positive_rate"][0]) == (0, 0)
    assert (roc["false_positive_rate"][-1], roc["true_positive_rate"][-1]) == (1, 1)
    assert curve["precision_recall"]["recall"][-1] == 1


def test_a_label_that_training_never_saw_counts_as_wrong() -> None:
    found = classification(["a", "b"], np.array([[0.9, 0.1], [0.2, 0.8]]), ["a", "new"], np.array([0.5, 0.5]))
    assert found["metrics"]["accuracy"]["value"] == 0.5
    assert found["per_class"][2]["label"] == "new"
    assert found["per_class"][2]["recall"] == 0


def test_many_labels_are_shown_as_thirty_and_the_rest() -> None:
    confusion = measured(40, 2000, 0)[0]["confusion"]
    assert len(confusion["labels"]) == 31
    assert sum(map(sum, confusion["matrix"])) == 2000


@pytest.mark.parametrize(
    "found",
    [
        classification(["a", "b"], np.zeros((0, 2)), [], np.array([0.5, 0.5])),
        classification(["a", "b"], np.full((3, 2), 0.5), ["a", "a", "a"], np.array([1.0, 0.0])),
        classification(["a"], np.ones((2, 1)), ["a", "a"], np.ones(1)),
        multilabel(["a"], np.zeros((0, 1)), [], np.array([0.5]), np.array([0.1])),
        multilabel(["a"], np.ones((2, 1)), [[], ["z"]], np.array([0.5]), np.array([0.1])),
        regression(np.zeros(0), np.zeros(0), 0.0),
        regression(np.ones(4), np.full(4, 2.0), 2.0),
    ],
    ids=["no rows", "one kind", "one label", "no sets", "empty sets", "no numbers", "constant"],
)
def test_what_is_not_defined_is_none_and_never_nan(found: dict[str, Any]) -> None:
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_five_thousand_rows_take_less_than_half_a_second() -> None:
    scores, truth = answers(2, 5000, 0, decimals=6)
    words = [("a", "b")[index] for index in truth]
    started = time.process_time()
    classification(["a", "b"], scores, words, np.array([0.5, 0.5]))
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("rows", [20, 69, 1000])
def test_where_nothing_is_wrong_the_interval_still_leaves_room(rows: int) -> None:
    truth = ["ab"[row % 2] for row in range(rows)]
    scores = np.array([[0.9, 0.1] if word == "a" else [0.1, 0.9] for word in truth])
    metrics = classification(["a", "b"], scores, truth, np.array([0.5, 0.5]))["metrics"]
    for name in ("accuracy", "roc_auc", "f1_macro"):
        assert metrics[name]["high"] == metrics[name]["value"] == 1.0
        assert metrics[name]["low"] == pytest.approx(rows / (rows + 1.96**2), rel=1e-4)
    wrong = classification(["a", "b"], scores[:, ::-1], truth, np.array([0.5, 0.5]))["metrics"]["accuracy"]
    assert (wrong["low"], wrong["value"]) == (0.0, 0.0)
    assert wrong["high"] > 0
