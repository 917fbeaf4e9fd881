"""The engine's OpenAPI document tells of user code, splitters, jobs, promises and what is watched."""

from __future__ import annotations

import json
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from handrail.deploy.spec import ApiSpec, Monitoring, Share
from handrail.deployments import deploy
from tests.engines.engine import engine_at
from tests.engines.test_code import project

CODE = "class PythonPredictor:\n    def predict(self, payload):\n        return payload\n"
BATCH = "- name: many\n  kind: BatchAPI\n  predictor: {type: python, path: predictor.py}\n"
TASK = "- name: chore\n  kind: TaskAPI\n  definition: {path: predictor.py}\n"


def test_every_path_of_the_engine_is_in_the_document(tmp_path: Path) -> None:
    with engine_at(tmp_path / "home") as engine:
        engine.deploy(ApiSpec("churn", model="churn@1", monitoring=Monitoring()))
        deploy(str(project(tmp_path / "mine", CODE) / "cortex.yaml"), home=engine.place.home, trust=True)
        engine.deploy(ApiSpec("mix", kind="TrafficSplitter", traffic=(Share("mine", 100),)))
        deploy(str(project(tmp_path / "many", CODE, BATCH) / "cortex.yaml"), home=engine.place.home, trust=True)
        lazy = project(tmp_path / "lazy", CODE, BATCH.replace("many", "lazy").replace("BatchAPI", "AsyncAPI"))
        deploy(str(lazy / "cortex.yaml"), home=engine.place.home, trust=True)
        task = project(tmp_path / "chore", "class Task:\n    def __call__(self, config):\n        return 1\n", TASK)
        deploy(str(task / "cortex.yaml"), home=engine.place.home, trust=True)
        document = json.loads(engine.served.ask("GET", "/openapi.json")[2])
        validate(document, cls=OpenAPIV31SpecValidator)
        told = {path: {verb.upper() for verb in item} for path, item in document["paths"].items()}
        assert told["/churn/feedback"] == {"POST"}
        assert told["/churn/monitoring"] == {"GET"}
        assert told["/mine"] == told["/churn"] == {"GET", "POST"}
        assert told["/mine/predict"] == told["/mix/predict"] == {"POST"}
        assert told["/mine/requests/{id}"] == {"GET"}
        assert told["/many/batches"] == told["/chore"] == {"GET", "POST", "DELETE"}
        assert told["/churn/batches/{id}/results"] == {"GET"}
        assert "202" in document["paths"]["/lazy"]["post"]["responses"]
        assert "/mine" in engine.served.ask("GET", "/docs")[2].decode()
        engine.ask("delete", api="mix")
        assert "/mix" not in json.loads(engine.served.ask("GET", "/openapi.json")[2])["paths"]
