"""What the verbs of deployments send to the engine, and what they say: asked of a stand-in that answers at once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import handrail
from handrail.core.errors import HandrailError
from handrail.deploy.spec import ApiSpec, Predictor, Share, spec_from
from handrail.faces.cli.standing import ago, drawn
from handrail.store import Store
from handrail.store.deployments import Deployments
from tests.engines.engine import engine_at, until
from tests.engines.fake import FakeEngine, engine_saying, standing
from tests.faces.conftest import Cli
from tests.serve.bundles import make_bundle

STEP = {"event": "step", "api": "churn", "text": "churn@1: 1 of 1 replicas ready"}


class Apis:
    """What the stand-in serves: the standings by name, and how it answers."""

    def __init__(self, home: Path) -> None:
        self.kept = Deployments(home)
        self.standings: dict[str, dict[str, Any]] = {}
        self.steps: list[dict[str, Any]] = [{"do": "create", "api": "churn", "why": ["model churn"]}]
        self.changes: dict[str, Any] = {}

    def serve(self, spec: ApiSpec, **changes: Any) -> None:
        """An API that is deployed."""
        self.standings[spec.name] = standing(spec.name, **changes)
        self.promote(spec)

    def promote(self, spec: ApiSpec, folder: str = "") -> None:
        self.kept.promote(spec.name, self.kept.propose(spec.name, spec.as_dict(), folder, "").number)

    def answers(self, request: Mapping[str, Any]) -> list[Any]:
        do, api = request["do"], request.get("api")
        if do == "ping":
            return [{"result": {"url": "http://127.0.0.1:8080", "address": ["127.0.0.1", 8080]}}]
        if do == "deploy":
            apis = [standing(spec["name"]) for spec in request["apis"]]
            for spec in [] if request["dry_run"] else request["apis"]:
                self.promote(spec_from(spec), request["folders"].get(spec["name"], ""))
            return [STEP, {"result": {"steps": self.steps, "apis": [] if request["dry_run"] else apis}}]
        if api is not None and api not in self.standings:
            return [HandrailError("not_found", f"no API called '{api}' is deployed", "deployed: churn").as_dict()]
        if do == "status":
            found = [self.standings[api]] if api else list(self.standings.values())
            return [{"result": {"url": "http://127.0.0.1:8080", "apis": found}}]
        if do == "delete":
            return [{"result": {"deleted": api}}]
        return [self._changed(request)]

    def _changed(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """An act whose effect is a label, so that the same act again changes nothing."""
        wanted = ApiSpec(request["api"], model="churn@1", env={"as": json.dumps(dict(request))})
        served = self.kept.served(wanted.name)
        if served is None or served.spec["env"] != wanted.env:
            self.promote(wanted)
        return {"result": {**self.standings[request["api"]], **self.changes}}


@pytest.fixture
def apis(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Apis:
    """Two versions of the model "churn"; nothing is deployed; the working folder is an empty one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    store = Store(home)
    for _ in range(2):
        with store.draft() as draft:
            make_bundle(draft, "churn")
            store.publish(draft, "churn")
    return Apis(home)


@pytest.fixture
def engine(home: Path, apis: Apis) -> Iterator[FakeEngine]:
    with engine_saying(home, apis.answers) as found:
        yield found


@pytest.fixture
def churn(apis: Apis) -> Apis:
    """The API "churn" is deployed."""
    apis.serve(ApiSpec("churn", model="churn@1"))
    return apis


# deploy


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


# status


def test_status_is_a_table(engine: FakeEngine, churn: Apis, cli: Cli) -> None:
    canary = {**standing()["versions"][0], "version": "4", "role": "canary", "weight": 10.0}
    current = {**standing()["versions"][0], "weight": 90.0}
    churn.serve(ApiSpec("reviews", model="churn"), versions=[current, canary], ready=2, wanted=3, in_flight=7,
                why_not_ready="its replicas are starting", last_error="reviews@4: bad\x1b[31m")  # fmt: skip
    done = cli("status")
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "http://127.0.0.1:8080"
    assert lines[3].split()[:12] == [
        "churn",
        "live",
        "3",
        "1/1",
        "0",
        "0.42",
        "1.50",
        "12.2",
        "1,234",
        "5",
        "0",
        lines[3].split()[11],
    ]
    assert lines[4].split()[:6] == ["reviews", "live", "3", "90", "%", "2/3"]
    assert lines[5].split() == ["4", "canary", "10", "%"]
    assert lines[6] == "reviews is not ready: its replicas are starting"
    assert lines[7] == "reviews last error: reviews@4: bad\\x1b[31m"
    assert all(line == line.rstrip() for line in lines)


def test_status_of_an_engine_that_just_came_up_has_no_figures_yet(engine: FakeEngine, apis: Apis, cli: Cli) -> None:
    assert cli("status").out == "nothing is deployed at http://127.0.0.1:8080: handrail deploy NAME\n"
    apis.serve(ApiSpec("churn", model="churn"), latency_ms={"p50": None, "p90": None, "p99": None}, versions=[])
    assert cli("status").out.splitlines()[3].split()[:8] == ["churn", "live", "–", "–", "0", "–", "–", "–"]


def test_an_api_that_sleeps_is_no_cause_for_complaint(engine: FakeEngine, churn: Apis, cli: Cli) -> None:
    churn.standings["churn"] |= {"state": "asleep", "why_not_ready": "asleep: the first request wakes it"}
    assert "wakes it" not in cli("status").out
    assert "not ready" not in cli("status", "churn").out


def test_status_of_one_api_says_all(engine: FakeEngine, churn: Apis, cli: Cli) -> None:
    churn.standings["churn"]["monitoring"] = {"rows": 12, "classes": {"yes": 7, "no": 5}}
    done = cli("status", "churn")
    assert done.status == 0, done.err
    for words in ("churn: live, revision 3", "answers at  http://127.0.0.1:8080/churn/predict", "3        current",
                  "38.6 MB", "p50 0.42 ms, p90 1.50 ms, p99 12.2 ms", "1,234 2xx, 5 4xx, 0 5xx", "yes 7, no 5",
                  "curl http://127.0.0.1:8080/churn/predict --json"):  # fmt: skip
        assert words in done.out
    found = cli("status", "churn", "--json").object()
    assert found["apis"] == [churn.standings["churn"]]


def test_a_splitter_and_jobs_stand_as_what_they_are(engine: FakeEngine, churn: Apis, cli: Cli) -> None:
    none: dict[str, Any] = {"versions": [], "ready": 0, "wanted": 0, "latency_ms": None}
    shares = (Share("churn", 30.0), Share("other", 70.0), Share("third", 5.0, shadow=True))
    churn.serve(ApiSpec("split", kind="TrafficSplitter", traffic=shares), kind="TrafficSplitter", **none)
    churn.serve(ApiSpec("job", kind="TaskAPI", predictor=Predictor("task.py")), kind="TaskAPI", **none)
    rows = [line.split()[:4] for line in cli("status").out.splitlines()[3:]]
    assert rows[1:] == [["split", "live", "splitter", "–"], ["job", "live", "task", "–"]]
    said = cli("status", "split").out
    assert [line.split() for line in said.splitlines()[-3:]] == [
        ["churn", "current", "30", "%"], ["other", "current", "70", "%"], ["third", "shadow", "5", "%"],
    ]  # fmt: skip
    assert cli("traffic", "split").out.splitlines()[1].split() == ["churn", "current", "30", "%"]
    assert cli("traffic", "split", "churn=50", "other=50").status == 0
    assert [share["name"] for share in engine.asked("traffic")[0]["shares"]] == ["churn", "other"]


def test_an_api_with_a_port_of_its_own_says_so(engine: FakeEngine, churn: Apis, cli: Cli) -> None:
    churn.standings["churn"]["port"] = 8888
    assert "and at      http://127.0.0.1:8888/\n" in cli("status", "churn").out


def test_the_sample_beside_the_code_is_the_request_to_try(engine: FakeEngine, apis: Apis, cli: Cli, home: Path) -> None:
    Path("sample.json").write_text('{"x": 1}')
    Path("predictor.py").write_text("class PythonPredictor:\n    def predict(self, payload): return 1\n")
    Path("cortex.yaml").write_text(
        "- name: iris\n  kind: RealtimeAPI\n  predictor: {type: python, path: predictor.py}\n"
    )
    done = cli("deploy", "--yes")
    assert re.search(rf"try: curl http://127.0.0.1:8080/iris/predict --json @{home}/\S+/sample.json\n", done.err)


def test_status_of_an_unknown_api_names_those_that_are(engine: FakeEngine, churn: Apis, cli: Cli) -> None:
    done = cli("status", "chrun", "--json")
    done.refused(4, "no API called 'chrun'", "churn")
    assert done.object()["error"]["code"] == "not_found"


def test_status_is_drawn_again_and_again_only_on_a_terminal(engine: FakeEngine, churn: Apis, cli: Cli) -> None:
    assert cli("status", "--watch").out == cli("status").out
    cli("status", "-w", "--json").refused(2, "--watch draws")


@pytest.mark.parametrize("width", [40, 60, 72, 80, 100, 120, 200])
@pytest.mark.parametrize("name", ["a", "reviews-of-films", "a-very-long-name-that-somebody-has-chosen-1234567890"])
def test_the_table_is_never_wider_than_the_terminal(name: str, width: int) -> None:
    from rich.console import Console

    two = [{**standing()["versions"][0], "version": "12", "role": "canary", "weight": 12.5}] * 2
    apis = [standing(name, state="updating", versions=two, updated=0.0), standing("b")]
    console = Console(highlight=False, width=width)
    with console.capture() as captured:
        console.print(drawn("http://127.0.0.1:8080", apis, width=width))
    lines = captured.get().splitlines()
    assert lines[2].split()[:4] == ["api", "state", "version", "ready"]
    assert all(len(line) <= width for line in lines)
    # Only a name is cut: a figure that is cut would be another figure.
    assert all("…" not in line.split(" ", 1)[1] for line in lines[2:] if line)
    assert lines[3].split()[1:3] == ["updating", "12"]
    if width == 200:
        assert name in lines[3]
        assert " ".join(lines[2].split()) == "api state version ready flight ms ms ms 2xx 4xx 5xx updated"


@pytest.mark.parametrize(
    ("passed", "words"),
    [(-5, "just now"), (0.5, "just now"), (1, "1 second ago"), (59.9, "59 seconds ago"), (60, "1 minute ago"),
     (200, "3 minutes ago"), (7200, "2 hours ago"), (86_400 * 40, "40 days ago")],
)  # fmt: skip
def test_a_moment_is_told_as_people_tell_it(passed: float, words: str) -> None:
    assert ago(1_000_000.0, 1_000_000.0 + passed) == words


# the acts


@pytest.mark.parametrize(
    ("words", "request_", "done", "already"),
    [
        (["scale", "churn", "3"], {"do": "scale", "replicas": 3}, "1 wanted, 1 ready", "so many already"),
        (["scale", "churn", "0"], {"do": "scale", "min_replicas": 0}, "1 wanted", "so many already"),
        (["scale", "churn", "--min", "1", "--max", "4"], {"do": "scale", "min_replicas": 1, "max_replicas": 4},
         "1 wanted", "so many already"),
        (["rollback", "churn"], {"do": "rollback"}, "back, live at", "at revision 3 already"),
        (["rollback", "churn", "2"], {"do": "rollback", "revision": 2}, "back, live at", "at revision 3 already"),
        (["traffic", "churn", "4=10"],
         {"do": "traffic", "shares": [{"name": "churn@4", "weight": 10.0, "header": None, "shadow": False}]},
         "shared out anew", "so already"),
    ],
)  # fmt: skip
def test_an_act_is_said_to_be_done_or_to_be_done_already(
    words: list[str], request_: dict[str, Any], done: str, already: str, engine: FakeEngine, churn: Apis, cli: Cli
) -> None:
    first, second = cli(*words), cli(*words)
    assert (first.status, second.status) == (0, 0), first.err
    assert done in first.out
    assert already in second.out
    assert engine.asked(request_["do"])[0] == {**request_, "api": "churn"}
    third = cli(*words, "--json").object()
    assert third["changed"] is False
    assert third["api"]["name"] == "churn"


def test_promote_needs_a_canary(engine: FakeEngine, churn: Apis, cli: Cli) -> None:
    assert "there is no canary" in cli("promote", "churn").out
    assert engine.asked("promote") == []
    canary = {**standing()["versions"][0], "version": "4", "role": "canary", "weight": 10.0}
    churn.standings["churn"]["versions"].append(canary)
    assert "what was the canary answers all requests" in cli("promote", "churn").out
    assert engine.asked("promote") == [{"do": "promote", "api": "churn"}]


def test_refresh_is_asked_for(engine: FakeEngine, churn: Apis, cli: Cli) -> None:
    assert "being replaced, 1 of 1 ready" in cli("refresh", "churn").out
    assert cli("refresh", "churn", "--json").object()["api"]["name"] == "churn"


@pytest.mark.parametrize("verb", ["scale", "rollback", "promote", "traffic", "refresh"])
def test_an_act_on_an_unknown_api_names_those_that_are(verb: str, engine: FakeEngine, churn: Apis, cli: Cli) -> None:
    cli(verb, "chrun", *(["2"] if verb == "scale" else [])).refused(4, "no API called 'chrun'", "churn")


@pytest.mark.parametrize("verb", ["status", "scale", "rollback", "promote", "traffic", "refresh"])
def test_without_an_engine_a_verb_says_what_to_type(verb: str, apis: Apis, cli: Cli) -> None:
    words = {"status": [], "scale": ["churn", "2"], "traffic": ["churn", "2=10"]}.get(verb, ["churn"])
    done = cli(verb, *words, "--json")
    done.refused(4, "nothing is deployed: the engine is not running", "handrail deploy NAME")
    assert done.object()["error"]["code"] == "not_found"


# traffic


def test_traffic_shows_who_gets_what(engine: FakeEngine, churn: Apis, cli: Cli) -> None:
    roles = (("1", "current", 95.0), ("2", "canary", 5.0), ("3", "canary", 0.0))
    one = standing()["versions"][0]
    versions = [{**one, "version": number, "role": role, "weight": weight} for number, role, weight in roles]
    churn.serve(
        ApiSpec("churn", model="churn@1", traffic=(Share("churn@2", 5.0), Share("churn@3", header="x-beta"))),
        versions=versions,
    )
    lines = cli("traffic", "churn").out.splitlines()
    assert lines[1:] == ["      1  current  95 %", "      2  canary   5 %", "      3  canary   0 %, those with x-beta"]
    assert cli("traffic", "churn", "--json").object()["shares"][1]["header"] == "x-beta"


@pytest.mark.parametrize(
    ("words", "shares"),
    [
        (["4=10%", "5=2.5"], [("churn@4", 10.0, None, False), ("churn@5", 2.5, None, False)]),
        (["4=shadow"], [("churn@4", 100.0, None, True)]),
        (["4=header:x-beta"], [("churn@4", 0.0, "x-beta", False)]),
        (["4=header:x-beta: a=b"], [("churn@4", 0.0, "x-beta: a=b", False)]),
        (["other@2=1", "churn@new=2"], [("other@2", 1.0, None, False), ("churn@new", 2.0, None, False)]),
        (["4=0"], []),
        (["3=90", "4=10"], [("churn@4", 10.0, None, False)]),
        (["3=100"], []),
    ],
)
def test_shares_are_written_in_few_letters(
    words: list[str], shares: list[tuple[Any, ...]], engine: FakeEngine, churn: Apis, cli: Cli
) -> None:
    assert cli("traffic", "churn", *words).status == 0
    sent = engine.asked("traffic")[0]["shares"]
    assert [(share["name"], share["weight"], share["header"], share["shadow"]) for share in sent] == shares


@pytest.mark.parametrize(
    "word", ["4", "=10", "4=", "4=x", "4=-1", "4=101", "4=10=2", "a b=1", "4=header:", "4=header:a b"]
)
def test_a_share_that_is_none_is_refused(word: str, engine: FakeEngine, churn: Apis, cli: Cli) -> None:
    cli("traffic", "churn", word).refused(2)
    assert engine.asked("traffic") == []


def test_shares_with_the_current_version_make_a_whole(engine: FakeEngine, churn: Apis, cli: Cli) -> None:
    cli("traffic", "churn", "3=80", "4=10").refused(2, "the shares make 90 %")


# delete, up, down


def test_delete_asks_and_is_done_once(engine: FakeEngine, churn: Apis, cli: Cli) -> None:
    cli("delete", "churn").refused(2, "'churn' was not deleted", "handrail delete churn --yes")
    assert cli("delete", "churn", "--yes").out == "deleted 'churn'\n"
    churn.standings.clear()
    assert cli("delete", "churn", "--yes").out == "there is no API 'churn': nothing to delete\n"
    assert cli("delete", "churn", "--yes", "--json").object() == {"name": "churn", "changed": False}


def test_delete_needs_no_engine(churn: Apis, cli: Cli) -> None:
    assert cli("delete", "churn", "--yes").out == "deleted 'churn'\n"
    assert churn.kept.apis() == []
    assert cli("delete", "churn", "--yes").out == "there is no API 'churn': nothing to delete\n"


def test_up_says_where_and_what(engine: FakeEngine, churn: Apis, cli: Cli) -> None:
    assert cli("up").out == "the engine runs already at http://127.0.0.1:8080: churn\n"
    found = cli("up", "--json").object()
    assert (found["changed"], found["url"]) == (False, "http://127.0.0.1:8080")


def test_down_without_an_engine_is_done_already(apis: Apis, cli: Cli) -> None:
    assert cli("down").out == "the engine is down already\n"
    assert cli("down", "--json").object() == {"changed": False}


def test_up_can_write_a_service(
    apis: Apis, cli: Cli, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "a config"))
    done = cli("up", "--install", "--port", "9000")
    path = tmp_path / "a config" / "systemd" / "user" / "handrail.service"
    assert done.out == f"{path} is written\n"
    assert "systemctl --user enable --now handrail" in done.err
    assert "loginctl enable-linger" in done.err
    text = path.read_text()
    assert f"Environment=HANDRAIL_HOME={home}\n" in text
    assert re.search(r"^ExecStart=\S+ -m handrail up --port 9000$", text, re.M)
    assert re.search(r"^ExecStop=\S+ -m handrail down$", text, re.M)
    assert cli("up", "--install", "--port", "9000").out == f"{path} is as it should be already\n"
    assert cli("up", "--install", "--json").object()["unit"] == str(path)


@pytest.mark.parametrize(
    ("home", "line"),
    [
        ("/srv/my models", 'Environment="HANDRAIL_HOME=/srv/my models"'),
        ("/srv/100%", "Environment=HANDRAIL_HOME=/srv/100%%"),
        ('/srv/"a"\\b', 'Environment="HANDRAIL_HOME=/srv/\\"a\\"\\\\b"'),
    ],
)
def test_a_service_quotes_what_has_to_be_quoted(home: str, line: str) -> None:
    from handrail.faces.cli.up import unit

    assert line in unit(Path(home), []).splitlines()
    with pytest.raises(HandrailError, match="cannot hold the path"):
        unit(Path("/srv/a\nExecStart=evil"), [])


# logs and completion


def test_logs_are_prefixed_with_their_replica(home: Path, cli: Cli) -> None:
    folder = home / "logs" / "churn"
    folder.mkdir(parents=True)
    (folder / "3.log").write_bytes(
        b"2026-11-25T03:40:00.123Z 812 first\n  more\n2026-11-25T03:40:02.000Z 81234 third\n"
    )
    (folder / "4.log").write_bytes(b"2026-11-25T03:40:01.000Z 90 second \x1b]0;title\x07\n")
    done = cli("logs", "churn")
    assert done.out.splitlines() == [
        "churn@3/812 │ 2026-11-25T03:40:00.123Z first",
        "churn@3/812 │ 2026-11-25T03:40:00.123Z   more",
        "churn@4/90  │ 2026-11-25T03:40:01.000Z second \\x1b]0;title\\x07",
        "churn@3/81234 │ 2026-11-25T03:40:02.000Z third",
    ]
    assert len(cli("logs", "churn@3", "-n", "2").out.splitlines()) == 2
    assert cli("logs", "churn@4", "--json").object() == {
        "api": "churn",
        "lines": [{"at": "2026-11-25T03:40:01.000Z", "version": "4", "pid": "90", "text": "second \x1b]0;title\x07"}],
    }


def test_logs_that_are_not_there(home: Path, cli: Cli) -> None:
    cli("logs", "churn").refused(4, "there are no logs of 'churn'")
    (home / "logs" / "churn").mkdir(parents=True)
    done = cli("logs", "churn")
    assert (done.status, done.out, done.err) == (0, "", "nothing is written yet by churn\n")
    for name in ("../../etc", "churn@x", "", "a b", "churn/..", "CHURN", "churn@3@4"):
        cli("logs", name).refused(2, "is no API")


def test_logs_without_a_name_are_the_engines(home: Path, cli: Cli) -> None:
    assert cli("logs").err == "nothing is written yet by the engine\n"
    (home / "logs").mkdir(parents=True)
    (home / "logs" / "engine.log").write_text("2026-11-25 04:35:42,486 handrail.engine: one\ntwo\n")
    assert cli("logs", "-n", "5").out == "2026-11-25 04:35:42,486 handrail.engine: one\ntwo\n"
    assert [line["text"] for line in cli("logs", "-n", "1", "--json").object()["lines"]] == ["two"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script(shell: str, cli: Cli) -> None:
    done = cli("completion", shell)
    assert done.status == 0
    assert "_HANDRAIL_COMPLETE" in done.out
    assert cli("completion", shell, "--json").object() == {"shell": shell, "script": done.out.rstrip("\n")}


def test_completion_for_another_shell_names_those_that_are_known(cli: Cli) -> None:
    cli("completion", "cmd").refused(2, "bash, zsh, fish")


# Python


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


# For real


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
            ["1", "current"],
            ["2", "canary"],
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
