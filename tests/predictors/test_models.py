"""Models that a predictor asks for by name and version, and that change while it runs."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from handrail.core.errors import HandrailError
from handrail.deploy.spec import ModelFiles
from handrail.predictors import models as module
from handrail.predictors import versions
from handrail.predictors.models import Models
from handrail.predictors.settings import ManagedModels
from tests.predictors.running import Asked, answering, request, spec_of, write_project
from tests.serve.served import until


def put(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.txt").write_text(text)
    return folder


def read(path: Path) -> str:
    text = (path / "model.txt").read_text()
    if text == "broken":
        raise ValueError("no model")
    return text


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on disk counts at once; how long it takes is for other tests."""
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(versions, "SETTLED_S", 0.0)


def in_folder(folder: Path, **bounds: Any) -> Models:
    return Models(ManagedModels(dir=str(folder), **bounds), read)


def test_the_highest_number_is_the_latest(tmp_path: Path) -> None:
    for number in ("2", "10", "1", "notes"):
        put(tmp_path / "a" / number, number)
    put(tmp_path / "b", "only")
    models = in_folder(tmp_path)
    assert models.names() == ["a", "b"]
    assert [models.get("a"), models.get("a", "latest"), models.get("a", "2"), models.get("a", 1)] == [
        "10",
        "10",
        "2",
        "1",
    ]
    assert models.get("b") == "only"


@pytest.mark.parametrize(
    ("name", "version", "said", "mend"),
    [
        (None, None, "no model is named", "a, b"),
        ("c", None, "there is no model 'c'", "a, b"),
        ("../a", None, "there is no model '../a'", "a, b"),
        ("a", "3", "there is no version '3'", "2, 1"),
        ("a", "01", "there is no version '01'", "2, 1"),
        ("b", "1", "there is no version '1'", "none"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(
    tmp_path: Path, name: str | None, version: object, said: str, mend: str
) -> None:
    put(tmp_path / "a" / "1", "1")
    put(tmp_path / "a" / "2", "2")
    put(tmp_path / "b", "only")
    with pytest.raises(HandrailError) as found:
        in_folder(tmp_path).get(name, version)
    assert found.value.http_status == 404
    assert said in found.value.problem
    assert mend in found.value.mend


def test_a_single_model_has_no_name_and_may_be_a_file(tmp_path: Path) -> None:
    put(tmp_path / "m", "x")
    assert Models(ManagedModels(path=str(tmp_path / "m")), read).get() == "x"
    file = Models(ManagedModels(path=str(tmp_path / "m" / "model.txt")), lambda path: path.read_text())
    assert file.get() == "x"
    named = Models(ManagedModels(paths=(("a", str(tmp_path / "m")),)), read)
    assert (named.get("a"), named.get()) == ("x", "x")


def test_versions_and_models_that_come_and_go_are_seen(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1", "1")
    models = in_folder(tmp_path)
    assert models.get("a") == "1"
    put(tmp_path / "a" / "2", "2")
    put(tmp_path / "b", "b")
    assert [models.get("a"), models.get("a", "1"), models.get("b")] == ["2", "1", "b"]
    shutil.rmtree(tmp_path / "a" / "2")
    assert models.get("a") == "1"
    assert models.held() == [tmp_path / "b", tmp_path / "a" / "1"]
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(HandrailError, match="no model 'a'"):
        models.get("a")


def test_a_model_that_changed_in_place_is_loaded_again(tmp_path: Path) -> None:
    put(tmp_path / "a", "old")
    models = in_folder(tmp_path)
    assert models.get("a") == "old"
    put(tmp_path / "a", "new!")
    assert models.get("a") == "new!"
    (tmp_path / "a" / "more.txt").write_text("x")
    first = models.held()
    assert models.get("a") == "new!"
    assert models.held() == first


def test_a_version_that_cannot_be_loaded_leaves_the_one_before_at_work_until_it_is_mended(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1", "1")
    models = in_folder(tmp_path)
    put(tmp_path / "a" / "2", "broken")
    assert [models.get("a"), models.get("a")] == ["1", "1"]
    with pytest.raises(ValueError, match="no model"):
        models.get("a", "2")
    put(tmp_path / "a" / "2", "mended")
    assert models.get("a") == "mended"


def test_a_version_that_is_just_being_copied_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "a" / "1", "1")
    models = in_folder(tmp_path)
    assert models.get("a") == "1"
    monkeypatch.setattr(versions, "SETTLED_S", 3600.0)
    put(tmp_path / "a" / "2", "half")
    assert models.get("a") == "1"
    put(tmp_path / "a" / "1", "half")
    assert models.get("a") == "1", "what is loaded stays while its files change"
    monkeypatch.setattr(versions, "SETTLED_S", 0.0)
    assert models.get("a") == "half"


def test_no_more_models_are_held_than_was_allowed(tmp_path: Path) -> None:
    for number in range(20):
        put(tmp_path / f"m{number}", "x" * 100)
    models = in_folder(tmp_path, cache_size=2)
    for number in range(20):
        models.get(f"m{number}")
        assert len(models.held()) <= 2
    by_bytes = in_folder(tmp_path, cache_bytes=350)
    for number in range(20):
        by_bytes.get(f"m{number}")
    assert [path.name for path in by_bytes.held()] == ["m17", "m18", "m19"]


# In a replica, with the times as they are.

CODE = """
    class PythonPredictor:
        def __init__(self, config, python_client):
            self.client = python_client
            self.loads = 0
        def load_model(self, model_path):
            self.loads += 1
            return open(model_path + "/model.txt").read()
        def predict(self, query_params):
            model = self.client.get_model(query_params["model"], query_params.get("version"))
            return [model, self.loads]
"""


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Asked]:
    put(tmp_path / "models" / "a" / "1", "1")
    put(tmp_path / "models" / "a" / "2", "2")
    spec = spec_of(multi_model_reloading=ModelFiles(dir=str(tmp_path / "models"), cache_size=2, disk_cache_size=5))
    with answering(write_project(tmp_path / "iris", CODE), spec) as found:
        yield found


def model_of(replica: Asked, query: str) -> str:
    found: str = json.loads(replica.ask(query=query).body)[0]
    return found


def test_a_folder_that_is_dropped_in_answers_within_a_second_and_the_old_versions_still_do(
    tmp_path: Path, replica: Asked
) -> None:
    assert model_of(replica, "model=a") == "2"
    put(tmp_path / "new", "3")
    (tmp_path / "new").rename(tmp_path / "models" / "a" / "3")
    since = time.monotonic()
    until(lambda: model_of(replica, "model=a") == "3")
    assert time.monotonic() - since < 1.5
    assert model_of(replica, "model=a&version=2") == "2"


def test_a_model_that_is_not_there_is_404(replica: Asked) -> None:
    header, _ = replica.predict(request(query="model=x"))
    assert header["failed"]["0"] == {
        "code": "not_found", "problem": "there is no model 'x'", "mend": "the models are: a", "field": "model",
    }  # fmt: skip


def test_a_model_is_loaded_once_for_many_requests(replica: Asked) -> None:
    assert [json.loads(replica.ask(query="model=a").body)[1] for _ in range(5)] == [1] * 5
