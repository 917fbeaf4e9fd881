"""What a model takes in Python: rows, columns, tables of any library; what it does not take is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import handrail
from handrail.core.errors import HandrailError
from handrail.core.events import Warned
from handrail.training.asked import checked_order
from tests.contracts.data import customers
from tests.contracts.data import reviews as reviews_columns
from tests.faces.test_verbs import table_file
from tests.serve.bundles import ROW, ROWS


@pytest.fixture
def churn(stocked: Path) -> handrail.Model:
    return handrail.load("churn", home=stocked)


@pytest.fixture
def reviews(stocked: Path) -> handrail.Model:
    return handrail.load("reviews", home=stocked)


def test_cells_of_numpy_and_pandas_are_answered(churn: handrail.Model) -> None:
    wanted = churn(ROW)
    for age in (np.int64(30), np.float32(30)):
        assert churn({**ROW, "age": age, "active": np.bool_(True)}) == wanted
    assert churn({**ROW, "age": pd.NA}) == churn({**ROW, "age": None})
    with pytest.raises(HandrailError, match="field 'age': expected a number, received object"):
        churn({**ROW, "age": object()})


def test_a_row_of_a_frame_is_one_row_and_a_column_of_texts_many(churn: handrail.Model, reviews: handrail.Model) -> None:
    frame = pd.DataFrame(ROWS)
    assert churn(frame.iloc[0]) == churn(ROW)
    assert churn.explain(frame.iloc[0])["answer"] == churn(ROW)
    texts = pd.Series(["lovely, a joy", "dull, awful"], name="text")
    assert [answer["label"] for answer in reviews(texts)] == ["good", "bad"]
    assert reviews.predict(texts) == reviews(texts)


def test_a_table_without_rows_gets_no_answers(churn: handrail.Model) -> None:
    assert churn(pd.DataFrame(ROWS).iloc[:0]) == []
    assert churn([]) == []


@pytest.mark.parametrize("rows", [np.zeros((2, 3)), np.array(["lovely"]), (row for row in ROWS), 7, None, {"a"}])
def test_what_holds_no_rows_is_named_by_its_type(churn: handrail.Model, rows: Any) -> None:
    with pytest.raises(HandrailError, match=f"received {type(rows).__name__}") as caught:
        churn(rows)
    assert caught.value.code == "usage"


def test_the_name_of_a_file_is_told_how_to_be_read(churn: handrail.Model, tmp_path: Path) -> None:
    path = table_file(tmp_path, rows="30,pro,yes\n")
    assert churn.predict(path) == [churn(ROW)]
    with pytest.raises(HandrailError) as caught:
        churn.predict(str(path))
    assert caught.value.mend == f"model.predict(Path({str(path)!r})) answers the rows of a file"
    with pytest.raises(HandrailError, match="a list of rows") as caught:
        churn.predict(ROW)
    assert "model(row)" in caught.value.mend


@pytest.mark.parametrize("budget", [{"time": "2s"}, {"time": 2}, {"time": np.float32(2)}, {"time_s": 2.0}])
def test_time_is_the_budget_as_it_is_on_the_command_line(budget: dict[str, Any]) -> None:
    assert checked_order("good", budget.get("time"), None, 0, time_s=budget.get("time_s")).time_s == 2.0


def test_a_column_of_times_is_the_time_column(home: Path) -> None:
    days = [f"2024-{1 + day // 28:02d}-{1 + day % 28:02d}" for day in range(100)]
    rows = {"text": reviews_columns(100)["text"], "when": days, "label": reviews_columns(100)["label"]}
    model = handrail.train(
        rows, target="label", time_column="when", time="30s", effort="quick", kinds={"when": "ignore"}
    )
    assert model.report["split"]["kind"] == "time"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"time": "when"}, "time must be 1s to 30 days, received 'when'"),
        ({"time_s": "soon"}, "time must be"),
        ({"time": True}, "time must be"),
        ({"time": "5s", "time_s": 5}, "the same"),
        ({"seed": "x"}, "seed must be a whole number"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"trials": "8"}, "trials must be a whole number"),
        ({"name": ""}, "a model cannot be called ''"),
    ],
)
def test_options_of_another_type_are_usage_errors(home: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(HandrailError, match=said) as caught:
        handrail.train(reviews_columns(40), **options)
    assert caught.value.exit_status == 2
    assert not home.exists()


def test_test_rows_that_the_model_would_refuse_are_left_out_and_told(home: Path) -> None:
    columns = customers(120)
    test = {name: cells[:60] for name, cells in customers(120).items()}
    required = next(name for name, cells in columns.items() if None not in cells and name != "churned")
    test[required] = [None, *test[required][1:]]
    told: list[Any] = []
    model = handrail.train(columns, target="churned", trials=1, test=test, tell=told.append)
    assert model.report["rows"]["test"] == 59
    assert any("1 of 60 test rows lack" in event.text for event in told if isinstance(event, Warned))
    with pytest.raises(HandrailError, match="60 of 60 test rows lack"):
        handrail.train(columns, target="churned", trials=1, test={**test, required: [None] * 60})
