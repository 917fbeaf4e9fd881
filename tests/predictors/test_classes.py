"""The classes that answer: found by name, built and called with what they ask for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from handrail.deploy.spec import ModelFiles
from tests.predictors.running import (
    JSON,
    answering,
    logged,
    not_ready,
    request,
    running,
    silent,
    spec_of,
    write_project,
)


def replied(project: Path, body: bytes = b"1", **spec: Any) -> Any:
    with answering(project, spec_of(**spec)) as replica:
        return json.loads(replica.ask(body).body)


@pytest.mark.parametrize(
    "code",
    [
        "class PythonPredictor:\n    def predict(self, payload):\n        return payload + 1",
        "class Predictor:\n    def predict(self, payload):\n        return payload + 1",
        "class Handler:\n    def handle_post(self, payload):\n        return payload + 1",
        "class Adder:\n    def predict(self, payload):\n        return payload + 1\nclass Other:\n    pass",
        "class PythonPredictor:\n    @staticmethod\n    def predict(payload):\n        return payload + 1",
        "class PythonPredictor:\n    def predict(self, **given):\n        return given['payload'] + 1",
        "class A:\n    def predict(self, payload):\n        return payload + 1\nclass PythonPredictor(A):\n    pass",
        "from more import PythonPredictor",
        "from sub.more import PythonPredictor",
    ],
)  # fmt: skip
def test_the_class_is_found(tmp_path: Path, code: str) -> None:
    more = "class PythonPredictor:\n    def predict(self, payload):\n        return payload + 1"
    assert replied(write_project(tmp_path / "iris", code, {"more.py": more, "sub/more.py": more})) == 2


def test_a_class_may_be_named_in_the_file(tmp_path: Path) -> None:
    code = (
        "class A:\n    def predict(self):\n        return 'a'\nclass B:\n    def predict(self):\n        return ['b']"
    )
    project = write_project(tmp_path / "iris", code)
    assert replied(project, class_name="B") == ["b"]
    assert "expected a class PythonPredictor, found A, B" in not_ready(project)["message"]
    assert "A, B" in not_ready(project, spec_of(class_name="C"))["hint"]


def test_the_constructor_gets_what_it_asks_for(tmp_path: Path) -> None:
    code = """
        import os
        class PythonPredictor:
            def __init__(self, metrics_client, config, job_spec=None, more=3):
                self.found = [config, type(metrics_client).__name__, job_spec, more, os.environ["A"], os.environ["B"]]
            def predict(self):
                return self.found
    """
    project = write_project(tmp_path / "iris", code, {".env": "B=b\n"})
    assert replied(project, config={"x": 1}, env={"A": "a"}) == [{"x": 1}, "MetricsClient", None, 3, "a", "b"]


@pytest.mark.parametrize(
    ("code", "said", "mend"),
    [
        ("class PythonPredictor:\n  def __init__(self, confg): pass\n  def predict(self): pass", "'confg'", "config"),
        ("class PythonPredictor:\n    def predict(self, payload, model): pass", "asks for 'model'", "payload"),
        ("class A:\n  def __init__(self, python_client): pass\n  def predict(self): pass", "python_client", "models"),
        ("class TensorFlowPredictor:\n    def predict(self): pass", "TensorFlow Serving", "ONNX"),
        ("class PythonPredictor:\n    pass", "no predict", "add the method"),
        ("class PythonPredictor:\n    async def predict(self): pass", "async", "without"),
        ("x = 1", "found no class", "name the class so"),
    ],
)  # fmt: skip
def test_a_class_that_cannot_be_called_is_refused_before_it_is_asked(
    tmp_path: Path, code: str, said: str, mend: str
) -> None:
    found = not_ready(write_project(tmp_path / "iris", code))
    assert said in found["message"]
    assert mend in found["hint"]


def test_a_handler_has_a_method_for_each_verb_and_a_callback_runs_after_the_reply(tmp_path: Path) -> None:
    code = """
        class Handler:
            def __init__(self, config):
                self.called = []
            def handle_get(self, query_params):
                return {"got": query_params["a"], "called": self.called}
            def handle_post(self, payload, headers):
                return "posted", lambda: self.called.append(payload)
            def handle_delete(self):
                return None
    """
    with answering(write_project(tmp_path / "iris", code)) as replica:
        assert replica.ask(b'"x"').body == b"posted"
        assert json.loads(replica.ask(b"", {}, "a=1", "GET").body) == {"got": "1", "called": ["x"]}
        assert replica.ask(b"", {}, method="DELETE").body == b"null"
        assert replica.problem(b"", {}, method="PUT")["mend"] == "send POST, GET, DELETE"


def test_post_predict_runs_after_the_reply_and_its_failure_is_nobodys(tmp_path: Path) -> None:
    code = """
        import time
        class PythonPredictor:
            def __init__(self):
                self.seen = []
            def predict(self, payload):
                return [payload, *self.seen]
            def post_predict(self, response, query_params):
                self.seen.append([response[0], query_params.get("v")])
                if response[0] == "bad":
                    raise ValueError("in the log")
    """
    with answering(write_project(tmp_path / "iris", code)) as replica:
        assert json.loads(replica.ask(b'"bad"', query="v=1").body) == ["bad"]
        assert json.loads(replica.ask(b'"a"').body) == ["a", ["bad", "1"]]
    assert "ValueError: in the log" in (tmp_path / "replicas.log").read_text()


def test_an_async_api_gets_the_requests_id(tmp_path: Path) -> None:
    code = "class PythonPredictor:\n    def predict(self, payload, request_id):\n        return {'id': request_id}"
    assert replied(write_project(tmp_path / "iris", code)) == {"id": "request-1"}


def test_metrics_travel_with_the_reply(tmp_path: Path) -> None:
    code = """
        class PythonPredictor:
            def __init__(self, metrics_client):
                self.metrics = metrics_client
            def predict(self, payload):
                self.metrics.increment("hits", tags={"model": "v1"})
                self.metrics.increment("hits", 2)
                self.metrics.gauge("queue.length", 1001)
                self.metrics.histogram("inference-ms", 0.5)
                self.metrics.gauge("bad", "many")
                self.metrics.gauge("", 1)
                return 1
    """
    with answering(write_project(tmp_path / "iris", code)) as replica:
        header, _ = replica.predict(request())
        assert header["metrics"] == [
            ["increment", "hits", 1.0, {"model": "v1"}],
            ["increment", "hits", 2.0, {}],
            ["gauge", "queue_length", 1001.0, {}],
            ["histogram", "inference_ms", 0.5, {}],
        ]
    assert "the metric 'bad' is left out" in (tmp_path / "replicas.log").read_text()


def test_the_log_is_json_from_the_level_on_that_was_asked_for(tmp_path: Path) -> None:
    code = """
        import logging
        from cortex_internal.lib.log import logger as cortex_logger
        from handrail.predictors import logger
        class PythonPredictor:
            def predict(self, payload):
                logger.warning("seen %s", payload, extra={"accuracy": 0.97})
                cortex_logger.info("not shown")
                logging.getLogger("mine").error("mine")
                print("plain")
                return 1
    """
    with answering(write_project(tmp_path / "iris", code), spec_of(log_level="warning")) as replica:
        replica.ask(b"5")
    lines = logged(tmp_path / "iris")
    first, second = (json.loads(line) for line in lines if line.startswith("{"))
    assert (first["message"], first["levelname"], first["accuracy"]) == ("seen 5", "WARNING", 0.97)
    assert second["message"] == "mine"
    assert "plain" in lines


def test_it_works_in_a_folder_that_looks_like_the_project_and_is_its_own(tmp_path: Path) -> None:
    code = """
        import json, os, sys
        values = json.load(open("values.json"))
        class PythonPredictor:
            def predict(self, payload):
                with open("seen.txt", "a") as file:
                    file.write(payload)
                return [values, open("seen.txt").read(), sorted(os.listdir()), os.path.exists("sub/x.txt")]
    """
    project = write_project(tmp_path / "iris", code, {"values.json": "[1]", "sub/x.txt": "x"})
    with running(project) as started:
        with started.replica() as first, started.replica() as second:
            found = json.loads(first.ask(b'"a"').body)
            assert found == [[1], "a", ["predictor.py", "seen.txt", "sub", "values.json"], True]
            assert json.loads(second.ask(b'"b"').body)[1] == "b"
        snapshots = list((tmp_path / "snapshots").rglob("*"))
        assert not [path for path in snapshots if path.name in ("seen.txt", "__pycache__")]
    assert not (project / "seen.txt").exists()


def test_python_path_is_where_imports_start(tmp_path: Path) -> None:
    code = "import more\nclass PythonPredictor:\n    def predict(self):\n        return [more.X]"
    project = write_project(tmp_path / "iris", "", {"src/app/predictor.py": code, "src/more.py": "X = 5"})
    assert replied(project, path="src/app/predictor.py", python_path="src/") == [5]


def test_load_model_may_be_used_while_the_class_is_built(tmp_path: Path) -> None:
    code = """
        class PythonPredictor:
            def __init__(self, config, python_client):
                self.model = python_client.get_model()
            def load_model(self, model_path):
                return open(model_path + "/model.txt").read()
            def predict(self, payload):
                return [self.model]
    """
    project = write_project(tmp_path / "iris", code, {"model/model.txt": "weights"})
    spec = spec_of(multi_model_reloading=ModelFiles(path="model"))
    with answering(project, spec) as replica:
        assert json.loads(replica.ask().body) == ["weights"]
    code = code.replace("load_model", "load")
    assert "no load_model" in not_ready(write_project(project, code), spec)["message"]


def test_replies_wait_for_post_predict_of_the_request_before(tmp_path: Path) -> None:
    code = """
        import os
        class PythonPredictor:
            def predict(self, payload):
                return payload
            def post_predict(self, payload):
                open(payload).read()
    """
    pipe = tmp_path / "pipe"
    with answering(write_project(tmp_path / "iris", code)) as replica:
        os.mkfifo(pipe)
        assert replica.ask(json.dumps(str(pipe)).encode()).status == 200
        replica.send([request(json.dumps("/dev/null").encode(), JSON)])
        assert silent(replica.sockets[0])
        pipe.write_text("go on")
        assert replica.received()[1][0] is not None
