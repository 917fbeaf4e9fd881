"""An engine of its own home, as real processes, for tests."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handrail.deploy.spec import ApiSpec
from handrail.engines.local.client import ask, is_running
from handrail.engines.local.place import Place
from handrail.engines.local.start import ensure_running
from handrail.model import load
from tests.rig.updater import save
from tests.serve.bundles import ROW, make_bundle
from tests.serve.served import Served

WEIGHTS = (0.02, -0.05, 0.04)


@dataclass
class Engine:
    """What is deployed in a home, asked as the command line asks."""

    place: Place
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def served(self) -> Served:
        return Served(None, self.port)  # type: ignore[arg-type]

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        return ask(self.place, {"do": do, **request}, timeout_s=60.0)

    def deploy(self, *specs: ApiSpec, **options: Any) -> dict[str, Any]:
        return self.ask("deploy", apis=[spec.as_dict() for spec in specs], **options)

    def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("status", api=name)["apis"][0]
        return found

    def predict(self, name: str, row: object = ROW, **headers: str) -> tuple[int, Any]:
        import json

        said = {"content-type": "application/json", **headers}
        status, _, content = self.served.ask("POST", f"/{name}/predict", row, said)
        return status, json.loads(content)

    def pids(self, what: str) -> list[int]:
        """Processes of this home whose command line holds `what`."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (
                    (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                    if entry.name.isdigit()
                    else []
                )
                if any(what in word.replace("/", ".") for word in words) and any(
                    str(self.place.home) in word for word in words
                ):
                    found.append(int(entry.name))
        return found

    def kill(self, what: str) -> None:
        for pid in self.pids(what):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def engine_at(home: Path, versions: int = 2, tls: tuple[Path, Path] | None = None) -> Iterator[Engine]:
    """An engine with a model `churn` of so many versions in its store; nothing of it is left afterwards."""
    for weight in WEIGHTS[:versions]:
        save(home, "churn", lambda folder, weight=weight: make_bundle(folder, weight=weight))  # type: ignore[misc]
    place = Place(home)
    engine = Engine(place, ensure_running(place, port=0, tls=tls)["url"])
    try:
        yield engine
    finally:
        if is_running(place):
            engine.ask("down")
        until(lambda: not engine.pids("engines.local"), engine)
        engine.kill("serve.")  # what a killed gateway left waits a while for another one
        until(lambda: not engine.pids("handrail."), engine)


def until(condition: Callable[[], bool], engine: Engine, seconds: float = 20.0) -> float:
    """Waits for it, and says how long; the engine's log is in the failure."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            log = engine.place.engine_log.read_text(encoding="utf-8", errors="replace")[-3000:]
            raise AssertionError(f"not within {seconds} s; the engine said:\n{log}")
        time.sleep(0.02)
    return time.monotonic() - begun


def answers_of(home: Path, versions: int = 2) -> list[Any]:
    """What each version answers to ROW."""
    return [load(f"churn@{number}", home=home)(ROW) for number in range(1, versions + 1)]
