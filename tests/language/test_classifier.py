"""Labels without training: the nearest description, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handrail
from handrail.core.errors import HandrailError
from handrail.language.classifier import BY_OURS, BY_OWN


@pytest.fixture(scope="module")
def classify(store: Path) -> handrail.Classifier:
    return handrail.Classifier(["refund", "praise"], strictness=-50, home=store)


def test_what_reads_like_a_label_gets_it(classify: handrail.Classifier) -> None:
    for label in classify.labels:
        answer = classify(f"This text is about {label}.")
        assert answer["label"] == label
        assert answer["probability"] == answer["probabilities"][label]
        assert sum(answer["probabilities"].values()) == pytest.approx(1)
        assert list(answer["probabilities"]) == ["refund", "praise", "none"]


def test_a_list_has_a_list_and_nothing_has_nothing(classify: handrail.Classifier) -> None:
    assert [answer["label"] for answer in classify(["This text is about praise.", "This text is about refund."])] == [
        "praise", "refund",
    ]  # fmt: skip
    assert classify([]) == []


def test_none_is_answered_where_it_is_likelier_than_not(store: Path) -> None:
    strict = handrail.Classifier(["refund", "praise"], strictness=50, home=store)
    answer = strict("something else entirely")
    assert answer["label"] == "none"
    assert answer["probability"] > 0.5
    assert handrail.Classifier(["refund", "praise"], none=False, home=store)("something else")["label"] != "none"


def test_a_deviation_more_of_strictness_asks_for_a_deviation_more_of_likeness(store: Path) -> None:
    texts, labels = [f"text number {number}" for number in range(20)], ["refund", "praise"]

    def logits(strictness: float) -> np.ndarray:
        classify = handrail.Classifier(labels, background=texts, strictness=strictness, home=store)
        none: np.ndarray = classify.probabilities(texts)[:, -1]
        return np.log(none / (1 - none))

    assert np.allclose(logits(1.0) - logits(0.0), BY_OWN.height)


def test_a_label_fits_less_surely_where_others_are_as_near() -> None:
    heights = np.array([[3.0, 0.0, 0.0], [3.0, 3.0, 3.0]])
    clear, unclear = np.array([[0.9, 0.05, 0.05]]), np.array([[0.34, 0.33, 0.33]])
    for judgement in (BY_OURS, BY_OWN):
        sure, unsure = (judgement.logits(heights[:1], shares, 0.0) for shares in (clear, unclear))
        assert sure > unsure
        many = np.repeat(unclear[:, :1] / 10, 30, axis=1)
        assert judgement.logits(heights[:1], many, 0.0) < unsure


def test_labels_may_be_described(store: Path) -> None:
    found = handrail.Classifier({"a": "money back", "b": "kind words"}, strictness=-50, home=store)(
        "This text is about kind words."
    )
    assert found["label"] == "b"
    assert np.isclose(sum(found["probabilities"].values()), 1)


def test_a_thousand_labels_are_no_trouble(store: Path) -> None:
    many = handrail.Classifier([f"label number {number}" for number in range(1_000)], none=False, home=store)
    assert many("This text is about label number 77.")["label"] == "label number 77"


@pytest.mark.parametrize(
    ("labels", "options", "said"),
    [
        ([], {}, "1 to 10,000"),
        ("refund", {}, "list of words"),
        (None, {}, "list of words"),
        (["a", "a"], {}, "given twice"),
        (["a", " "], {}, "label 2 is empty"),
        ({"a": ""}, {}, "label 1 is empty"),
        (["a", 3], {}, "label 2"),
        ({"a": None}, {}, "the meaning of label 1"),
        (["none", "a"], {}, "'none' is what is answered"),
        (["a"], {"none": False}, "one label alone"),
        (["a", "b"], {"template": "about"}, "template"),
        (["a", "b"], {"template": None}, "template"),
        (["a", "b"], {"strictness": float("nan")}, "strictness"),
        (["a", "b"], {"strictness": "very"}, "strictness"),
        (["a", "b"], {"background": ["few"]}, "background"),
        (["a", "b"], {"background": None}, "expected a text or a list"),
        ([str(number) for number in range(10_001)], {}, "received 10,001"),
    ],
)
def test_bad_labels_are_named(store: Path, labels: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(HandrailError) as caught:
        handrail.Classifier(labels, home=store, **options)
    assert said in caught.value.problem
    assert caught.value.code == "usage"


@pytest.mark.parametrize("text", ["", " \n", None, 7, ["a", ""], ["a", None]])
def test_bad_texts_are_named(classify: handrail.Classifier, text: Any) -> None:
    with pytest.raises(HandrailError):
        classify(text)
