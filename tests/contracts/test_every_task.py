"""What holds for every task, from a table to an answer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import handrail
from handrail.core.events import Event, Planned, Tried
from handrail.core.registry import TASKS, task_part
from handrail.model import Model
from tests.contracts.data import EVERY_TASK, OTHER_CASES, Columns

Case = tuple[str, Callable[[], Columns], str]
CASES: list[Case] = [*((task, *EVERY_TASK[task]) for task in sorted(TASKS)), *OTHER_CASES]
HEAVY = ("sklearn", "scipy", "pandas", "torch", "transformers", "lightgbm", "onnx", "rich")


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]} of {case[2]}")
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture(scope="module")
def trained(case: Case, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, list[Event]]:
    """A model of each task, with what was told while it was trained."""
    task, make, target = case
    told: list[Event] = []
    model = handrail.train(
        make(), target=target, name="m", trials=2, home=tmp_path_factory.mktemp("home"), tell=told.append
    )
    assert model.manifest.task == task
    return model, told


def test_every_task_in_the_registry_has_data_here() -> None:
    assert set(EVERY_TASK) == set(TASKS)


def test_the_plan_is_told_before_anything_is_tried(trained: tuple[Model, list[Event]]) -> None:
    kinds = [type(event) for event in trained[1]]
    assert kinds.index(Planned) < kinds.index(Tried)


def test_it_beats_the_trivial_model_and_says_so(trained: tuple[Model, list[Event]]) -> None:
    score = trained[0].report["score"]
    headline = score["metrics"][score["metric"]]
    assert headline["value"] != headline["baseline"]
    assert headline["low"] <= headline["value"] <= headline["high"]


def test_one_answer_is_the_same_alone_and_among_others(trained: tuple[Model, list[Event]]) -> None:
    model, _ = trained
    rows = [example["input"] for example in model.examples]
    together = model.predict(rows)
    for row, answer in zip(rows, together, strict=True):
        alone = model(row)
        assert json.dumps(alone)
        assert alone.keys() == answer.keys()
        numbers = [(alone[key], answer[key]) for key in alone if isinstance(alone[key], float)]
        assert all(np.isclose(one, other, rtol=1e-5, atol=1e-6) for one, other in numbers)


def test_its_examples_are_reproduced(trained: tuple[Model, list[Event]]) -> None:
    checked = trained[0].check()
    assert checked["examples"] == 10
    assert checked["largest_difference"] < 1e-6


def test_an_answer_can_be_explained(trained: tuple[Model, list[Event]]) -> None:
    model, _ = trained
    found = model.explain(model.examples[0]["input"])
    parts = found.get("contributions") or found["words"]
    assert parts
    assert all(np.isfinite(part["contribution"]) for part in parts)


def test_the_same_trials_and_seed_give_the_same_bytes(
    case: Case, trained: tuple[Model, list[Event]], tmp_path: Path
) -> None:
    model, _ = trained
    _, make, target = case
    again = handrail.train(make(), target=target, name="m", trials=2, home=tmp_path)
    for path in sorted(model.bundle.path.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (again.bundle.path / path.relative_to(model.bundle.path)).read_bytes(), (
                path.name
            )


def test_answering_imports_nothing_heavy(trained: tuple[Model, list[Event]]) -> None:
    model, _ = trained
    code = (
        "import sys, json, handrail; from pathlib import Path; m = handrail.load(Path(sys.argv[1]));"
        "m(m.examples[0]['input']); print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(model.bundle.path)], capture_output=True, text=True, check=True
    )
    assert not set(HEAVY) & set(json.loads(done.stdout))


def test_the_predict_half_has_the_contracts_words() -> None:
    for task in TASKS:
        assert callable(task_part(task, "").recognises)
        assert callable(task_part(task, "plan").plan)
        assert callable(task_part(task, "fit").fit)
        assert callable(task_part(task, "predict").load)
        assert callable(task_part(task, "score").score)
