"""A store with two models in it, and ways to call the command line: in this process, or as one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import handrail
from handrail.store import Store
from tests.contracts.data import reviews
from tests.serve.bundles import publish

HANDRAIL = [sys.executable, "-m", "handrail"]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    def object(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found

    def refused(self, status: int, *words: str) -> None:
        """It ended as every refusal must: a status, what is wrong, what to type, and nothing else."""
        assert self.status == status, self
        lines = self.err.splitlines()
        assert "Traceback" not in self.err
        assert len(lines) <= 10
        assert lines[-2].startswith("error: "), self.err
        assert lines[-1].startswith("hint: "), self.err
        assert all(line.isprintable() for line in lines), self.err
        for word in words:
            assert word in self.err, self.err


def stock(home: Path) -> Path:
    """Puts a text model "reviews" and a table model "churn" into a store."""
    handrail.train(reviews(160), target="label", name="reviews", trials=1, home=home)
    publish(Store(home))
    return home


def process(*words: str | bytes, home: Path, stdin: bytes = b"", **environment: str) -> Ended:
    """A command as a process of its own, without a terminal."""
    done = subprocess.run(
        [*HANDRAIL, *words],
        input=stdin,
        capture_output=True,
        env={**os.environ, "HANDRAIL_HOME": str(home), **environment},
        timeout=120,
        check=False,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())
