"""What the report says of a training: importance, mistakes, what was left out, and how to make it again."""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.contracts.data import customers

import handrail
from handrail.core.errors import HandrailError
from handrail.measure.importance import permutation_importance


def trained(columns: dict[str, list[object]], target: str, **options: Any) -> handrail.Model:
    return handrail.train(columns, target=target, name="m", **{"trials": 1, **options})


def leaning(rows: int = 200) -> tuple[list[object], list[object], list[int]]:
    """A column that the answer leans on, one that it does not, and the answer as 0 and 1."""
    draw = random.Random(0)
    x, z = [draw.random() for _ in range(rows)], [draw.random() for _ in range(rows)]
    return [*x], [*z], [int(value > 0.5) for value in x]


@pytest.mark.parametrize("spelt", [{0: "no ", 1: " yes"}, {0: 0.0, 1: 1.0}], ids=["blanks", "floats"])
def test_importance_is_told_however_labels_are_spelt(home: Path, spelt: dict[int, object]) -> None:
    x, z, answers = leaning()
    model = trained({"x": x, "z": z, "label": [spelt[answer] for answer in answers]}, "label")
    found = {item["name"]: item["importance"] for item in model.report["importance"]}
    assert found["x"] > 0.1 > abs(found["z"])


def test_importance_is_told_where_amounts_have_a_decimal_comma(home: Path) -> None:
    x, z, answers = leaning()
    draw = random.Random(2)
    prices: list[object] = [f"{100 * answer + 50 * draw.random():.2f}".replace(".", ",") for answer in answers]
    model = trained({"x": x, "z": z, "price": prices}, "price")
    assert model.report["importance"][0]["name"] == "x"


def several(rows: int = 200) -> dict[str, list[object]]:
    draw = random.Random(1)
    columns: dict[str, list[object]] = {"title": [], "text": [], "tags": []}
    for _ in range(rows):
        tags = sorted(draw.sample(["red", "blue", "green", "black"], draw.randint(1, 3)))
        columns["title"].append(" ".join(draw.choices(["a", "story", "of", "long", "days"], k=4)))
        columns["text"].append(" ".join([*tags, *draw.choices(["some", "plain", "words", "here"], k=4)]))
        columns["tags"].append("|".join(tags if draw.random() < 0.9 else ["black"]))
    return columns


def test_several_labels_have_importance_and_mistakes(home: Path) -> None:
    report = trained(several(), "tags").report
    assert report["importance"][0]["name"] == "text"
    worst = report["mistakes"][0]
    assert worst["truth"] != worst["answer"]
    assert set(worst["answer"].split(", ")) <= {"red", "blue", "green", "black", "none of them"}
    sure = [item["probability"] for item in report["mistakes"]]
    assert sure == sorted(sure, reverse=True)
    assert min(sure) > 0.5


def test_what_there_was_no_time_for_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["handrail.training.findings"], "IMPORTANCE_SHARE", 0.0)
    model = trained(customers(120), "churned", trials=None, time=5.0)
    assert model.report["importance"] == []
    page = model.bundle.read("report.html").decode()
    assert "There was not time enough to shuffle every column" in page


def test_only_whole_rounds_of_shuffling_count(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    moments = iter([0.0, 0.0, 0.0, 0.0, 0.0, 9.0])
    monkeypatch.setattr("handrail.measure.importance.time.monotonic", lambda: next(moments))
    columns = {name: np.arange(20.0) for name in ("x", "y")}
    whole = permutation_importance(lambda some: float(some["x"][0]), columns, ["x", "y"], repeats=3, deadline_s=5.0)
    assert sorted(item["name"] for item in whole) == ["x", "y"]
    moments = iter([0.0, 0.0, 9.0])
    part = permutation_importance(lambda some: float(some["x"][0]), columns, ["x", "y"], repeats=3, deadline_s=5.0)
    assert part == []


def test_the_command_that_makes_it_again_has_every_option_that_was_given(home: Path) -> None:
    options: dict[str, Any] = {"kinds": {"age": "category"}, "effort": "quick", "seed": 3, "test_share": 0.3,
                               "group": "plan", "missing": ["NA", "n k"]}  # fmt: skip
    page = trained(customers(120), "churned", **options).bundle.read("report.html").decode()
    command = re.search("<pre>(handrail train .*?)</pre>", page)
    assert command is not None
    for words in ("--seed 3", "--kind age=category", "--effort quick", "--trials 1", "--test-share 0.3", "--group plan",
                  "--missing NA", "--missing &#x27;n k&#x27;"):  # fmt: skip
        assert words in command[1]
    assert "This gives the same bytes" in page


def test_a_command_with_a_time_does_not_promise_the_same_bytes(home: Path) -> None:
    page = trained(customers(120), "churned", trials=None, time=5.0).bundle.read("report.html").decode()
    assert "--time 5s" in page
    assert "Only --trials gives the same bytes" in page


def test_a_model_that_cannot_be_trained_leaves_no_run_behind(home: Path) -> None:
    with pytest.raises(HandrailError):
        trained(customers(120), "nothing like it")
    assert not (home / "runs").exists() or not list((home / "runs").iterdir())
