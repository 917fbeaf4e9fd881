"""What status and logs show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from handrail.deploy.spec import ApiSpec, Predictor, Share
from handrail.faces.cli.standing import ago, drawn
from tests.engines.fake import FakeEngine, standing
from tests.faces.conftest import Cli
from tests.faces.deployed import Apis


def test_what_ended_a_replica_last_stands_below_the_table(engine: FakeEngine, churn: Apis, cli: Cli) -> None:
    current = {**standing()["versions"][0], "last_failure": "a replica ended: it hung"}
    churn.serve(ApiSpec("reviews", model="churn"), versions=[current])
    assert "reviews last failure: a replica ended: it hung" in cli("status").out
    churn.serve(ApiSpec("reviews", model="churn"), versions=[current], why_not_ready="a replica ended: it hung")
    assert "last failure" not in cli("status").out


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
                  "handrail monitor churn", "curl http://127.0.0.1:8080/churn/predict --json"):  # fmt: skip
        assert words in done.out
    found = cli("status", "churn", "--json").object()
    assert found["apis"] == [churn.standings["churn"]]


def test_status_says_of_predictions_what_fits_a_few_lines(engine: FakeEngine, churn: Apis, cli: Cli) -> None:
    drift = {"judged": "much", "rows": 12, "columns": [{"column": "tenure", "judged": "much", "psi": 1.0}]}
    churn.standings["churn"]["monitoring"] = {
        "rows": 1200, "classes": {f"class{number}": 1 for number in range(9)}, "drift": drift, "numbers": None,
        "accuracy": {"accuracy": 0.75, "rows": 4, "low": 0.3, "high": 0.95},
    }  # fmt: skip
    said = cli("status", "churn").out
    for words in ("watched   1,200 rows", "class5 1, …", "drift     much", "feedback  75.0% right, 4 rows"):
        assert words in said
    assert "None" not in said
    assert "psi" not in said
    churn.standings["churn"]["monitoring"] = {"rows": 2, "numbers": {"count": 2, "min": 1.5, "max": 4.0, "mean": 2.75}}
    assert "answers  1.5 to 4, mean 2.75" in cli("status", "churn").out


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
