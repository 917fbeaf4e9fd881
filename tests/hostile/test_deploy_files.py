"""Files of APIs made by an enemy, or by somebody in a hurry: Y1 to Y16 of the hostile suite."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handrail.core.errors import HandrailError
from handrail.deploy import cortex_table, table
from handrail.deploy.file import read_any
from handrail.deploy.schema import sections
from tests.deploy.files import only, problems, refusal, write
from tests.faces.conftest import Cli

STYLES = ("handrail.yaml", "cortex.yaml")


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that hostile code would make; and it is not there afterwards."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "m"
    yield path
    assert not path.exists()


@pytest.mark.parametrize("name", STYLES)
@pytest.mark.parametrize(
    "tag",
    ["!!python/object/apply:os.system ['touch m']", "!!python/object/apply:subprocess.check_call [[touch, m]]",
     "!!python/object/new:os.system ['touch m']", "!!python/name:os.system ''", "!!python/module:os ''",
     "!!python/object/apply:builtins.exec ['open(\"m\", \"w\")']", "!!python/tuple [a]", "!!map {a: b}"],
)  # fmt: skip
def test_tags_make_nothing_and_are_refused(marker: Path, tmp_path: Path, tag: str, name: str) -> None:  # Y1, A8
    assert "3:8: tags are not allowed" in problems(tmp_path, f"- name: m\n  model: m\n  env: {tag}\n", name)


@pytest.mark.parametrize(
    "value",
    ["$(touch m)", "`touch m`", ";touch m", "|touch m", "{{7*7}}", "--flag", "a\\nRUN touch m", "\\0", "../m", "%00"],
)  # fmt: skip
@pytest.mark.parametrize("key", ["name", "model", "endpoint", "keys", "schedule", "kind", "port"])
def test_no_text_of_a_file_is_run(marker: Path, tmp_path: Path, key: str, value: str) -> None:  # A8, Y12
    error = refusal(
        tmp_path, f'- {{name: m, model: m, {key}: "{value}"}}' if key != "name" else f'- {{model: m, name: "{value}"}}'
    )
    assert len(error.problem.split("\n")) <= 3
    assert "49" not in error.problem


def test_a_bomb_of_aliases_is_refused_within_a_tenth_of_a_second(tmp_path: Path) -> None:  # Y2
    text = "a: &a [x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert_refused_soon(tmp_path, text, "aliases are not allowed")


@pytest.mark.parametrize("sign", ["[", "{", "- ", "- [", "[{a: "])
def test_three_thousand_levels_are_refused_within_a_tenth_of_a_second(tmp_path: Path, sign: str) -> None:  # Y3
    assert_refused_soon(tmp_path, sign * 3000, "nested deeper than 20")


def assert_refused_soon(folder: Path, text: str, problem: str) -> None:
    """The best of three, because the machine does other work as well."""
    path = write(folder, text)
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        with pytest.raises(HandrailError) as caught:
            read_any(path)
        took.append(time.perf_counter() - begun)
        assert problem in caught.value.problem
    assert min(took) <= 0.1


def test_a_key_given_twice_is_told_with_both_lines(tmp_path: Path) -> None:  # Y4
    assert problems(tmp_path, "- model: a\n  replicas: 2\n  model: b\n") == [
        "3:3: the key 'model' is given twice (lines 1 and 3)"
    ]


def test_an_unknown_key_is_told_with_the_nearest(tmp_path: Path) -> None:  # Y5
    assert problems(tmp_path, "- model: a\n  replcias: 2\n") == [
        "2:3: unknown key 'replcias'. Did you mean 'replicas'?"
    ]


@pytest.mark.parametrize("value", ["12:30:45", "0777", "1_000", "no", "'5'"])
def test_texts_that_look_like_numbers_elsewhere_are_no_numbers(tmp_path: Path, value: str) -> None:  # Y6
    assert "expected a whole number from 1 to 65,535" in problems(tmp_path, f"- {{model: m, port: {value}}}")[0]


@pytest.mark.parametrize("value", ["12", "1.5", "true", "null"])
def test_a_number_where_a_text_is_wanted_is_to_be_quoted(tmp_path: Path, value: str) -> None:  # Y6
    (line,) = problems(tmp_path, f"- {{model: m, name: {value}}}")
    assert "name: expected a name" in line
    assert value == "null" or f'write it in quotes: "{value}"' in line


@pytest.mark.parametrize(
    ("content", "place"),
    [(b"- model: a\n\treplicas: 2\n", "2:1"), (b"- model: caf\xe9\n", "1:13"), (b"- model: a\x00\n", "1:11")],
)
def test_bytes_that_are_no_text_are_refused_with_their_place(tmp_path: Path, content: bytes, place: str) -> None:  # Y7
    assert problems(tmp_path, content)[0].startswith(f"{place}: ")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_files_of_any_editor_are_read(tmp_path: Path, encoding: str, end: str) -> None:  # Y7
    text = f"- model: m{end}  monitoring: {{key: größe}}{end}"
    spec = only(tmp_path, text.encode(encoding))  # type: ignore[arg-type]
    assert spec.monitoring is not None
    assert spec.monitoring.key == "größe"


@pytest.mark.parametrize(
    "content", ["", "# a comment\n", "a: b\n", "just text\n", "- model: a\n---\n- model: b\n", "42"]
)
def test_what_is_no_list_of_apis_says_so(tmp_path: Path, content: str) -> None:  # Y8
    (line,) = problems(tmp_path, content)
    assert "expected a list of APIs" in line or "a second document begins here" in line


@pytest.mark.parametrize(
    "path",
    ["~/.ssh/id_rsa", "/etc/shadow", "../secret.py", "src/../../secret.py", "link.py", "folder/secret.py", "file:///etc/passwd",
     "loop.py", ".", "src", "x" * 5000, "nope.py", "%2e%2e/secret.py", "..", "src/../predictor.py"],
)  # fmt: skip
def test_code_outside_the_project_is_refused(tmp_path: Path, path: str) -> None:  # Y11, A15
    project = tmp_path / "project"
    write(project, "")
    (tmp_path / "secret.py").write_text("SECRET")
    (project / "link.py").symlink_to(tmp_path / "secret.py")
    (project / "folder").symlink_to(tmp_path)
    (project / "loop.py").symlink_to(project / "loop.py")
    for text, name in ((f"- {{name: i, predictor: {{path: '{path}'}}}}", "handrail.yaml"),
                       (f"- {{name: i, predictor: {{type: python, path: '{path}'}}}}", "cortex.yaml"),
                       (f"- {{model: m, keys: '{path}'}}", "handrail.yaml")):  # fmt: skip
        (line,) = problems(project, text, name)
        assert "predictor.path: " in line or "keys: " in line
        assert "SECRET" not in line


def test_links_inside_the_project_are_followed(tmp_path: Path) -> None:
    write(tmp_path, "")
    (tmp_path / "link.py").symlink_to("predictor.py")
    predictor = only(tmp_path, "- {name: i, predictor: {path: link.py}}").predictor
    assert predictor is not None
    assert predictor.path == "link.py"


@pytest.mark.parametrize("name", ["A\\nB", "A=B", "", "1A", "A B", "A-B", "Ä", "A\\0", "x" * 300])
def test_names_of_variables_are_refused_with_the_pattern(tmp_path: Path, name: str) -> None:  # Y12
    (line,) = problems(tmp_path, f'- {{model: m, env: {{"{name}": x}}}}')
    assert "is no name here ([A-Za-z_][A-Za-z0-9_]{0,255})" in line
    assert "\n" not in line


@pytest.mark.parametrize("value", ["a\\nRUN touch m", 'a"b', "a b", "A", "-rf", ".x", "x" * 65, "a\\u202eb", "né"])
def test_names_are_refused_with_the_pattern(tmp_path: Path, value: str) -> None:  # Y12
    quoted = value if '"' not in value else value.replace('"', '\\"')
    (line,) = problems(tmp_path, f'- {{model: m, name: "{quoted}"}}')
    assert "([a-z0-9][a-z0-9._-]{0,63})" in line
    assert line.isprintable()


@pytest.mark.parametrize(
    "name", ["LD_PRELOAD", "PYTHONPATH", "PYTHONSTARTUP", "DYLD_INSERT_LIBRARIES", "PATH", "HANDRAIL_HOME"]
)
def test_a_model_gets_no_variable_that_runs_code(tmp_path: Path, name: str) -> None:
    (line,) = problems(tmp_path, f"- {{model: m, env: {{{name}: ./evil.so}}}}")
    assert f"env.{name}: this variable changes which code runs" in line
    assert only(tmp_path, f"- {{name: m, predictor: {{path: predictor.py}}, env: {{{name}: x}}}}").env == {name: "x"}


def test_a_secret_is_noted_and_never_said_again(tmp_path: Path) -> None:  # Y14
    text = """
- name: m
  predictor:
    path: predictor.py
    config: {db: {password: hunter2}, pad_token: hunter2, api_key: ''}
  env: {DB_PASSWORD: hunter2, API_TOKEN: hunter2, MAX_TOKENS: 5, LEVEL: high}
"""
    path = write(tmp_path, text)
    notes = read_any(path).notes
    assert [note.partition(": ")[2].split(" ")[0] for note in notes] == [
        "predictor.config.db.password",
        "env.DB_PASSWORD",
        "env.API_TOKEN",
    ]
    assert "hunter2" not in "".join(notes)
    assert all(".env" in note for note in notes)


@pytest.mark.parametrize(
    "text",
    ["env: {DB_PASSWORD: [hunter2]}", "env: {API_TOKEN: {a: hunter2}}", 'env: {API_TOKEN: "hunter2\\0"}',
     "password: hunter2", "env: {'A B_PASSWORD': hunter2}", "compute: {secret: hunter2}",
     "env: {A_PASSWORD: &x hunter2}"],
)  # fmt: skip
def test_a_secret_that_is_off_is_not_echoed(tmp_path: Path, text: str) -> None:  # Y14
    error = refusal(tmp_path, f"- model: m\n  {text}\n")
    assert "hunter2" not in str(error.as_dict())


def test_a_large_file_is_refused_without_reading_it_all(tmp_path: Path) -> None:  # Y15
    path = write(tmp_path, "")
    with path.open("wb") as file:
        file.truncate(50 * 10**9)
    begun = time.perf_counter()
    with pytest.raises(HandrailError) as caught:
        read_any(path)
    assert (caught.value.code, caught.value.problem) == ("too_large", "larger than 1 MB")
    assert time.perf_counter() - begun < 1


def test_merge_keys_and_cycles_are_refused(tmp_path: Path) -> None:  # Y16
    assert problems(tmp_path, "- &x {model: m}\n- <<: *x\n")[:2] == [
        "1:3: anchors are not allowed",
        "2:3: merge keys are not allowed",
    ]
    assert problems(tmp_path, "&a [*a]")[0] == "1:1: anchors are not allowed"


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "device", "socket", "link", "unreadable"])
def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "handrail.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    elif kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "unreadable":
        if os.geteuid() == 0:
            pytest.skip("root may read everything")
        path.touch(mode=0)
    begun = time.perf_counter()
    with pytest.raises(HandrailError) as caught:
        read_any(path)
    assert caught.value.code == "data"
    assert "root:" not in str(caught.value)
    assert time.perf_counter() - begun < 1


LINES = """\
- model: m
  name: x
- name: y
  predictor:
    path: predictor.py
    type: python
  replicas: 2
  autoscaling: {min_replicas: 3}
  env: {A: b}
  traffic:
  - {name: a, weight: 5}
  kind: TaskAPI
apis:
  apis: [{name: z, weight: 100}]
  networking: {local_port: 1}
  compute: {mem: 1Gi, cpu: 1m}
? x
---
  handler: {type: onnx}
  definition: {path: task.py}
    models: [{name: q, model_path: models}]
  pod: {}
\t""".splitlines()
FILES = st.lists(st.sampled_from(LINES), max_size=12).map(lambda lines: "\n".join(lines).encode())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=400) | FILES)
def test_any_bytes_give_apis_or_one_error(tmp_path: Path, content: bytes) -> None:
    for name in STYLES:
        path = write(tmp_path, content, name)
        begun = time.perf_counter()
        try:
            assert read_any(path).specs
        except HandrailError as error:
            assert error.code in ("data", "too_large")
            assert error.problem
            assert error.mend
        assert time.perf_counter() - begun < 2


KEYS = sorted({key.name for api in (table.API, cortex_table.API) for _, part in sections("", api) for key in part.keys})
WORDS = ["m", "predictor.py", "10s", "25%", "512Mi", "TaskAPI", "python", "models", "a@3"]
SINGLE = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-1, 100) | st.text(max_size=5) | st.sampled_from(WORDS)
)
JSON = st.recursive(
    SINGLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=25,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(apis=st.lists(JSON, max_size=3))
def test_any_values_under_any_keys_give_apis_or_one_error(tmp_path: Path, apis: list[object]) -> None:
    for name in STYLES:
        try:
            found = read_any(write(tmp_path, json.dumps(apis), name))
        except HandrailError as error:
            assert error.code == "data"
        else:
            assert len(found.specs) == len(apis)


def test_the_command_line_says_it_in_a_few_lines_and_starts_nothing(cli: Cli, home: Path, tmp_path: Path) -> None:
    path = write(tmp_path, "- model: m\n  replcias: 2\n")
    ended = cli("deploy", str(path))
    assert ended.status == 3
    assert "unknown key 'replcias'. Did you mean 'replicas'?" in ended.err
    assert "handrail.yaml:2:3" in ended.err
    assert "Traceback" not in ended.err
    assert not home.exists() or not list(home.iterdir())


def test_the_command_line_says_everything_at_once_a_line_each(cli: Cli, home: Path, tmp_path: Path) -> None:  # D25
    path = write(tmp_path, '- model: m\n  replcias: 2\n- name: "a\\nhint: rm -rf /"\n  model: m\n')
    lines = cli("deploy", str(path)).err.splitlines()
    assert lines[0] == f"error: 2 things are off in {path}:"
    assert lines[1] == f"  {path}:2:3: unknown key 'replcias'. Did you mean 'replicas'?"
    assert lines[2].startswith(f"  {path}:3:9: name: expected a name (")
    assert lines[3:] == ["hint: correct these lines, then try again"]
