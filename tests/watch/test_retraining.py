"""Kept inputs with right answers are rows to learn from again."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import orjson
import pytest

import handrail
from handrail.core.errors import HandrailError
from handrail.core.field import Field
from handrail.core.signature import Signature
from handrail.data.read import read_table
from handrail.model import Model, load
from handrail.serve.formats.rows import compiled
from handrail.watch import feedback_table, watcher
from handrail.watch.feedback import Right
from handrail.watch.profile import profile_in
from handrail.watch.retraining import again, joined
from handrail.watch.watcher import Watcher
from tests.contracts.data import customers
from tests.faces.conftest import Cli
from tests.watch.watched import SIGNATURE, TAGS, Asked, checked, columns, label, watching


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for more to come."""
    monkeypatch.setattr(watcher, "GATHER_S", 0.01)
    monkeypatch.setattr(watcher, "PAUSE_S", 0.0)


def answered(home: Path, rows: int, asked: Asked, signature: Signature = SIGNATURE) -> None:
    with watching(home, asked, signature=signature) as watched:
        for place, row in enumerate(checked(columns(rows, 3))):
            watched.seen(b"id-%d" % place, [row], [label("no")])
        watched.feedback([Right(f"id-{place}", "yes") for place in range(rows)])


def test_cells_are_as_the_columns_of_the_file_have_them(home: Path) -> None:
    answered(home, 30, Asked(sample=1.0))
    table, cells = feedback_table(home, "churn"), columns(30, 3)
    assert list(table.columns) == ["age", "plan", "note", "since", "active", "churned"]
    assert table.columns["churned"] == ["yes"] * 30
    for field in SIGNATURE.inputs:
        given, kept = field.parse_column(cells[field.name]), field.parse_column(table.columns[field.name])
        assert all(one == other or (one != one and other != other) for one, other in zip(given, kept, strict=True))
    assert table.columns["since"] == cells["since"]


def test_what_is_redacted_is_no_column(home: Path) -> None:
    answered(home, 30, Asked(sample=1.0, redact=("age", "note")))
    assert list(feedback_table(home, "churn").columns) == ["plan", "since", "active", "churned"]


def test_a_number_is_written_with_its_columns_mark(home: Path) -> None:
    signature = Signature((Field("price", "number", decimal=",", thousands="."),), SIGNATURE.output)
    with watching(home, Asked(sample=1.0), signature=signature) as watched:
        for place in range(20):
            watched.seen(b"id-%d" % place, [[1_234.5 + place]], [label("no")])
        watched.feedback([Right(f"id-{place}", "yes") for place in range(20)])
    cells = feedback_table(home, "churn").columns["price"]
    assert cells[0] == "1234,5"
    assert signature.inputs[0].parse_column(cells)[0] == 1_234.5


def test_several_labels_stand_in_one_cell_and_none_is_an_answer(home: Path) -> None:
    with watching(home, Asked(sample=1.0), signature=TAGS) as watched:
        for place in range(20):
            watched.seen(b"id-%d" % place, [["some text"]], [b'{"labels":["a"]}'])
        watched.feedback([Right(f"id-{place}", ["b", "a"] if place else []) for place in range(20)])
    table = feedback_table(home, "churn")
    assert table.columns["tags"][:2] == ["", "a|b"]
    assert table.lists == ("tags",)


@pytest.mark.parametrize(
    ("rows", "sample", "hint"), [(19, 1.0, "send more to /churn/feedback"), (30, 0.0, "sample: 1.0")]
)
def test_too_few_rows_say_how_many_there_are_and_what_to_do(home: Path, rows: int, sample: float, hint: str) -> None:
    answered(home, rows, Asked(sample=sample))
    with pytest.raises(HandrailError, match="rows have both a kept input and a right answer; 20 are needed") as raised:
        feedback_table(home, "churn")
    assert raised.value.code == "data"
    assert hint in raised.value.mend
    assert "--from-feedback churn" in raised.value.mend


def test_somebodys_own_code_cannot_be_trained_again(home: Path) -> None:
    with watching(home, Asked("classification", sample=1.0), signature=None) as watched:
        watched.seen(b"id", [{"a": 1}], [b'"cat"'])
    with pytest.raises(HandrailError, match="no model that training can make again"):
        feedback_table(home, "churn")


def test_tables_are_joined_with_gaps_where_one_lacks_a_column() -> None:
    one, other = read_table({"a": [1, 2], "b": ["x", "y"]}), read_table({"b": ["z"], "c": [3]})
    assert joined(one, other).columns == {"a": [1, 2, None], "b": ["x", "y", "z"], "c": [None, None, 3]}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a model that was watched and told better."""
    home = tmp_path_factory.mktemp("shop") / "home"
    model = handrail.train(customers(300), target="churned", name="churn", trials=1, home=home)
    profile = profile_in(model.bundle)
    assert profile is not None
    assert profile.rows == model.report["rows"]["train"]
    cells, names = customers(120), model.signature.names()
    rows = [
        {name: cells[name][row] == "yes" if name == "active" else cells[name][row] for name in names}
        for row in range(120)
    ]
    values = compiled(model.signature)(rows)
    watched = Watcher(home, "shop-api", Asked(sample=1.0), model.signature, profile, version="churn@1")  # type: ignore[arg-type]
    for place, (row, answer) in enumerate(zip(values, model.predict(rows), strict=True)):
        watched.seen(b"id-%d" % place, [row], [orjson.dumps(answer)])
    watched.feedback([Right(f"id-{place}", cells["churned"][place]) for place in range(120)])
    watched.close()
    return home


def test_a_model_is_made_again_from_feedback_alone(shop: Path) -> None:
    told: list[Any] = []
    model = handrail.train(from_feedback="shop-api", trials=1, home=shop, tell=told.append)
    first = load("churn@1", home=shop)
    assert (model.name, model.version) == ("churn", 2)
    assert [(field.name, field.kind) for field in model.signature.inputs] == [
        (field.name, field.kind) for field in first.signature.inputs
    ]
    assert sum(model.report["rows"].values()) == 120
    assert any("120 rows are inputs of shop-api" in str(event) for event in told)
    assert model.report["asked"]["from-feedback"] == "shop-api"


def test_a_model_is_made_again_from_the_file_and_feedback_together(shop: Path) -> None:
    model: Model = handrail.train(customers(300), from_feedback="shop-api", name="both", trials=1, home=shop)
    assert sum(model.report["rows"].values()) == 420
    assert again(shop, "shop-api").problem == "classification"


def test_a_training_of_nothing_says_what_to_give(home: Path) -> None:
    with pytest.raises(HandrailError, match="no rows are given"):
        handrail.train()


def test_the_profile_is_part_of_equal_bytes(shop: Path, tmp_path: Path) -> None:
    one = handrail.train(customers(200), target="churned", name="one", trials=1, home=tmp_path)
    two = handrail.train(customers(200), target="churned", name="one", trials=1, home=tmp_path)
    assert profile_in(one.bundle) == profile_in(two.bundle)
    assert one.manifest.files["encode/profile.json"] == two.manifest.files["encode/profile.json"]


def test_a_profile_of_a_real_training_counts_every_input(shop: Path) -> None:
    profile = profile_in(load("churn@1", home=shop).bundle)
    assert profile is not None
    assert [(one.name, one.kind) for one in profile.columns] == [
        ("age", "number"), ("plan", "category"), ("active", "boolean"), ("since", "date"), ("spend", "number"),
    ]  # fmt: skip
    assert all(sum(measure.counts) == 240 for column in profile.columns for measure in column.measures)
    assert (sum(profile.target.counts), sum(profile.answers.counts)) == (240, 60)
    assert not math.isnan(sum(profile.columns[0].measures[0].edges))


def test_the_command_line_does_the_same(shop: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDRAIL_HOME", str(shop))
    done = cli("train", "--from-feedback", "shop-api", "--name", "again", "--trials", "1", "--json")
    assert done.status == 0, done.err
    assert '"model": "again@1"' in done.out
    none = cli("train")
    assert (none.status, "FILE is missing" in none.err) == (2, True)
    unknown = cli("train", "--from-feedback", "shopapi")
    assert (unknown.status, "nothing is kept of 'shopapi'" in unknown.err) == (4, True)
