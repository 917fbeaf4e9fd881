"""Cases of docs/reference/acceptance.md that want the whole engine: Cortex's examples, updates, scaling, limits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from handrail.deploy.spec import ApiSpec, Share
from handrail.deployments import deploy
from handrail.engines.local.place import Place
from handrail.model import load
from handrail.store import Store
from tests.engines.engine import Engine, engine_at, until
from tests.serve.bundles import ROW

EXAMPLES = Path(__file__).parents[2] / "examples" / "cortex"
ANSWERS = "class PythonPredictor:\n    def predict(self, payload):\n        return {!r}\n"
SLOW = """
import time

class PythonPredictor:
    def predict(self, payload):
        time.sleep(payload)
        return 'done'
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine_at(tmp_path_factory.mktemp("cases") / "home") as found:
        yield found


def post(engine: Engine, path: str, payload: object) -> tuple[int, str]:
    status, _, content = engine.served.ask("POST", path, payload)
    return status, content.decode()


def deployed(engine: Engine, folder: Path, code: str, more: str = "", name: str = "mine") -> None:
    folder.mkdir(exist_ok=True)
    (folder / "predictor.py").write_text(code)
    (folder / "handrail.yaml").write_text(f"- name: {name}\n  predictor: {{path: predictor.py}}\n{more}")
    deploy(folder, home=engine.place.home, trust=True)


class Asking:
    """Clients that ask without pause meanwhile, and what they were answered."""

    def __init__(self, ask: Callable[[], object], clients: int = 2) -> None:
        self.found: Counter[object] = Counter()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(ask,)) for _ in range(clients)]

    def _run(self, ask: Callable[[], object]) -> None:
        while not self._stop.is_set():
            try:
                self.found[ask()] += 1
            except OSError as error:
                self.found[repr(error)] += 1

    def __enter__(self) -> Asking:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *ended: object) -> None:
        self._stop.set()
        for one in self._threads:
            one.join()


# Cortex's own examples, in their own folders.


def example(engine: Engine, name: str) -> Callable[..., tuple[int, str]]:
    """Deploys one as it stands in examples/; gives what asks it."""
    deploy(EXAMPLES / name / "cortex.yaml", home=engine.place.home, trust=True)

    def ask(file: str = "sample.json", query: str = "") -> tuple[int, str]:
        return post(engine, f"/{name}{query}", json.loads((EXAMPLES / name / file).read_text()))

    return ask


def test_the_iris_classifier_names_the_flower_and_its_classes_are_counted(engine: Engine) -> None:
    ask = example(engine, "iris-classifier")
    assert ask() == (200, "setosa")
    until(lambda: "setosa" in json.dumps(engine.status("iris-classifier")["monitoring"]), engine)


def test_the_text_generator_goes_on_with_the_text(engine: Engine) -> None:
    status, text = example(engine, "text-generator")()
    assert status == 200
    assert text.startswith("machine learning is ")
    assert len(text.split()) > 50


def test_the_text_analyzer_asks_the_model_that_is_named_and_refuses_others(engine: Engine) -> None:
    ask = example(engine, "multi-model-text-analyzer")
    assert json.loads(ask("sample-sentiment.json", "?model=sentiment")[1])["label"] == "POSITIVE"
    assert "requests" in ask("sample-summarizer.json", "?model=summarizer")[1]
    status, text = ask("sample-sentiment.json", "?model=poet")
    assert (status, json.loads(text)) == (400, {"error": "unknown model: poet"})


# Updates and limits.


def test_changed_code_takes_over_under_load_and_code_that_fails_never_answers(engine: Engine, tmp_path: Path) -> None:
    deployed(engine, tmp_path / "mine", ANSWERS.format("one"))
    with Asking(lambda: post(engine, "/mine", {})) as asking:
        deployed(engine, tmp_path / "mine", ANSWERS.format("two"))
        with pytest.raises(Exception, match="division by zero"):
            deployed(engine, tmp_path / "mine", "1 / 0\n" + ANSWERS.format("three"))
    assert set(asking.found) == {(200, "one"), (200, "two")}
    assert post(engine, "/mine", {}) == (200, "two")


def test_a_killed_worker_takes_no_other_request_along_and_comes_back(engine: Engine, tmp_path: Path) -> None:
    deployed(engine, tmp_path / "two", ANSWERS.format("one"), "  autoscaling: {min_replicas: 2}\n", name="two")
    with Asking(lambda: post(engine, "/two", {})) as asking:
        pid, _ = engine.status("two")["versions"][0]["pids"]
        os.kill(pid, signal.SIGKILL)
        until(lambda: pid not in engine.status("two")["versions"][0]["pids"], engine)
        until(lambda: engine.status("two")["ready"] == 2, engine)
    assert set(asking.found) == {(200, "one")}


def test_only_what_is_past_the_real_total_is_refused(engine: Engine, tmp_path: Path) -> None:
    more = "  autoscaling: {min_replicas: 2, max_replicas: 2, max_in_flight: 4}\n"
    deployed(engine, tmp_path / "full", SLOW, more, name="full")
    with ThreadPoolExecutor(12) as clients:
        found = Counter(status for status, _ in clients.map(lambda _: post(engine, "/full", 0.3), range(12)))
    assert found == {200: 8, 503: 4}


def test_eight_clients_bring_four_replicas_and_their_leaving_brings_one(engine: Engine, tmp_path: Path) -> None:
    more = (
        "  autoscaling: {min_replicas: 1, max_replicas: 4, target_in_flight: 1, window: 500ms,\n"
        "    upscale_stabilization_period: 0s, downscale_stabilization_period: 500ms}\n"
    )
    deployed(engine, tmp_path / "grows", SLOW, more, name="grows")
    with Asking(lambda: post(engine, "/grows", 0.05), clients=8) as asking:
        until(lambda: engine.status("grows")["ready"] == 4, engine)
    until(lambda: engine.status("grows")["ready"] == 1, engine)
    assert set(asking.found) == {(200, "done")}


def test_a_splitter_takes_other_shares_at_once(engine: Engine) -> None:
    def split(a: int, b: int) -> Counter[str]:
        engine.deploy(ApiSpec("split", kind="TrafficSplitter", traffic=(Share("a", a), Share("b", b))))
        return Counter(json.dumps(engine.predict("split")[1]) for _ in range(100))

    engine.deploy(ApiSpec("a", model="churn@1"), ApiSpec("b", model="churn@2"))
    assert sorted(split(50, 50).values()) == [50, 50]
    assert sorted(split(1, 99).values()) == [1, 99]


# Classes of a script.

FACTOR = 3


class PythonPredictor:
    """Deployed from here."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.word = config["word"]

    def predict(self, payload: int) -> str:
        return self.word * payload * FACTOR


class Task:
    """Run from here."""

    def __call__(self, config: dict[str, Any]) -> None:
        assert config is not None


def test_a_class_is_deployed_with_its_config(engine: Engine) -> None:
    found = deploy("classy", predictor=PythonPredictor, config={"word": "ab"}, home=engine.place.home)
    assert found.urls == {"classy": f"{engine.url}/classy/predict"}
    assert post(engine, "/classy", 1) == (200, "ababab")
    again = deploy("classy", predictor=PythonPredictor, config={"word": "ab"}, home=engine.place.home)
    assert [step["do"] for step in again.steps] == ["keep"]


def test_a_class_that_is_a_task_is_deployed_as_one(engine: Engine) -> None:
    deploy("tasky", predictor=Task, home=engine.place.home)
    assert engine.status("tasky")["kind"] == "TaskAPI"


# A model that goes elsewhere.


def test_an_exported_model_answers_elsewhere_after_one_command(engine: Engine, tmp_path: Path) -> None:
    archive, home = tmp_path / "churn.handrail", tmp_path / "elsewhere"
    Store(engine.place.home).export("churn@2", archive)
    environment = {**os.environ, "HANDRAIL_HOME": str(home)}

    def handrail(*words: str) -> str:
        command = [sys.executable, "-m", "handrail", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout

    try:
        (api,) = json.loads(handrail("deploy", str(archive), "--port", "0", "--json"))["apis"]
        there = Engine(Place(home), api["url"].removesuffix("/churn/predict"))
        assert there.predict("churn") == (200, load("churn@2", home=engine.place.home)(ROW))
        (step,) = json.loads(handrail("deploy", str(archive), "--json"))["steps"]
        assert (step["do"], Store(home).versions("churn")) == ("keep", [1])
        with pytest.raises(subprocess.CalledProcessError):
            handrail("deploy", str(archive), "--dry-run")
    finally:
        handrail("down")
