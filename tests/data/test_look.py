"""What is decided about a table, in the traps that others fall into."""

from __future__ import annotations

import csv
import io
import json
import math
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import handrail
from handrail.core.errors import HandrailError
from handrail.data.look import look_at, usable_rows
from handrail.data.read import read_bytes, read_table
from handrail.data.table import Table

ROWS = 120


def column(make: object, seed: int = 0) -> list[object]:
    draw = random.Random(seed)
    return [make(draw, number) for number in range(ROWS)]  # type: ignore[operator]


NOISE = column(lambda draw, number: round(draw.gauss(0, 1), 3))
TEXTS = column(
    lambda draw, number: " ".join(draw.choices(["good", "bad", "fine", "dull", "film", "plot"], k=6)) + f" {number}"
)


@pytest.mark.parametrize(
    ("name", "make", "problem"),
    [
        ("stars", lambda draw, number: draw.randint(1, 5), "regression"),
        ("quality", lambda draw, number: draw.randint(3, 9), "regression"),
        ("visits", lambda draw, number: draw.randint(0, 60), "regression"),
        ("year", lambda draw, number: draw.randint(1990, 2020), "regression"),
        ("price", lambda draw, number: round(draw.uniform(1, 99), 2), "regression"),
        ("label", lambda draw, number: draw.randint(0, 1), "binary"),
        ("default", lambda draw, number: draw.randint(1, 2), "binary"),
        ("churned", lambda draw, number: draw.choice(["Yes", "No"]), "binary"),
        ("species", lambda draw, number: draw.choice(["a", "b", "c"]), "multiclass"),
        ("label", lambda draw, number: draw.randint(0, 9), "multiclass"),
        ("class", lambda draw, number: draw.randint(1, 7), "multiclass"),
        ("Cover_Type", lambda draw, number: draw.randint(1, 7), "multiclass"),
        ("claims", lambda draw, number: draw.randint(0, 4), "regression"),
        ("n_bedrooms", lambda draw, number: draw.randint(1, 5), "regression"),
        ("price_type", lambda draw, number: draw.randint(1, 90), "regression"),
    ],
)
def test_the_problem_is_recognised_in_a_table(name: str, make: object, problem: str) -> None:
    look = look_at(read_table({"noise": NOISE, name: column(make, 1)}), target=name)
    assert look.problem == problem
    assert look.problem_reason


def test_codes_of_intents_are_classes_where_the_inputs_are_texts() -> None:
    codes = [number % 30 for number in range(ROWS)]
    assert look_at(read_table({"text": TEXTS, "intent": codes})).problem == "multiclass"


@pytest.mark.parametrize(
    ("name", "make", "problem"),
    [
        ("stars", lambda draw, number: draw.randint(1, 5), "regression"),
        ("year", lambda draw, number: draw.randint(2000, 2020), "regression"),
        ("upvotes", lambda draw, number: draw.randint(0, 25), "regression"),
        ("label", lambda draw, number: draw.randint(1, 5), "multiclass"),
    ],
)
def test_ratings_years_and_counts_of_texts_are_amounts(name: str, make: object, problem: str) -> None:
    assert look_at(read_table({"text": TEXTS, name: column(make)}), target=name).problem == problem


@pytest.mark.parametrize(
    ("words", "labels", "rows"),
    [
        (["1", "1", "0", "NA"], ("0", "1"), 90),
        (["no", "yes", "no", "N/A"], ("no", "yes"), 90),
        (["no", "yes", "no", "N", "Y", "FALSE"], ("no", "yes"), 120),
        (["NA", "fine", "bad", "fine"], ("NA", "bad", "fine"), 120),
    ],
)
def test_yes_and_no_are_two_labels_in_any_spelling(words: list[str], labels: tuple[str, ...], rows: int) -> None:
    table = read_table({"noise": NOISE, "churn": words * (ROWS // len(words))})
    look = look_at(table)
    assert look.labels == labels
    assert len(usable_rows(table, look)) == rows
    assert any("in several spellings" in note for note in look.notes) == (len(words) == 6)


def test_answers_in_several_spellings_are_learnt_and_scored_as_one(tmp_path: Path) -> None:
    words = [
        ["no", "N", "0", "no"][row % 4] if value < 0 else ["TRUE", "yes", "yes"][row % 3]
        for row, value in enumerate(NOISE)
    ]
    rows = {"size": NOISE, "noise": NOISE[::-1], "churn": words}
    model = handrail.train(rows, test=rows, trials=1, home=tmp_path)
    assert model.report["labels"] == ["no", "yes"]
    assert model.report["score"]["rows"] == ROWS
    assert model.report["score"]["metrics"]["accuracy"]["value"] > 0.9


@pytest.mark.parametrize("problem", [None, "regression", "classification"])
def test_a_target_whose_cells_all_mean_missing_is_refused_in_words(problem: str | None) -> None:
    table = read_table({"noise": NOISE, "y": ["NA", "?"] * 60})
    with pytest.raises(HandrailError, match="all its cells mean missing"):
        look_at(table, target="y", problem=problem)


def test_the_task_can_be_overruled() -> None:
    stars = column(lambda draw, number: draw.randint(1, 5))
    assert look_at(read_table({"noise": NOISE, "stars": stars}), problem="classification").problem == "multiclass"


def test_the_only_column_beside_a_text_is_the_target() -> None:
    look = look_at(read_table({"zzz": [number % 2 for number in range(ROWS)], "words": TEXTS}))
    assert look.target == "zzz"
    assert "only column beside the text" in look.target_reason


def test_several_labels_in_a_cell_are_recognised() -> None:
    tags = column(
        lambda draw, number: "|".join(sorted(draw.sample(["red", "blue", "green", "gold"], draw.randint(1, 3))))
    )
    look = look_at(read_table({"text": TEXTS, "tags": tags}), target="tags")
    assert look.problem == "multilabel"
    assert look.labels == ("blue", "gold", "green", "red")


@pytest.mark.parametrize(
    ("labels", "mark", "asked", "separator"),
    [
        (["a", "a|b", "b|c", "a|c", "b", "c"], "|", None, "|"),
        (["a", "a;b", "b"], ";", None, ";"),
        (["a", "a;b", "b"], ";", "multilabel", ";"),
        (["a", "a,b", "b"], ",", "multilabel", ","),
    ],
)
def test_few_labels_in_pairs_are_several_at_once(
    labels: list[str], mark: str, asked: str | None, separator: str
) -> None:
    look = look_at(read_table({"text": TEXTS, "tags": labels * (ROWS // len(labels))}), problem=asked)
    assert look.problem == "multilabel"
    assert look.label_separator == separator
    assert set(look.labels) == {part for label in labels for part in label.split(mark)}


def test_a_comma_within_a_label_does_not_divide_it() -> None:
    places = ["Austin, TX", "Boise, ID", "Dallas, TX"] * 40
    assert look_at(read_table({"text": TEXTS, "place": places})).problem == "multiclass"


LISTS = [[], ["a"], ["a", "b"], None, ["b"]] * (ROWS // 5)


@pytest.mark.parametrize("form", ["rows", "json", "frame"])
def test_lists_are_several_labels_and_an_empty_list_is_an_answer(form: str, tmp_path: Path) -> None:
    rows = [{"text": text, "tags": tags} for text, tags in zip(TEXTS, LISTS, strict=True)]
    sources = {"rows": rows, "frame": pd.DataFrame(rows), "json": tmp_path / "rows.jsonl"}
    sources["json"].write_text("\n".join(map(json.dumps, rows)))  # type: ignore[attr-defined]
    table = read_table(sources[form])
    look = look_at(table)
    assert look.problem == "multilabel"
    assert look.labels == ("a", "b")
    assert len(usable_rows(table, look)) == ROWS - ROWS // 5


def test_rows_with_none_of_the_labels_are_learnt_and_scored(tmp_path: Path) -> None:
    rows = [{"text": text, "tags": tags} for text, tags in zip(TEXTS, LISTS, strict=True)]
    report = handrail.train(rows, test=rows, trials=1, home=tmp_path).report
    assert report["rows"] == {"train": ROWS * 4 // 5, "test": ROWS * 4 // 5}
    assert report["score"]["rows"] == ROWS * 4 // 5


def test_a_strong_feature_is_no_leak_but_that_it_may_be_is_told() -> None:
    label = [number % 2 for number in range(ROWS)]
    strong = [value * 10 + noise for value, noise in zip(label, NOISE, strict=True)]
    look = look_at(read_table({"strong": strong, "noise": NOISE, "label": label}))
    assert all(one.used for one in look.columns if one.name != "label")
    assert [note for note in look.notes if "may give the answer away" in note and "'strong'" in note]
    assert not [note for note in look.notes if "'noise'" in note]


def test_a_copy_of_an_amount_in_another_unit_is_a_leak() -> None:
    price = column(lambda draw, number: round(draw.uniform(1, 99), 2), 5)
    look = look_at(
        read_table({"noise": NOISE, "cents": [value * 100 for value in price], "price": price}), target="price"
    )
    assert [one.kind for one in look.columns if one.name == "cents"] == ["leak"]


@pytest.mark.parametrize(("scale", "kind"), [(math.log, "leak"), (lambda value: value + 9 * math.sin(value), "number")])
def test_a_copy_of_an_amount_on_another_scale_is_a_leak(scale: object, kind: str) -> None:
    price = column(lambda draw, number: round(draw.uniform(1, 99), 2), 5)
    table = read_table({"noise": NOISE, "other": [scale(value) for value in price], "price": price})  # type: ignore[operator]
    assert [one.kind for one in look_at(table, target="price").columns if one.name == "other"] == [kind]


def test_a_year_is_no_leak_of_what_grows_with_the_years() -> None:
    table = read_table(
        {"year": range(1900, 1900 + ROWS), "noise": NOISE, "people": [1.02**year for year in range(ROWS)]}
    )
    assert [one.used for one in look_at(table, target="people").columns if one.name == "year"] == [True]


def test_a_word_that_stands_for_each_answer_is_a_leak_in_small_tables_too() -> None:
    label = [NOISE[row] > 0 for row in range(40)]
    look = look_at(read_table({"noise": NOISE[40:80], "alive": [["no", "yes"][one] for one in label], "label": label}))
    assert [one.kind for one in look.columns if one.name == "alive"] == ["leak"]


def test_repeated_patients_are_kept_together() -> None:
    patients = [f"P{number // 4}" for number in range(ROWS)]
    look = look_at(read_table({"patient_id": patients, "noise": NOISE, "label": [n % 2 for n in range(ROWS)]}))
    assert look.split.kind == "group"
    assert look.split.column == "patient_id"


@pytest.mark.parametrize("name", ["customer_id", "Patient", "userId", "STORE_ID"])
def test_whole_numbers_that_name_repeated_people_keep_their_rows_together(name: str) -> None:
    look = look_at(
        read_table({name: [number * 7 % 30 for number in range(ROWS)], "noise": NOISE, "label": ["a", "b"] * 60})
    )
    assert look.split.column == name
    assert [one.kind for one in look.columns if one.name == name] == ["category"]


@pytest.mark.parametrize("name", ["users", "family", "store"])
def test_whole_numbers_that_may_count_are_no_groups(name: str) -> None:
    look = look_at(
        read_table({name: [number * 7 % 30 for number in range(ROWS)], "noise": NOISE, "label": ["a", "b"] * 60})
    )
    assert look.split.kind == "stratified"


def test_rows_in_the_order_of_time_are_tested_on_the_latest() -> None:
    days = [f"2024-{1 + number // 28:02d}-{1 + number % 28:02d}" for number in range(ROWS)]
    look = look_at(read_table({"day": days, "noise": NOISE, "label": [n % 2 for n in range(ROWS)]}))
    assert look.split.kind == "time"


def test_the_latest_rows_are_the_test_where_the_newest_come_first() -> None:
    days = [f"2024-{1 + number // 28:02d}-{1 + number % 28:02d}" for number in reversed(range(ROWS))]
    look = look_at(read_table({"day": days, "noise": NOISE, "label": [n % 2 for n in range(ROWS)]}))
    assert look.split.kind == "time"
    assert "reverse order" in look.split.reason


def test_steps_that_count_the_rows_can_be_the_time() -> None:
    table = read_table({"t": list(range(ROWS)), "noise": NOISE, "label": [n % 2 for n in range(ROWS)]})
    split = look_at(table, time="t").split
    assert split.keys is not None
    assert split.keys.tolist() == list(range(ROWS))
    with pytest.raises(HandrailError, match="holds no dates or numbers"):
        look_at(read_table({"t": [f"k{n}" for n in range(ROWS)], "noise": NOISE, "label": NOISE[::-1]}), time="t")


def test_equal_rows_are_twins() -> None:
    look = look_at(read_table({"noise": [*NOISE[:60], *NOISE[:60]], "label": [n % 2 for n in range(ROWS)]}))
    assert look.twins is not None
    assert len(np.unique(look.twins)) == 60


def test_rows_without_an_answer_are_not_usable_and_counted() -> None:
    labels = [None if number % 10 == 0 else "ab"[number % 2] for number in range(ROWS)]
    table = read_table({"noise": NOISE, "label": labels})
    look = look_at(table)
    assert len(usable_rows(table, look)) == ROWS - 12
    assert any("12 of 120 rows are left out" in note for note in look.notes)


def test_a_data_frame_reads_like_its_file() -> None:
    frame = pd.DataFrame({"noise": NOISE, "when": pd.date_range("2024-01-01", periods=ROWS), "label": ["x", "y"] * 60})
    by_file = look_at(read_bytes(frame.to_csv(index=False).encode(), "x.csv"))
    by_frame = look_at(read_table(frame))
    assert [one.kind for one in by_file.columns] == [one.kind for one in by_frame.columns]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12), min_size=3, max_size=3),
        min_size=2,
        max_size=8,
    )
)
def test_whatever_a_csv_writer_writes_is_read_back(rows: list[list[str]]) -> None:
    rows = [["h1", "h2", "h3"], *([cell or "x" for cell in row] for row in rows)]
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    found = read_bytes(text.getvalue().encode(), "x.csv", header=True, separator=",")
    assert [list(row) for row in zip(*found.columns.values(), strict=True)] == rows[1:]


def test_a_table_can_be_selected_and_cut() -> None:
    table = Table({"a": [1, 2, 3], "b": ["x", "y", "z"]})
    assert table.select([2, 0]).columns == {"a": [3, 1], "b": ["z", "x"]}
    assert table.without(["a"]).columns == {"b": ["x", "y", "z"]}
    assert list(table.rows())[1] == {"a": 2, "b": "y"}


def written(make: object, separator: str = ",") -> Table:
    lines = [separator.join(["amount", "noise", "label"])]
    amounts, noise = column(make, 3), column(lambda draw, number: draw.randint(1, 9), 4)
    lines += [separator.join([str(amount), str(noise[row]), "ab"[row % 2]]) for row, amount in enumerate(amounts)]
    return read_bytes("\n".join(lines).encode(), "x.csv")


@pytest.mark.parametrize(
    ("mark", "separator", "unmarked", "value"),
    [
        (",", ",", "314", 42346),
        (".", ";", "314", 42346),
        (".", ";", "2314", 42.346),
        (".", ",", "314", 42.346),
        (",", ";", "0,314", 42.346),
        (",", ";", "31,4", 42.346),
    ],
)
def test_thousands_are_told_from_fractions(mark: str, separator: str, unmarked: str, value: float) -> None:
    def make(draw: random.Random, number: int) -> str:
        return f'"{draw.randint(1, 99)}{mark}{draw.randint(0, 999):03}"' if number % 9 else f'"{unmarked}"'

    (amount,) = [field for field in look_at(written(make, separator)).inputs() if field.name == "amount"]
    assert amount.parse(f"42{mark}346") == value


def test_a_number_that_two_styles_read_is_told_with_the_reading_taken() -> None:
    look = look_at(written(lambda draw, number: f'"{draw.randint(1, 99)},{draw.randint(0, 999):03}"'))
    (note,) = [note for note in look.notes if "'amount'" in note]
    assert "is read as" in note
    assert "is meant, write" in note


def test_the_mark_of_one_column_tells_how_the_others_are_written() -> None:
    rows = "".join(f"{1 + row % 9}.{row:03};{row},5;{'xy'[row % 2]}\n" for row in range(ROWS))
    area, size = look_at(read_bytes(b"area;size;label\n" + rows.encode(), "x.csv")).inputs()
    assert area.parse("12.667") == 12667
    assert size.parse("3,5") == 3.5


def test_a_word_that_means_missing_is_missing_where_the_model_is_trained_and_tested(tmp_path: Path) -> None:
    sizes = [str(value) if row % 10 else "unkn" for row, value in enumerate(NOISE)]
    labels = ["unkn" if row % 12 == 0 else "ab"[value > 0] for row, value in enumerate(NOISE)]
    rows = {"size": sizes, "noise": NOISE[::-1], "label": labels}
    model = handrail.train(rows, test=rows, missing=["UNKN"], trials=1, home=tmp_path)
    size, _ = model.signature.inputs
    assert size.kind == "number"
    assert model.signature.output.labels == ("a", "b")
    assert model.report["rows"] == {"train": 110, "test": 110}
    assert any("'UNKN' means missing in 22 cells" in warning for warning in model.report["warnings"])


def test_a_word_that_no_cell_holds_is_told() -> None:
    table = read_table({"noise": NOISE, "label": ["a", "b"] * 60})
    assert any("no cell is 'n/v'" in note for note in look_at(table, missing=["n/v"]).notes)


@pytest.mark.parametrize(
    ("make", "separator"),
    [
        (lambda value: f"{value / 100:.2f}".replace(".", ","), ";"),
        (lambda value: f'"{value:,}"', ","),
        (lambda value: f"{value:,}".replace(",", "."), ";"),
        (lambda value: f"{value:,}.50".replace(",", " ").replace(".", ","), ";"),
    ],
)
def test_an_amount_in_any_style_is_learnt_and_measured(tmp_path: Path, make: object, separator: str) -> None:
    prices = [1000 + 517 * number for number in range(ROWS)]
    lines = [separator.join([str(p % 97), str(p // 6000), make(p)]) for p in prices]  # type: ignore[operator]
    path = tmp_path / "prices.csv"
    path.write_text("\n".join([separator.join(["noise", "size", "price"]), *lines]))
    model = handrail.train(path, target="price", trials=1, home=tmp_path)
    assert model.report["problem"] == "regression"
    assert model.report["score"]["metrics"]["r2"]["value"] > 0.5
    assert model.evaluate(path)["metrics"]["r2"]["value"] > 0.5


@pytest.mark.parametrize("words", [("no", "Yes"), ("No", "Yes"), ("FALSE", "true"), ("0", "1"), ("n", "Y")])
def test_of_no_and_yes_the_second_is_what_is_looked_for(words: tuple[str, str]) -> None:
    answers = [words[number % 3 == 0] for number in range(ROWS)]
    assert look_at(read_table({"noise": NOISE, "returned": answers}), target="returned").labels == words
