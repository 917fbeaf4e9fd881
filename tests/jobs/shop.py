"""A store with a small model, files of rows for it, and code of users as it is deployed."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from handrail.deploy.spec import ApiSpec, Predictor
from handrail.jobs.batch import Batch, Target
from handrail.predictors.project import snapshot
from handrail.store import Store
from handrail.store.deployments import Deployments
from tests.serve.bundles import publish

HANDRAIL = [sys.executable, "-m", "handrail"]
PLANS = ("basic", "plus", "pro")


def stock(home: Path) -> Path:
    """Puts the model "churn" into a store: `age`, `plan`, `active` → `churned`."""
    publish(Store(home))
    return home


def row(number: int) -> dict[str, Any]:
    return {"id": number, "age": 18 + number % 60, "plan": PLANS[number % 3], "active": number % 2 == 0}


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_lines(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


def rows_in(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(), newline="")))


def ids_in(path: Path) -> list[int]:
    return [int(one["id"]) for one in rows_in(path)]


def target(home: Path, name: str = "churn") -> Target:
    return Target("model", name, str(Store(home).find(name)), 1)


def batch_of(home: Path, *paths: Path, **settings: Any) -> Batch:
    """A batch as a terminal asks for it."""
    output = settings.pop("output", home.parent / "answers.csv")
    told = {"reads": "auto", "ending": output.suffix, "path": str(output), **settings}
    return Batch(told.pop("target", None) or target(home), paths=tuple(map(str, paths)), **told)


def code(home: Path, source: str, *, kind: str = "BatchAPI", name: str = "code", schedule: str | None = None) -> Target:
    """A class of a user's, deployed."""
    project = home.parent / f"project-{name}"
    project.mkdir(exist_ok=True)
    (project / "predictor.py").write_text(textwrap.dedent(source))
    spec = ApiSpec(name, kind, predictor=Predictor("predictor.py"), schedule=schedule).as_dict()  # type: ignore[arg-type]
    folder = snapshot(project, home / "projects", spec)
    deployments = Deployments(home)
    deployments.promote(name, deployments.propose(name, spec, str(folder), "digest").number)
    return Target("predictor", name, str(folder))


def begun(*words: str, home: Path) -> subprocess.Popen[str]:
    """A command of its own that goes on."""
    return subprocess.Popen(
        [*HANDRAIL, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HANDRAIL_HOME": str(home)},
    )


def kill(process: subprocess.Popen[str]) -> None:
    """As the system would: at once, without a word."""
    process.send_signal(signal.SIGKILL)
    process.communicate()


def workers_of(pid: int) -> list[int]:
    """The workers that a process has."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, children.read_text(encoding="ascii").split())
        except OSError:
            continue
    return found
