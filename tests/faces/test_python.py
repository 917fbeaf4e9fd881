"""What a model takes in Python: rows, columns, tables of any library; what it does not take is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import handrail
from handrail.core.errors import HandrailError
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
