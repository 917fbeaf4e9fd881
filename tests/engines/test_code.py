"""User code on the engine: Cortex's files as they are, bad predictors, ports, splitters, watching."""

from __future__ import annotations

import json
import shutil
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from handrail.core.errors import HandrailError
from handrail.deploy.spec import ApiSpec, Monitoring, Share
from handrail.deployments import deploy
from handrail.serve.keys import add_key
from tests.engines.engine import Engine, engine_at, until
from tests.serve.bundles import ROW
from tests.serve.test_grpc import free_port

EXAMPLES = Path(__file__).parents[2] / "examples" / "cortex"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with engine_at(tmp_path / "home") as found:
        yield found


SLOW = """
import time

class PythonPredictor:
    def predict(self, payload):
        time.sleep(0.3)
        return 1
"""


def asked(url: str, payload: object) -> Any:
    request = urllib.request.Request(url, json.dumps(payload).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as response:
        return response.read().decode()


def project(folder: Path, code: str, yaml: str = "", **files: str) -> Path:
    """A folder with a predictor and the file that names it."""
    folder.mkdir(parents=True)
    (folder / "predictor.py").write_text(code)
    default = "- name: mine\n  kind: RealtimeAPI\n  predictor: {type: python, path: predictor.py}\n"
    port = f"  networking: {{local_port: {free_port()}}}\n"
    (folder / "cortex.yaml").write_text((yaml or default) + ("" if yaml else port))
    for name, content in files.items():
        (folder / name).write_text(content)
    return folder


def deployed(engine: Engine, folder: Path, **options: Any) -> None:
    deploy(str(folder / "cortex.yaml"), home=engine.place.home, trust=True, **options)


def test_cortex_s_iris_classifier_runs_unchanged_at_the_root_of_its_port(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "iris"
    shutil.copytree(EXAMPLES / "iris-classifier", folder)
    deployed(engine, folder)
    port = engine.status("iris-classifier")["port"]
    flower = json.loads((folder / "sample.json").read_text())
    assert asked(f"http://127.0.0.1:{port}/", flower) == asked(f"{engine.url}/iris-classifier", flower)


def test_code_that_crashes_at_import_says_where_and_others_are_unharmed(engine: Engine, tmp_path: Path) -> None:
    engine.deploy(ApiSpec("churn", model="churn@1"))
    bad = project(tmp_path / "bad", "import json\nraise ValueError('no such weights')\n")
    with pytest.raises(HandrailError, match="no such weights"):
        deployed(engine, bad)
    assert engine.predict("churn")[0] == 200
    assert [one["name"] for one in engine.ask("status")["apis"]] == ["churn"]


def test_a_failing_new_version_of_code_never_takes_traffic(engine: Engine, tmp_path: Path) -> None:
    folder = project(
        tmp_path / "mine", "class PythonPredictor:\n    def predict(self, payload):\n        return 'one'\n"
    )
    deployed(engine, folder)
    assert asked(f"{engine.url}/mine", {}) == "one"
    (folder / "predictor.py").write_text("class PythonPredictor:\n    def __init__(self, config):\n        1 / 0\n")
    with pytest.raises(HandrailError, match="division by zero"):
        deployed(engine, folder)
    assert asked(f"{engine.url}/mine", {}) == "one"
    (folder / "predictor.py").write_text(
        "class PythonPredictor:\n    def predict(self, payload):\n        return 'two'\n"
    )
    deployed(engine, folder)
    assert asked(f"{engine.url}/mine", {}) == "two"
    engine.ask("rollback", api="mine")
    assert asked(f"{engine.url}/mine", {}) == "one"


def test_what_code_prints_is_in_the_log_with_the_process(engine: Engine, tmp_path: Path) -> None:
    code = "class PythonPredictor:\n    def predict(self, payload):\n        print('saw', payload)\n        return 1\n"
    deployed(engine, project(tmp_path / "mine", code))
    asked(f"{engine.url}/mine", {"a": 1})
    log = engine.place.logs / "mine" / "1.log"
    until(lambda: "saw {'a': 1}" in log.read_text(), engine)


def test_a_splitter_shares_out_requests_and_copies_them_to_its_shadow(engine: Engine) -> None:
    engine.deploy(
        ApiSpec("a", model="churn@1"), ApiSpec("b", model="churn@2"), ApiSpec("c", model="churn@2"),
        ApiSpec("both", kind="TrafficSplitter",
                traffic=(Share("a", 75), Share("b", 25), Share("c", 100, shadow=True))),
    )  # fmt: skip
    a, b = engine.predict("a")[1], engine.predict("b")[1]
    found = Counter(json.dumps(engine.predict("both")[1]) for _ in range(40))
    assert set(found) == {json.dumps(a), json.dumps(b)}
    assert 28 <= found[json.dumps(a)] <= 32
    until(lambda: engine.status("c")["codes"]["2xx"] == 40, engine)
    with pytest.raises(HandrailError, match="shares out"):
        engine.ask("delete", api="a")


def test_what_is_watched_is_told_and_takes_feedback(engine: Engine) -> None:
    engine.deploy(ApiSpec("churn", model="churn@1", monitoring=Monitoring()))
    status, headers, content = engine.served.ask("POST", "/churn/predict", ROW)
    assert status == 200
    right = {"id": headers["x-request-id"], "answer": json.loads(content)["label"]}
    until(lambda: engine.served.ask("POST", "/churn/feedback", right)[0] == 200, engine)
    told = json.loads(engine.served.ask("GET", "/churn/monitoring", None, {})[2])
    assert told["accuracy"]["accuracy"] == 1.0


def test_four_of_five_slow_requests_run_on_two_processes_of_two_threads(engine: Engine, tmp_path: Path) -> None:
    code = SLOW
    yaml = (
        "- name: mine\n  predictor:\n    type: python\n    path: predictor.py\n    processes_per_replica: 2\n"
        f"    threads_per_process: 2\n  networking: {{local_port: {free_port()}}}\n"
        "  autoscaling: {max_replicas: 1}\n"
    )
    deployed(engine, project(tmp_path / "mine", code, yaml))
    begun, took = time.monotonic(), []

    def ask() -> None:
        asked(f"{engine.url}/mine", {})
        took.append(time.monotonic() - begun)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    took.sort()
    assert took[3] < 0.6 <= took[4]


def test_an_api_may_have_keys_of_its_own(engine: Engine, tmp_path: Path) -> None:
    secret = add_key(tmp_path / "keys.json", "ours")
    engine.deploy(
        ApiSpec("open", model="churn@1"), ApiSpec("locked", model="churn@1", keys=str(tmp_path / "keys.json"))
    )
    assert engine.predict("open")[0] == 200
    assert engine.predict("locked")[0] == 401
    assert engine.served.ask("GET", "/v2/models/locked", None, {})[0] == 401
    assert engine.predict("locked", authorization=f"Bearer {secret}")[0] == 200


COUNTING = """
class PythonPredictor:
    def __init__(self, config, metrics_client):
        self.metrics = metrics_client

    def predict(self, payload):
        self.metrics.increment("asked", 2, tags={"kind": "a"})
        return 1
"""


def test_what_code_tells_of_itself_is_in_the_metrics(engine: Engine, tmp_path: Path) -> None:
    deployed(engine, project(tmp_path / "mine", COUNTING))
    asked(f"{engine.url}/mine", {})
    asked(f"{engine.url}/mine", {})
    line = 'handrail_user_asked_total{api="mine",kind="a"} 4'
    until(lambda: line in engine.served.ask("GET", "/metrics", None, {})[2].decode(), engine)
