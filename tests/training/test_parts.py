"""What is set aside, from a table or from a file of one's own, and what is said of it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import handrail
from handrail.core.errors import HandrailError
from handrail.core.events import Event, Warned
from handrail.data.look import Look, look_at
from handrail.data.read import read_table
from handrail.data.table import Table
from handrail.training.parts import Parts, set_apart


def rows(count: int = 300) -> dict[str, list[object]]:
    draw = random.Random(0)
    return {
        "x": [draw.random() for _ in range(count)],
        "z": [draw.choice("ab") for _ in range(count)],
        "label": [draw.choice("uv") for _ in range(count)],
    }


def looked(columns: dict[str, list[object]], **options: str) -> tuple[Table, Look]:
    table = read_table(columns)
    return table, look_at(table, target="label", **options)  # type: ignore[arg-type]


def apart(
    columns: dict[str, list[object]], *, test: object = None, share: float | None = None, **options: str
) -> Parts:
    return set_apart(*looked(columns, **options), test, share, 0)


def test_a_test_file_that_lacks_a_column_is_refused_by_its_name() -> None:
    with pytest.raises(HandrailError, match="the test file has no column 'z'") as caught:
        apart(rows(), test={"x": [1.0], "label": ["u"]})
    assert caught.value.field == "z"


def test_a_column_of_the_test_file_with_nearly_the_right_name_is_named() -> None:
    columns = {**rows(), "amount": rows()["x"]}
    test = {name if name != "amount" else "Amounts": cells for name, cells in columns.items()}
    with pytest.raises(HandrailError) as caught:
        apart({**columns, "x": [*range(300)]}, test=test)
    assert caught.value.mend == "rename 'Amounts' to 'amount'?"


def test_test_rows_with_strange_labels_count_as_wrong_and_are_told(home: Path) -> None:
    told: list[Event] = []
    test = {**rows(60), "label": ["w"] * 30 + ["u"] * 20 + ["v"] * 9 + [""]}
    model = handrail.train(rows(), target="label", trials=1, test=test, tell=told.append)
    assert model.report["score"]["rows"] == 59
    assert model.report["score"]["metrics"]["accuracy"]["value"] < 30 / 59
    warnings = [event.text for event in told if isinstance(event, Warned)]
    assert any("30 of 59 test rows have labels that training did not see ('w')" in text for text in warnings)
    assert any("1 of 60 test rows have no answer" in text for text in model.report["warnings"])


def test_a_test_by_time_that_is_not_as_large_as_asked_is_told() -> None:
    parts = apart({**rows(400), "year": [2019] * 200 + [2020] * 200}, time="year")
    assert parts.test is not None
    assert len(parts.test) == 200
    assert parts.notes == ("200 rows are the test, not 80: rows of the same 'year' stay together",)


def test_a_test_that_cuts_through_a_moment_is_told() -> None:
    parts = apart({**rows(400), "year": [2019] * 50 + [2020] * 350}, time="year")
    assert parts.notes == ("most rows have the latest 'year': the last 80 of them in the file are the test",)


def test_labels_with_a_group_each_are_split_at_random_and_told(home: Path) -> None:
    sites = [f"s{number // 50}" for number in range(300)]
    columns = {"x": rows()["x"], "site": sites, "label": [f"L{site}" for site in sites]}
    model = handrail.train(columns, target="label", group="site", trials=1)
    assert model.report["split"]["kind"] == "stratified"
    assert any("each label is in one group of 'site' only" in text for text in model.report["warnings"])


def test_a_group_with_most_of_the_rows_is_told(home: Path) -> None:
    sites = ["A" if number % 20 else f"B{number}" for number in range(300)]
    model = handrail.train({**rows(), "site": sites}, target="label", group="site", trials=1)
    assert model.report["rows"] == {"train": 300, "test": 0}
    assert any("one group of 'site' has 285 of 300 rows" in text for text in model.report["warnings"])


def test_a_table_with_two_different_rows_is_learnt_from(home: Path) -> None:
    draw = random.Random(0)
    columns = {"sex": [draw.choice("mf") for _ in range(300)], "label": rows()["label"]}
    model = handrail.train(columns, target="label", trials=2)
    assert model({"sex": "m"})["label"] in ("u", "v")
    with pytest.raises(HandrailError, match="no row of 300 can be set aside"):
        handrail.train(columns, target="label", trials=2, test_share=0.2)
