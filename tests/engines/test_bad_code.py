"""Code that hangs, takes all memory, floods its log or forks: the status says so in words, and others are unharmed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from handrail.core.errors import HandrailError
from handrail.deploy.spec import ApiSpec
from handrail.deployments import deploy
from tests.engines.engine import Engine, engine_at, until
from tests.serve.served import is_up

GOOD = "class PythonPredictor:\n    def predict(self, payload):\n        return 'good'\n"
HANGS = (
    "import time\n\nclass PythonPredictor:\n    def __init__(self):\n        time.sleep(600)\n"
    + GOOD.partition("\n")[2]
)
TAKES_ALL = "held = []\nwhile True:\n    held.append(bytearray(10_000_000))\n"
TAKES_MUCH = """
class PythonPredictor:
    def predict(self, payload):
        return len(bytearray(payload * 2**20))
"""
PRINTS = "import sys\nfor _ in range(12_000):\n    sys.stdout.write('x' * 9_999 + '\\n')\n" + GOOD
FORKS = """
import os

class PythonPredictor:
    def predict(self, payload):
        os.fork()
        return os.getpid()
"""
MEM = 300


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with an API that does well; every test looks whether it still does."""
    with engine_at(tmp_path_factory.mktemp("bad") / "home", versions=1) as found:
        found.deploy(ApiSpec("churn", model="churn@1"))
        yield found


@pytest.fixture(autouse=True)
def _others_are_unharmed(engine: Engine) -> Iterator[None]:
    before = engine.status("churn")["versions"][0]
    yield
    after = engine.status("churn")["versions"][0]
    assert (after["pids"], after["restarts"]) == (before["pids"], before["restarts"])
    assert engine.predict("churn")[0] == 200


def deployed(engine: Engine, folder: Path, code: str, name: str, ready: str = "20s") -> None:
    folder.mkdir(exist_ok=True)
    (folder / "predictor.py").write_text(code)
    (folder / "handrail.yaml").write_text(
        f"- name: {name}\n  predictor: {{path: predictor.py}}\n"
        f"  limits: {{ready: {ready}}}\n  compute: {{mem: {MEM}MiB}}\n"
    )
    deploy(folder, home=engine.place.home, trust=True)


def ask(engine: Engine, name: str, payload: object) -> tuple[int, Any]:
    status, _, content = engine.served.ask("POST", f"/{name}", payload)
    return status, json.loads(content) if content[:1] in b'{["0123456789' else content.decode()


@pytest.mark.parametrize(
    ("code", "ready", "said"),
    [
        ("raise ValueError('no such weights')\n", "20s", "no such weights"),
        (HANGS, "1s", "took longer than 1 s"),
        (TAKES_ALL, "20s", f"ran out of memory while it started (limit {MEM} MB)"),
        ("import os\nos.kill(os.getpid(), 9)\n", "20s", "ended before it was ready"),
    ],
    ids=["crashes", "hangs", "allocates", "dies"],
)
def test_what_keeps_code_from_starting_is_in_the_status_and_the_one_before_serves(
    engine: Engine, tmp_path: Path, code: str, ready: str, said: str
) -> None:
    deployed(engine, tmp_path / "mine", GOOD, "starts")
    with pytest.raises(HandrailError) as caught:
        deployed(engine, tmp_path / "mine", code, "starts", ready)
    assert said in caught.value.problem
    standing = engine.status("starts")
    assert said in standing["last_error"]
    assert standing["state"] == "live"
    assert ask(engine, "starts", {}) == (200, "good")
    engine.ask("delete", api="starts")


def test_a_request_that_takes_all_memory_is_in_the_answer_the_status_and_the_log_with_the_number(
    engine: Engine, tmp_path: Path
) -> None:
    deployed(engine, tmp_path / "mine", TAKES_MUCH, "much")
    said = f"the replica ran out of memory (limit {MEM} MB)"
    status, answer = ask(engine, "much", 10_000)
    assert (status, answer["error"]["message"]) == (503, said)
    assert engine.status("much")["versions"][0]["last_failure"] == f"a request failed: {said}"
    until(lambda: said in (engine.place.logs / "much" / "1.log").read_text(), engine)
    assert ask(engine, "much", 1)[0] == 200
    engine.ask("delete", api="much")


def test_a_flood_of_output_stays_within_its_bound(engine: Engine, tmp_path: Path) -> None:
    deployed(engine, tmp_path / "mine", PRINTS, "prints")
    assert ask(engine, "prints", {}) == (200, "good")
    written = sum(one.stat().st_size for one in (engine.place.logs / "prints").iterdir())
    assert 2**20 < written < 3 * 34 * 2**20 < 12_000 * 10_000
    engine.ask("delete", api="prints")


def test_a_fork_answers_once_and_leaves_nobody(engine: Engine, tmp_path: Path) -> None:
    deployed(engine, tmp_path / "mine", FORKS, "forks")
    (ours,) = engine.status("forks")["versions"][0]["pids"]
    assert [ask(engine, "forks", {}) for _ in range(3)] == [(200, ours)] * 3
    children = Path(f"/proc/{ours}/task/{ours}/children")
    until(lambda: not [pid for pid in children.read_text().split() if is_up(int(pid))], engine)
    engine.ask("delete", api="forks")
    until(lambda: not is_up(ours), engine)
    assert os.getpid() != ours
