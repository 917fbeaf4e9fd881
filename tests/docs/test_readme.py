"""What the README shows was run: its Python block, its commands, its files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docs.walks import Walk

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def handrail(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "handrail", *words],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        check=False,
        **options,
    )  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return done


def test_the_python_of_the_readme_runs(home: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    block = block.replace('effort="quick"', "trials=2")
    done = subprocess.run(
        [sys.executable, "-c", block], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_main_job_of_the_readme_runs(walk: Walk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the model that the first guide trains and deploys."""
    monkeypatch.setenv("HANDRAIL_HOME", str(walk.home))
    assert json.loads(handrail("predict", "tickets", "my parcel is late").stdout)["label"] == "delivery"
    assert "trivial" in handrail("report", "tickets").stdout
    handrail("check", "tickets")
    archive = tmp_path / "tickets.handrail"
    handrail("export", "tickets", "--output", str(archive))
    handrail("import", str(archive), "--name", "again")
    assert json.loads(handrail("models", "--json").stdout)["models"]


def test_every_command_of_the_readme_is_there() -> None:
    table = re.findall(r"^\| `([a-z]+)", README, re.MULTILINE)
    assert {"train", "predict", "report", "serve", "doctor"} <= set(table)
    for verb in table:
        handrail(verb, "--help")


def test_the_first_command_of_the_readme_works_in_a_checkout() -> None:
    first = re.search(r"```console\n\$ (.*)", README)
    assert first is not None
    assert first[1].startswith('make setup && export PATH="$PWD/.venv/bin:$PATH" ')
    assert "\nsetup:" in (ROOT / "Makefile").read_text(encoding="utf-8")
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert "handrail" in scripts


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_link_of_the_readme_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_no_page_is_longer_than_it_should_be() -> None:
    assert len(README.splitlines()) <= 150
    architecture = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    prose = re.sub(r"<!-- tree.*?end of tree -->", "", architecture, flags=re.DOTALL)
    assert len(prose.splitlines()) <= 200


def test_the_docs_are_in_step_with_the_code() -> None:
    done = subprocess.run(
        [sys.executable, "dev/docs.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", ["", "train", "models alias"])
def test_the_reference_is_the_help_of_the_program(verb: str) -> None:
    reference = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    shown = handrail(*verb.split(), "--help", env={**os.environ, "COLUMNS": "80"}).stdout
    assert f"```\n{shown.rstrip()}\n```" in reference.replace(" \n", "\n")


def test_importing_is_quick_and_light() -> None:
    heavy = {"numpy", "onnxruntime", "click", "sklearn", "rich"}
    code = f"import handrail, sys; print(sorted(set(sys.modules) & {heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
