"""Projects with a file of APIs, for tests: written, read, and what was said of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from handrail.core.errors import HandrailError
from handrail.deploy.file import read_any
from handrail.deploy.opening import Found
from handrail.deploy.spec import ApiSpec


def write(folder: Path, content: str | bytes, name: str = "handrail.yaml") -> Path:
    """The file, in a project with a predictor, an ONNX file, a folder of models, keys and requirements."""
    for file in ("predictor.py", "task.py", "keys.json", "requirements.txt", "models/iris.onnx", "src/a.py"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def found(folder: Path, content: str | bytes, name: str = "handrail.yaml") -> Found:
    return read_any(write(folder, content, name))


def specs(folder: Path, content: str, name: str = "handrail.yaml") -> tuple[ApiSpec, ...]:
    return found(folder, content, name).specs


def only(folder: Path, content: str, name: str = "handrail.yaml") -> ApiSpec:
    (spec,) = specs(folder, content, name)
    return spec


def refusal(folder: Path, content: str | bytes, name: str = "handrail.yaml") -> HandrailError:
    path = write(folder, content, name)
    with pytest.raises(HandrailError) as caught:
        read_any(path)
    return caught.value


def problems(folder: Path, content: str | bytes, name: str = "handrail.yaml") -> list[str]:
    """What is off, each as `line:column: text`."""
    error = refusal(folder, content, name)
    if error.where is not None:
        place = re.search(r":(\d+:\d+)$", error.where)
        return [f"{place[1] if place else error.where}: {error.problem}"]
    first, *lines = error.problem.split("\n")
    assert re.fullmatch(r"\d+ things are off in .*:", first)
    return [re.sub(r"^  .*?:(\d+:\d+: )", r"\1", line) for line in lines]
