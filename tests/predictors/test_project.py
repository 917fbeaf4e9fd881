"""A project becomes a folder that is named by what is in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from handrail.core.errors import HandrailError
from handrail.deploy.spec import ModelFiles
from handrail.predictors import project as module
from handrail.predictors.project import code_of, snapshot
from handrail.predictors.settings import read_settings
from tests.predictors.running import spec_of, write_project

CODE = "class PythonPredictor:\n    def predict(self, payload):\n        return payload\n"


def names_in(folder: Path) -> list[str]:
    code = code_of(folder)
    return sorted(path.relative_to(code).as_posix() for path in code.rglob("*") if path.is_file())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "iris", CODE, {"values.json": "{}", "sub/more.py": "x = 1"})


def taken(project: Path, **spec: Any) -> Path:
    return snapshot(project, project.parent / "into", spec_of(**spec))


def refused(project: Path, **spec: Any) -> HandrailError:
    with pytest.raises(HandrailError) as found:
        taken(project, **spec)
    assert not list((project.parent / "into").glob("*")), "nothing is left behind"
    return found.value


def test_everything_but_bytecode_hidden_files_and_the_configuration_is_shipped(project: Path) -> None:
    hidden = (".hidden", ".git/config", "sub/.secret", "sub/.hidden/x.py", ".cortexignore")
    left_out = ("cortex.yaml", "handrail.yaml", "a.pyc", "b.PYO", "sub/c.pyd", "venv/pyvenv.cfg", "venv/lib/x.py")
    write_project(project, CODE, dict.fromkeys((*hidden, *left_out), "x"))
    assert names_in(taken(project)) == ["predictor.py", "sub/more.py", "values.json"]


def test_ignore_files_leave_out_more(project: Path) -> None:
    more = dict.fromkeys(("big/a.csv", "big/keep.csv", "notes.txt", "sub/notes.txt"), "x")
    ignored = {".cortexignore": "*.csv\n!keep.csv\n", ".handrailignore": "/notes.txt\n"}
    write_project(project, CODE, {**more, **ignored})
    assert names_in(taken(project)) == ["big/keep.csv", "predictor.py", "sub/more.py", "sub/notes.txt", "values.json"]


def test_the_same_project_is_the_same_folder_and_any_change_is_another(project: Path) -> None:
    first = taken(project)
    changed = first.stat().st_mtime_ns
    assert taken(project) == first
    assert first.stat().st_mtime_ns == changed
    seen = {first, taken(project, config={"a": 1}), taken(project, env={"A": "1"})}
    (project / "values.json").write_text("[]")
    seen.add(taken(project))
    (project / "values.json").chmod(0o755)
    seen.add(taken(project))
    (project / "values.json").rename(project / "value.json")
    seen.add(taken(project))
    (project / ".env").write_text("A=1")
    seen.add(taken(project))
    assert len(seen) == 7


def test_how_many_replicas_there_are_is_not_part_of_the_project(project: Path) -> None:
    spec = spec_of()
    spec["autoscaling"]["max_replicas"] = 9
    assert snapshot(project, project.parent / "into", spec) == taken(project)


def test_nobody_writes_into_the_copy_and_others_cannot_look_into_it(project: Path) -> None:
    write_project(project, CODE, {"tool": "#!/bin/sh\n"})
    (project / "tool").chmod(0o755)
    folder = taken(project)
    assert (code_of(folder) / "predictor.py").stat().st_mode & 0o777 == 0o444
    assert (code_of(folder) / "tool").stat().st_mode & 0o777 == 0o555
    assert folder.parent.stat().st_mode & 0o777 == 0o700


def test_the_settings_hold_what_the_file_says_and_the_variables_of_dotenv_win(project: Path) -> None:
    write_project(project, CODE, {".env": "A=2\nB='3'\n"})
    folder = taken(project, config={"deep": [1, {"x": None}]}, env={"A": "1", "C": "4"}, mem=2**29, batches=True)
    settings = read_settings(folder)
    assert settings.config == {"deep": [1, {"x": None}]}
    assert settings.env == {"A": "2", "B": "3", "C": "4"}
    assert (settings.name, settings.mem, settings.batches, settings.ready_s) == ("iris", 2**29, True, 20.0)


def test_links_are_followed_inside_the_project_alone(project: Path, tmp_path: Path) -> None:
    (project / "link.py").symlink_to("predictor.py")
    (project / "folder").symlink_to("sub")
    folder = taken(project)
    assert names_in(folder) == ["folder/more.py", "link.py", "predictor.py", "sub/more.py", "values.json"]
    assert not (code_of(folder) / "link.py").is_symlink()


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "nowhere", "loop"])
def test_links_that_lead_out_or_nowhere_are_refused(project: Path, target: str) -> None:
    (project.parent / "outside").write_text("secret")
    (project / "loop").symlink_to(target)
    error = refused(project)
    assert error.where == str(project / "loop")
    assert "link" in error.problem


def test_a_link_to_its_own_folder_is_refused(project: Path) -> None:
    (project / "sub" / "up").symlink_to("..")
    assert "without end" in refused(project).problem


def test_what_is_neither_file_nor_folder_is_refused(project: Path) -> None:
    os.mkfifo(project / "pipe")
    assert refused(project).where == str(project / "pipe")


def test_too_many_files_and_too_much_are_refused_with_the_largest(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(project, CODE, {"sub/large.bin": b"x" * 5000})
    monkeypatch.setattr(module, "MAX_BYTES", 4000)
    error = refused(project)
    assert (error.code, "sub/large.bin" in error.problem) == ("too_large", True)
    assert ".cortexignore" in error.mend
    monkeypatch.setattr(module, "MAX_FILES", 2)
    monkeypatch.setattr(module, "MAX_BYTES", 10**6)
    assert "more than 2 files" in refused(project).problem


def test_a_file_that_is_not_there_is_named_with_those_that_are(project: Path) -> None:
    error = refused(project, path="predict.py")
    assert (error.problem, error.mend) == ("the project has no file 'predict.py'", "there is predictor.py, sub/more.py")
    assert refused(project, python_path="src").field == "python_path"


def test_a_tensorflow_predictor_is_refused_with_what_to_do(project: Path) -> None:
    assert "ONNX" in refused(project, type="tensorflow").mend


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (ModelFiles(path="s3://bucket/model"), "not on this machine"),
        (ModelFiles(dir="nowhere"), "nothing at 'nowhere'"),
        (ModelFiles(dir="predictor.py"), "not a folder"),
        (ModelFiles(paths=(("a", "sub"), ("a", "sub"))), "one name"),
        (ModelFiles(path="sub", dir="sub"), "one of"),
        (ModelFiles(), "one of"),
    ],
)
def test_models_that_cannot_be_are_refused(project: Path, models: ModelFiles, said: str) -> None:
    assert said in refused(project, models=models).problem


def test_models_stay_where_they_are(project: Path) -> None:
    write_project(project, CODE, {"models/a/1/model.txt": "x"})
    folder = taken(project, models=ModelFiles(dir="./models"))
    assert names_in(folder) == ["predictor.py", "sub/more.py", "values.json"]
    models = read_settings(folder).models
    assert models is not None
    assert models.dir == str(project / "models")


def test_settings_that_were_damaged_are_refused(project: Path) -> None:
    folder = taken(project)
    for content in (b"", b"[]", b"{}", b'{"name": 1', b'{"models": 3}'):
        (folder / "predictor.json").chmod(0o644)
        (folder / "predictor.json").write_bytes(content)
        with pytest.raises(HandrailError, match="no settings"):
            read_settings(folder)
