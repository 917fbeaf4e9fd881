"""The client that `handrail client` writes: typed, whole, harmless, and it works."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from handrail.core.field import Field
from handrail.core.signature import Output
from handrail.faces.cli.client import attributes, curl_line, python_client
from handrail.model import Model
from handrail.serve.keys import Rate, add_key
from tests.faces.conftest import Cli, cli, shop, stocked
from tests.serve.bundles import FIELDS, ROW, make_bundle
from tests.serve.served import Served, serving

__all__ = ["cli", "shop", "stocked"]
HOSTILE = (
    '"""', "'''", "\n__import__('os').abort()#", "\r\nraise SystemExit", "a b", "a_b", "a-b", "class", "None", "float",
    "self", "__class__", "1st", "größe", "ℌ", "H", "🙂", "\u202e", "{x}", "%s", "\\", "\\'\"", "Label", "x" * 500,
)  # fmt: skip


@pytest.fixture(scope="module")
def server(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str, str]]:
    """A server with two keys, one of which may ask once an hour."""
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    key, slow = add_key(file, "client"), add_key(file, "slow", Rate(1, "h"))
    with serving(model.bundle.path, keys=str(file)) as served:
        yield served, key, slow


def ran(source: str, script: str, **environment: str) -> list[Any]:
    """What a script prints as JSON that has the client beside it, in a Python without packages."""
    beside = "import sys, types, json\nclient = types.ModuleType('client'); sys.modules['client'] = client\n"
    code = f"{beside}exec({source!r}, client.__dict__)\n{script}"
    words = [sys.executable, "-I", "-S", "-W", "error", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


SCRIPT = """
from client import Client, Refused, Row
def say(value): print(json.dumps(value))
row = Row(age=30, plan="pro", active=True)
answer = Client().predict(row)
say([answer.label, answer.probability, answer.probabilities])
say([found.label for found in Client().predict_all([row, Row(plan="?", active=False)])])
for ask in (lambda: Client().predict(Row(age="old", plan="pro", active=True)), lambda: Client(key="x").predict(row),
            lambda: [Client(key=SLOW).predict(row) for _ in range(2)]):
    try: ask()
    except Refused as no: say([no.status, no.code, no.field, no.retry_after_s, bool(no.hint)])
try: Client("http://127.0.0.1:9").predict(row)
except OSError as error: say("nobody")
"""


def test_it_asks_a_real_server(server: tuple[Served, str, str], model: Model) -> None:
    served, key, slow = server
    source = python_client(model, f"http://127.0.0.1:{served.port}")
    answer, labels, *refusals, nobody = ran(source, f"SLOW = {slow!r}\n{SCRIPT}", HANDRAIL_KEY=key)
    wanted = model(ROW)
    assert answer == [wanted["label"], wanted["probability"], wanted["probabilities"]]
    assert labels == [found["label"] for found in model([ROW, {"plan": "?", "active": False}])]
    assert [refusal[:3] for refusal in refusals] == [
        [422, "data", "age"], [401, "unauthorized", None], [429, "rate_limited", None],
    ]  # fmt: skip
    assert refusals[2][3] == 3_600
    assert all(refusal[4] for refusal in refusals)
    assert nobody == "nobody"


def test_the_curl_line_asks_a_real_server(server: tuple[Served, str, str], model: Model, home: Path) -> None:
    if not shutil.which("curl"):
        pytest.skip("there is no curl")
    served, key, _ = server
    address = f"http://127.0.0.1:{served.port}"
    assert "authorization" not in curl_line(model, address)
    add_key(home / "keys.json", "website")
    line = curl_line(model, address)
    done = subprocess.run(line, shell=True, capture_output=True, env={"HANDRAIL_KEY": key}, check=True)
    assert json.loads(done.stdout) == model(model.examples[0]["input"])


CALLS = """

reveal_type(Client().predict_all([]))


def check(client: Client) -> float:
    wrong: str = client.predict(Row(plan="pro", active=True)).probability
    Row(plan=3, active=True)
    Row(active=True)
    if client.predict(Row(plan="pro", active=True)).label == "maybe":
        pass
    return client.predict(Row(age=None, plan="pro", active=True)).probabilities["yes"]
"""


def test_it_is_typed_to_the_last_line_and_mistakes_are_seen(model: Model, tmp_path: Path) -> None:
    sources = {"right": python_client(model, "http://x"), "wrong": python_client(model, "http://x") + CALLS}
    for kind, output in (("number", Output("y", "number")), ("labels", Output("y", "labels", ("a", "b")))):
        made = make_bundle(tmp_path / f"of_{kind}", output=OUTPUT_OF_BUNDLE)
        object.__setattr__(made.manifest.signature, "output", output)
        sources[kind] = python_client(made, "http://x")
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
    files = [str(tmp_path / f"{name}.py") for name in sources]
    words = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-version",
        "3.10",
        "--cache-dir",
        str(tmp_path / "cache"),
    ]
    done = subprocess.run([*words, *files], capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    said = done.stdout.splitlines()
    assert all("wrong.py" in line for line in said[:-1]), done.stdout
    assert "list[" in said[0]
    assert len([line for line in said if " error: " in line]) == 4, done.stdout
    assert "Found 4 errors in 1 file (checked 4 source files)" in said[-1]


OUTPUT_OF_BUNDLE = Output("churned", "label", ("no", "yes"))


def test_nothing_that_a_bundle_says_can_run(tmp_path: Path) -> None:
    fields = (*FIELDS, *(Field(name, "category", choices=HOSTILE, example=name) for name in HOSTILE))
    hostile = make_bundle(tmp_path / "hostile", fields=fields, output=Output(HOSTILE[2], "label", HOSTILE[:2]))
    source = python_client(hostile, "http://127.0.0.1:1")
    module = ast.parse(source)
    kinds = {type(statement).__name__ for statement in module.body}
    assert kinds == {"Expr", "ImportFrom", "Import", "Assign", "ClassDef", "FunctionDef", "If"}
    assert len(module.body) == len(ast.parse(python_client(make_bundle(tmp_path / "plain"), "http://x")).body)
    row = next(part for part in module.body if isinstance(part, ast.ClassDef) and part.name == "Row")
    found = [
        part.target.id for part in row.body if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
    ]
    assert len(row.body) == len(found) + 1 == len(set(found)) + 1 == len(fields) + 1
    assert ran(source, "print(json.dumps(list(client.FIELDS.values())))")[0] == [field.name for field in fields]
    assert source.isprintable() or all(line.isprintable() for line in source.split("\n"))


def test_attributes_are_names_that_python_allows_each_once() -> None:
    found = attributes(HOSTILE)
    assert list(found) == list(HOSTILE)
    assert len(set(found.values())) == len(HOSTILE)
    assert all(name.isidentifier() for name in found.values())
    assert found["größe"] == "größe"
    assert (found["class"], found["float"], found["1st"]) == ("class_", "float_", "field_1st")
    assert (found["a b"], found["a_b"], found["a-b"]) == ("a_b", "a_b_2", "a_b_3")


def test_the_command_writes_a_module_or_a_line(shop: Path, cli: Cli) -> None:
    done = cli("client", "reviews")
    assert (done.status, done.err) == (0, "")
    compile(done.out, "client.py", "exec")
    assert "    text: str\n" in done.out
    assert 'Label = Literal["bad", "good"]' in done.out
    shown = cli("client", "churn", "--lang", "curl", "--url", "models.example.org:81/").out
    assert shown.startswith("curl http://models.example.org:81/churn/predict -H ")
    assert shown.count("\n") == 1
    found = cli("client", "churn", "--json").object()
    assert (found["model"], found["lang"], found["url"]) == ("churn", "python", "http://127.0.0.1:8080")
    compile(found["text"], "client.py", "exec")


def test_wrong_words_about_clients_are_refused(shop: Path, cli: Cli) -> None:
    cli("client", "churn", "--lang", "pyton").refused(2, "did you mean 'python'?")
    cli("client", "churn", "--url", "ftp://x").refused(2, "is no address")
    cli("client", "nobody").refused(4, "no model is called 'nobody'")
