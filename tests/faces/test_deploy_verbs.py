"""What deploy sends to the engine, and what it says; and a walk through all verbs with a real one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import handrail
from handrail.core.errors import HandrailError
from handrail.deploy.spec import ApiSpec, Predictor, Share
from handrail.store import Store
from tests.engines.engine import engine_at, until
from tests.engines.fake import FakeEngine
from tests.faces.conftest import Cli
from tests.faces.deployed import Apis


def test_deploy_says_the_steps_where_it_answers_and_a_line_to_try(engine: FakeEngine, cli: Cli) -> None:
    done = cli("deploy", "churn")
    assert done.status == 0, done.err
    assert done.out == "churn  live  POST http://127.0.0.1:8080/churn/predict\n"
    told = done.err.splitlines()
    assert told[0] == "·  churn@1: 1 of 1 replicas ready"
    assert re.fullmatch(r"try: curl http://127\.0\.0\.1:8080/churn/predict --json '\{.*\}'", told[1])
    (request,) = engine.asked("deploy")
    assert request["apis"] == json.loads(json.dumps([ApiSpec("churn", model="churn").as_dict()]))
    assert (request["prune"], request["dry_run"], request["wait"]) == (False, False, True)


def test_deploy_as_json_has_steps_and_apis(engine: FakeEngine, cli: Cli) -> None:
    found = cli("deploy", "churn", "--json").object()
    assert found["steps"] == [{"do": "create", "api": "churn", "why": ["model churn"]}]
    assert found["apis"][0]["url"] == "http://127.0.0.1:8080/churn/predict"


def test_a_dry_run_is_a_table_of_steps(engine: FakeEngine, cli: Cli) -> None:
    done = cli("deploy", "churn", "--dry-run")
    assert done.out.splitlines() == ["api    step    why", "churn  create  model churn"]
    assert engine.asked("deploy")[0]["dry_run"] is True
    assert cli("deploy", "churn", "--dry-run", "--json").object()["steps"][0]["do"] == "create"


def test_a_dry_run_needs_no_engine_and_starts_none(churn: Apis, cli: Cli, home: Path) -> None:
    Path("handrail.yaml").write_text("- model: churn@2\n- {name: second, model: churn}\n")
    found = cli("deploy", "--dry-run", "--prune", "--json").object()
    assert [(step["api"], step["do"]) for step in found["steps"]] == [("churn", "update"), ("second", "create")]
    assert cli("status").status == 4


def test_a_file_is_deployed_as_it_says(engine: FakeEngine, cli: Cli) -> None:
    Path("handrail.yaml").write_text("- {name: a, model: churn@1}\n- {name: b, model: churn, replicas: 2}\n")
    done = cli("deploy", "--prune", "--no-wait")
    assert done.status == 0, done.err
    (request,) = engine.asked("deploy")
    assert [spec["name"] for spec in request["apis"]] == ["a", "b"]
    assert request["apis"][1]["autoscaling"]["max_replicas"] == 2
    assert (request["prune"], request["wait"]) == (True, False)
    assert done.out == "the engine goes on with it; handrail status shows how far it is\n"


def test_a_file_that_is_off_is_refused_before_anything_starts(cli: Cli, apis: Apis) -> None:
    Path("handrail.yaml").write_text("- modle: churn\n")
    done = cli("deploy")
    assert done.status == 3
    assert "unknown key 'modle'. Did you mean 'model'?" in done.err
    assert "Traceback" not in done.err
    assert cli("status").status == 4


def test_code_runs_only_when_that_is_agreed_to(engine: FakeEngine, cli: Cli, home: Path) -> None:
    Path("predictor.py").write_text("class PythonPredictor:\n    def predict(self, payload): return 1\n")
    Path("cortex.yaml").write_text(
        "- name: iris\n  kind: RealtimeAPI\n  predictor: {type: python, path: predictor.py}\n"
    )
    cli("deploy").refused(2, "nobody has agreed to run the code in", "--yes")
    assert engine.asked("deploy") == []
    assert cli("deploy", "--dry-run").status == 0
    assert cli("deploy", "--yes").status == 0
    assert cli("deploy").status == 0
    folder = Path(engine.asked("deploy")[-1]["folders"]["iris"])
    assert (folder / "project" / "predictor.py").is_file()
    assert folder.is_relative_to(home)
    Path("predictor.py").write_text("import os\n")
    cli("deploy").refused(2, "nobody has agreed")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["churn", "--prune"], "only a file says which"),
        (["churn", "--canary", "10", "--shadow"], "not as both"),
        (["churn", "--canary", "10", "--replicas", "2"], "no other option"),
        (["churn", "churn", "--shadow"], "one version of a model"),
        (["churn", "--canary", "0"], "a percentage above 0"),
        (["churn", "--canary", "101"], "a percentage above 0"),
        (["churn", "--canary", "nan"], "a percentage above 0"),
        (["churn", "--replicas", "-1"], "a whole number from 0"),
        (["churn", "--replicas", "1", "--replicas", "2"], "given twice"),
        (["churn", "churn"], "asked for twice"),
    ],
)
def test_what_deploy_is_not_given_is_said(words: list[str], said: str, engine: FakeEngine, cli: Cli) -> None:
    cli("deploy", *words).refused(2, said)
    assert engine.asked("deploy") == []


def test_another_port_than_the_engines_is_a_conflict(engine: FakeEngine, cli: Cli) -> None:
    cli("deploy", "churn", "--port", "9999").refused(6, "runs at http://127.0.0.1:8080 already")


def test_a_canary_gets_its_part(engine: FakeEngine, churn: Apis, cli: Cli) -> None:
    done = cli("deploy", "churn", "--canary", "10%")
    assert done.status == 0, done.err
    assert done.out == "churn: churn@2 answers 10 % of the requests\n"
    assert "handrail promote churn" in done.err
    (request,) = engine.asked("traffic")
    assert request["shares"] == [{"name": "churn@2", "weight": 10.0, "header": None, "shadow": False}]


def test_a_shadow_gets_copies_beside_a_canary(engine: FakeEngine, churn: Apis, cli: Cli) -> None:
    churn.promote(ApiSpec("churn", model="churn@2", traffic=(Share("other@1", 5.0), Share("churn@1", 5.0))))
    done = cli("deploy", "churn@1", "--shadow", "--json")
    assert done.object()["api"]["name"] == "churn"
    shares = [(share["name"], share["weight"], share["shadow"]) for share in engine.asked("traffic")[0]["shares"]]
    assert shares == [("other@1", 5.0, False), ("churn@1", 100.0, True)]


def test_a_canary_needs_an_api_and_another_version(engine: FakeEngine, apis: Apis, cli: Cli, home: Path) -> None:
    cli("deploy", "churn", "--canary", "10").refused(4, "there is no API 'churn' yet")
    apis.kept.promote("churn", apis.kept.propose("churn", ApiSpec("churn", model="churn").as_dict(),
                                                 str(Store(home).find("churn@2")), "").number)  # fmt: skip
    cli("deploy", "churn", "--canary", "10").refused(2, "churn@2 is what 'churn' serves already")


ORDERS = {
    "the verb first": "handrail.deploy; from handrail.deploy.spec import ApiSpec",
    "the package first": "from handrail.deploy.spec import ApiSpec",
}


@pytest.mark.parametrize("order", ORDERS)
def test_deploy_is_a_verb_in_python_too(order: str, churn: Apis, home: Path) -> None:
    code = f"import handrail; {ORDERS[order]}; print(handrail.deploy('churn@2', dry_run=True).steps[0]['do'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("update\n", "")


def test_deploy_in_python_gives_the_address(engine: FakeEngine, apis: Apis) -> None:
    told: list[Any] = []
    done = handrail.deploy("churn", tell=told.append)
    assert done.urls == {"churn": "http://127.0.0.1:8080/churn/predict"}
    assert [event.text for event in told] == ["churn@1: 1 of 1 replicas ready"]
    with pytest.raises(HandrailError, match="no model is called 'chrun'"):
        handrail.deploy("chrun")


def test_code_is_deployed_from_python_only_where_that_is_said(engine: FakeEngine, apis: Apis) -> None:
    Path("predictor.py").write_text("class PythonPredictor:\n    def predict(self, payload): return 1\n")
    spec = ApiSpec("iris", predictor=Predictor("predictor.py"))
    with pytest.raises(HandrailError, match="nobody has agreed"):
        handrail.deploy(spec)
    assert handrail.deploy(spec, trust=True).urls == {"iris": "http://127.0.0.1:8080/iris/predict"}


def test_a_walk_through_all_verbs(home: Path, cli: Cli) -> None:
    with engine_at(home) as engine:
        done = cli("deploy", "churn@1")
        assert done.status == 0, done.err
        assert f"{engine.url}/churn/predict" in done.out
        status, answer = engine.predict("churn")
        assert (status, next(iter(answer))) == (200, "label")
        assert "as it is" in cli("deploy", "churn@1", "--dry-run").out
        assert cli("scale", "churn", "2").status == 0
        assert "so many already" in cli("scale", "churn", "2").out
        assert cli("deploy", "churn@2", "--canary", "25").out == "churn: churn@2 answers 25 % of the requests\n"
        assert [row.split()[:2] for row in cli("traffic", "churn").out.splitlines()[1:]] == [
            ["churn@1", "current"],
            ["churn@2", "canary"],
        ]
        assert "answers all requests" in cli("promote", "churn").out
        assert cli("status", "churn", "--json").object()["apis"][0]["versions"][0]["version"] == "2"
        assert cli("rollback", "churn").status == 0
        assert cli("refresh", "churn").status == 0
        assert cli("logs", "churn").status == 0
        assert cli("down").out.startswith("the engine has ended")
        assert cli("down").out == "the engine is down already\n"
        assert "it would bring back: churn" in cli("status").err
        assert cli("up").out == f"the engine is up at {engine.url}: churn\n"
        until(lambda: engine.status("churn")["state"] == "live", engine)
        assert cli("status", "churn", "--json").object()["apis"][0]["versions"][0]["version"] == "1"
        assert cli("delete", "churn", "--yes").out == "deleted 'churn'\n"
        assert engine.ask("status")["apis"] == []
