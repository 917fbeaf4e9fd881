"""Tables: exact exports, honest clocks, runs that go on, answers to anything."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tests.contracts.data import customers, houses

import handrail
from handrail.core.errors import HandrailError
from handrail.core.events import Event, Progress, Said, Tried
from handrail.tasks.tabular.candidates import Data, fit_shape
from handrail.tasks.tabular.portfolio import FIRST, Shape


def mixed(rows: int = 300) -> dict[str, list[object]]:
    """Every kind of column, gaps in each, an amount that follows from all of them."""
    draw = random.Random(3)
    columns: dict[str, list[object]] = {name: [] for name in ("size", "city", "when", "old", "notes", "price")}
    for number in range(rows):
        city, old = f"city {draw.randint(0, 25)}", draw.random() < 0.5
        words = draw.choices(["sunny", "quiet", "damp", "noisy", "large", "small"], k=5)
        size = draw.uniform(10, 100)
        price = 10 * size + 200 * old + 300 * words.count("sunny") - 200 * words.count("damp") + draw.gauss(0, 20)
        columns["size"].append(None if number % 17 == 0 else round(size, 2))
        columns["city"].append(None if number % 23 == 0 else city)
        columns["when"].append(
            None if number % 19 == 0 else f"2023-{draw.randint(1, 12):02d}-{draw.randint(1, 28):02d}"
        )
        columns["old"].append(None if number % 29 == 0 else "yes" if old else "no")
        columns["notes"].append(None if number % 31 == 0 else " ".join(words) + f" house {number}")
        columns["price"].append(round(price, 2))
    return columns


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> handrail.Model:
    """All of the first shapes on all kinds of columns: training replays the export against the models to 1e-5."""
    return handrail.train(mixed(), target="price", trials=8, home=tmp_path_factory.mktemp("home"))


def test_all_shapes_on_all_kinds_of_columns_are_exported_exactly(everything: handrail.Model) -> None:
    names = {row["name"] for row in everything.report["candidates"]}
    assert {"boosted trees", "linear with bends", "extra trees", "network"} <= names
    assert {field.kind for field in everything.signature.inputs} == {"number", "category", "date", "boolean", "text"}
    assert everything.report["score"]["metrics"]["r2"]["value"] > 0.6


@pytest.mark.parametrize("field", ["size", "city", "when", "old", "notes"])
def test_a_missing_value_is_answered(everything: handrail.Model, field: str) -> None:
    row = {**everything.examples[0]["input"], field: None}
    assert np.isfinite(everything(row)["value"])


def test_an_unseen_word_is_answered(everything: handrail.Model) -> None:
    assert np.isfinite(everything({**everything.examples[0]["input"], "city": "Atlantis"})["value"])


def test_an_amount_comes_with_an_interval_around_it(everything: handrail.Model) -> None:
    answer = everything(everything.examples[0]["input"])
    assert answer["low"] < answer["value"] < answer["high"]


def test_contributions_add_up_to_the_answer(everything: handrail.Model) -> None:
    found = everything.explain(everything.examples[0]["input"])
    total = found["base"] + sum(part["contribution"] for part in found["contributions"])
    assert total == pytest.approx(found["answer"]["value"], rel=1e-3)


def test_the_clock_is_kept(home: Path) -> None:
    started = time.monotonic()
    handrail.train(houses(1500), target="price", time_s=6.0)
    # The promise is 5 %; machines that test this are busy with other things.
    assert time.monotonic() - started < 6.0 * 1.05 + 3.0


def test_a_run_that_was_cut_off_goes_on_to_the_same_bytes(home: Path, tmp_path: Path) -> None:
    whole = handrail.train(customers(), target="churned", name="m", trials=4, home=tmp_path)

    class CutOff(BaseException):
        pass

    def cut_at_the_third(event: Event) -> None:
        seen.append(event)
        if sum(isinstance(one, Tried) for one in seen) == 3:
            raise CutOff

    seen: list[Event] = []
    with pytest.raises(CutOff):
        handrail.train(customers(), target="churned", name="m", trials=4, tell=cut_at_the_third)
    told: list[Event] = []
    resumed = handrail.train(customers(), target="churned", name="m", trials=4, tell=told.append)
    assert any(isinstance(event, Said) and "cut off" in event.text for event in told)
    for path in whole.bundle.path.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (resumed.bundle.path / path.relative_to(whole.bundle.path)).read_bytes()
    assert not list((home / "runs").glob("*"))


def test_stopping_keeps_the_best_so_far(home: Path) -> None:
    import os
    import signal

    def stop_at_the_second(event: Event) -> None:
        if isinstance(event, Tried):
            tried.append(event.name)
            if len(tried) == 2:
                os.kill(os.getpid(), signal.SIGINT)

    tried: list[str] = []
    assert threading.current_thread() is threading.main_thread()
    model = handrail.train(customers(), target="churned", time_s=60.0, tell=stop_at_the_second)
    assert len(model.report["candidates"]) == 2


def test_progress_calls_the_measure_as_people_do(home: Path) -> None:
    told: list[Event] = []
    handrail.train(customers(120), target="churned", trials=2, tell=told.append)
    best = [event.best for event in told if isinstance(event, Progress) and event.best]
    assert best
    assert all(words.startswith("log loss ") for words in best)


def test_another_seed_is_another_model(home: Path) -> None:
    first, second = (handrail.train(customers(), target="churned", trials=1, seed=seed) for seed in (0, 1))
    weights = [model.bundle.read("weights/model.onnx") for model in (first, second)]
    assert weights[0] != weights[1]


@pytest.mark.parametrize("rows", [10, 12, 25])
def test_tiny_tables_are_learnt_from(home: Path, rows: int) -> None:
    labels = ["x" if number % 2 else "y" for number in range(rows)]
    model = handrail.train(
        {"a": list(range(0, 3 * rows, 3)), "b": [1.5 * (n % 3) for n in range(rows)], "label": labels}, trials=3
    )
    assert model.report["evaluated_on"] == "cross-validation"


def test_without_a_test_set_the_score_is_out_of_fold(home: Path) -> None:
    model = handrail.train(customers(), target="churned", trials=1, test_share=0.0)
    assert model.report["rows"] == {"train": 300, "test": 0}
    assert model.report["score"]["rows"] == 300


def test_a_test_file_of_ones_own_is_scored_on(home: Path) -> None:
    model = handrail.train(customers(300), target="churned", trials=1, test=customers(120))
    assert model.report["rows"] == {"train": 300, "test": 120}
    assert any("equal to training rows" in text for text in model.report["warnings"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"effort": "fast"}, "effort must be one of"),
        ({"time_s": float("nan")}, "time must be"),
        ({"time_s": -1}, "time must be"),
        ({"trials": 0}, "trials must be"),
        ({"trials": 2, "time_s": 9}, "exclude each other"),
        ({"seed": -1}, "seed must be"),
        ({"test_share": 2}, "test_share must be"),
        ({"task": "clasification"}, "unknown task"),
        ({"name": "No Good"}, "cannot be called"),
    ],
)
def test_options_out_of_range_are_usage_errors(home: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(HandrailError, match=said) as caught:
        handrail.train(customers(), target="churned", **options)  # type: ignore[arg-type]
    assert caught.value.exit_status == 2
    assert not home.exists() or not list(home.rglob("manifest.json"))


def test_a_plan_that_does_not_fit_into_memory_is_refused_with_the_numbers(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handrail.training.asked.free_memory_bytes", lambda: 100 * 2**20)
    with pytest.raises(HandrailError, match="GB of memory"):
        handrail.train(customers(), target="churned", trials=1)


def data_of(rows: int, *, stopped: bool) -> Data:
    draw = np.random.default_rng(0)
    x = draw.normal(0, 1, (rows, 4)).astype(np.float32)
    y = (x[:, 0] + draw.normal(0, 1, rows) > 0).astype(np.int64)
    return Data(x, y, np.arange(rows) % 3, x[:5], "classification", 2, {}, 2, 0, stopped=lambda: stopped)


def test_a_forest_that_is_grown_in_steps_is_the_same_forest() -> None:
    from sklearn.ensemble import ExtraTreesClassifier

    shape = Shape("extra trees", "forest", {"max_features": 0.6, "leaf_rows": 1})
    data = data_of(90, stopped=False)
    grown = fit_shape(shape, data, np.inf, lambda fold: None)
    at_once = ExtraTreesClassifier(n_estimators=160, min_samples_leaf=1, random_state=0, max_features=0.6)
    wanted = at_once.fit(data.x, data.y).predict_proba(data.replay)
    assert grown.replay == pytest.approx(wanted, abs=1e-12)


def test_a_candidate_that_is_stopped_ends_at_once() -> None:
    for shape in FIRST:
        started = time.monotonic()
        if shape.kind == "boosted" and not shape.logarithms:
            piece = fit_shape(shape, data_of(2000, stopped=True), np.inf, lambda fold: None)
            assert np.isfinite(piece.out_of_fold).all()
        elif shape.kind != "boosted":
            with pytest.raises(TimeoutError):
                fit_shape(shape, data_of(2000, stopped=True), np.inf, lambda fold: None)
        assert time.monotonic() - started < 5.0


def test_stopping_within_the_first_candidate_gives_a_model(home: Path) -> None:
    import os
    import signal

    def stop_in_the_first_fold(event: Event) -> None:
        if isinstance(event, Progress) and "fold 1" in event.doing and not stopped:
            stopped.append(event)
            os.kill(os.getpid(), signal.SIGINT)

    stopped: list[Event] = []
    model = handrail.train(customers(), target="churned", trials=8, tell=stop_in_the_first_fold)
    assert len(model.report["candidates"]) == 1
    assert model.report["learning_curve"] == []
