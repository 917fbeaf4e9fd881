"""What is done to deployed APIs: scale, rollback, promote, traffic, refresh, delete, up and down."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from handrail.core.errors import HandrailError
from handrail.deploy.spec import ApiSpec, Share
from tests.engines.fake import FakeEngine, standing
from tests.faces.conftest import Cli
from tests.faces.deployed import Apis


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
