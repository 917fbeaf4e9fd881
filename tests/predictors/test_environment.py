"""Packages of a project's own: installed once, used by its replicas, never half."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
import zipfile
from pathlib import Path

import pytest

from handrail.core.errors import HandrailError
from handrail.predictors import environment as module
from handrail.predictors.environment import environment_of, sweep_environments
from handrail.predictors.project import snapshot
from handrail.serve.predictor_replica import command_of
from tests.predictors.running import answering, spec_of, write_project

CODE = "import handrail_toy\nclass PythonPredictor:\n    def predict(self):\n        return [handrail_toy.VERSION]"


def wheel(folder: Path, version: str, name: str = "handrail_toy", requires: str = "") -> Path:
    """A package of one line, made by hand."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n", f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }  # fmt: skip
    record = "".join(f"{name},sha256={_digest(text)},{len(text)}\n" for name, text in files.items())
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(member, text)
    return path


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture(autouse=True)
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))


def taken(
    tmp_path: Path, requirements: str | None, files: dict[str, str] | None = None, name: str | None = None
) -> Path:
    listed = {} if requirements is None else {name or "requirements.txt": requirements}
    project = write_project(tmp_path / "iris", CODE, {**listed, **(files or {})})
    return snapshot(project, tmp_path / "into", spec_of(requirements=name))


def test_without_packages_our_own_interpreter_runs_it(tmp_path: Path) -> None:
    for requirements in (None, "", "\n# nothing\n"):
        assert environment_of(taken(tmp_path, requirements), tmp_path).python == sys.executable
    assert not (tmp_path / "environments").exists()


@pytest.mark.slow
def test_packages_are_installed_once_and_the_replica_sees_them_and_ours(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "1.5")
    lines: list[str] = []
    folder = taken(tmp_path, "handrail-toy==1.5\n")
    made = environment_of(folder, tmp_path, lines.append)
    assert made.python.startswith(str(tmp_path / "environments"))
    assert any("handrail-toy" in line or "handrail_toy" in line for line in lines)
    code = CODE.replace("[handrail_toy.VERSION]", "[handrail_toy.VERSION, __import__('numpy').__name__]")
    with answering(write_project(tmp_path / "iris", code), command=command_of(made.python)) as replica:
        assert json.loads(replica.ask().body) == ["1.5", "numpy"]
    lines.clear()
    assert environment_of(folder, tmp_path, lines.append) == made
    assert lines == []
    wheel(tmp_path / "wheels", "1.6")
    assert environment_of(taken(tmp_path, "handrail-toy==1.6\n"), tmp_path) != made


@pytest.mark.slow
def test_a_package_of_the_project_wins_over_ours(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "9.9", "click")
    made = environment_of(taken(tmp_path, "click\n"), tmp_path)
    code = "import click\nclass PythonPredictor:\n    def predict(self):\n        return [click.VERSION]"
    with answering(write_project(tmp_path / "iris", code), command=command_of(made.python)) as replica:
        assert json.loads(replica.ask().body) == ["9.9"]


@pytest.mark.slow
def test_a_package_in_the_project_is_installed_from_it(tmp_path: Path) -> None:
    wheel(tmp_path / "iris", "2.0")
    made = environment_of(taken(tmp_path, "./handrail_toy-2.0-py3-none-any.whl\n", name="packages.txt"), tmp_path)
    with answering(tmp_path / "iris", spec_of(requirements="packages.txt"), command=command_of(made.python)) as replica:
        assert json.loads(replica.ask().body) == ["2.0"]


@pytest.mark.slow
def test_what_cannot_be_installed_is_said_and_leaves_nothing_half(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    folder = taken(tmp_path, "no-such-package==1\n")
    for _ in range(2):
        with pytest.raises(HandrailError) as found:
            environment_of(folder, tmp_path)
        assert (found.value.code, "no-such-package" in found.value.problem) == ("environment", True)
        assert [path.suffix for path in (tmp_path / "environments").iterdir()] == [".lock"]


@pytest.mark.slow
def test_a_half_built_environment_is_made_anew(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "1.5")
    folder = taken(tmp_path, "handrail-toy\n")
    made = Path(environment_of(folder, tmp_path).python)
    (made.parents[1] / module.WHOLE).unlink()
    made.unlink()
    assert Path(environment_of(folder, tmp_path).python) == made
    assert made.exists()


@pytest.mark.slow
def test_packages_that_handrail_does_not_start_with_are_refused(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "0.1", "orjson")
    with pytest.raises(HandrailError, match="does not start with these packages"):
        environment_of(taken(tmp_path, "orjson\n"), tmp_path)


def test_what_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(HandrailError, match=r"longer than 0\.01 s"):
        environment_of(taken(tmp_path, "handrail-toy\n"), tmp_path, timeout_s=0.01)


def test_what_is_not_run_is_noted(tmp_path: Path) -> None:
    folder = taken(tmp_path, None, {"dependencies.sh": "touch x", "conda-packages.txt": "rdkit"})
    notes = environment_of(folder, tmp_path).notes
    assert [note.split()[0] for note in notes] == ["dependencies.sh", "conda-packages.txt"]


def test_a_list_of_packages_that_is_not_there_is_named(tmp_path: Path) -> None:
    project = write_project(tmp_path / "iris", CODE)
    folder = snapshot(project, tmp_path / "into", spec_of(requirements="packages.txt"))
    with pytest.raises(HandrailError, match=r"no file 'packages\.txt'"):
        environment_of(folder, tmp_path)


def test_environments_that_nobody_uses_go(tmp_path: Path) -> None:
    snapshot_of_one = taken(tmp_path, "handrail-toy==1.5\n")
    kept = tmp_path / "environments"
    for name in (module._name_of(snapshot_of_one), "old", "new", "busy"):
        (kept / name).mkdir(parents=True)
        (kept / name / module.WHOLE).write_text("")
        os.utime(kept / name / module.WHOLE, (1, 1) if name != "new" else None)
    with module._locked(kept / "busy", print):
        assert sweep_environments(tmp_path, [snapshot_of_one]) == ["old"]
    assert len([path for path in kept.iterdir() if path.is_dir()]) == 3
    assert sweep_environments(tmp_path / "nowhere", []) == []
