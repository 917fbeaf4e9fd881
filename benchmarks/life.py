"""What a server of ours costs and keeps besides speed: its start, idling, a second replica, an overload, a text model."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from load import Request, cpu_s, loaded, memory_mb
from models import Made, made

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # the rigs live with the tests

from tests.rig import doses
from tests.rig.asks import asks_of
from tests.rig.counts import quantile
from tests.rig.server import started
from tests.rig.slow_model import NAME, make_slow_bundle, rows

DEADLINE_S = 0.5


def machine() -> dict[str, Any]:
    """What has to be known of the machine to read the numbers: above all, how busy others keep it."""
    before = _ticks()
    time.sleep(1.0)
    after = _ticks()
    idle = (after[3] + after[4] - before[3] - before[4]) / max(1, sum(after) - sum(before))
    words = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]  # fmt: skip
    return {
        "cores": os.cpu_count(),
        "processor": words[0] if words else "unknown",
        "load": round(os.getloadavg()[0], 2),
        "busy_share": round(1 - idle, 3),
    }


def _ticks() -> list[int]:
    return [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]


def start(model: Made, times: int) -> dict[str, float]:
    """Seconds from Python's start to ready: those of `python -c pass` are taken off."""
    bare, whole = [], []
    for _ in range(times):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        bare.append(time.perf_counter() - begun)
        with started(model.bundle) as server:
            whole.append(server.before_s)
    python_s, ready_s = statistics.median(bare), statistics.median(whole)
    return {"python_s": python_s, "ready_s": ready_s, "ready_after_python_s": ready_s - python_s}


def idle(model: Made, seconds: float) -> dict[str, float]:
    """The share of a core that a server takes which nobody asks."""
    with started(model.bundle) as server:
        time.sleep(2.0)
        before = cpu_s(server.pid)
        time.sleep(seconds)
        return {"seconds": seconds, "share_of_a_core": (cpu_s(server.pid) - before) / seconds}


def second_replica(model: Made, seconds: float) -> dict[str, float]:
    """Memory that only the second replica has, after both have answered, and what all have with one and with two."""
    found: dict[str, float] = {}
    for replicas in (1, 2):
        with started(model.bundle, replicas=replicas) as server:
            requests = [Request("/m/predict", body) for body in model.bodies]
            loaded(server.port, requests, clients=64, seconds=seconds, server=server.pid)
            found[f"all_mb_with_{replicas}"] = memory_mb(server.pid)
            found[f"private_mb_of_{replicas}"] = max(map(private_mb, server.replicas()))
    found["more_with_2_mb"] = found["all_mb_with_2"] - found["all_mb_with_1"]
    return found


def private_mb(process: int) -> float:
    """Memory that a process shares with none."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:"))) / 1024


def overload(seconds: float) -> dict[str, Any]:
    """Three times as much as can be answered, with a model that takes about 2 ms for a row; the server has one core."""
    with tempfile.TemporaryDirectory() as folder:
        model = make_slow_bundle(Path(folder) / NAME)
        asks = asks_of(NAME, rows(200), model, headers={"x-deadline-ms": str(int(1000 * DEADLINE_S))})
        with _on_the_first_core(), started(model.bundle.path) as server, _on_the_last_core():
            found = doses.run(doses.overload(server, asks, times=3, seconds=seconds, deadline_s=DEADLINE_S))
    told = doses.told(found)
    told["counts"].pop("examples")
    told["refused_p99_ms"] = round(1000 * quantile(found.counts.refused_s, 0.99), 1)
    return told


def beside_in_process(model: Made, folder: Path, seconds: float) -> dict[str, Any]:
    """The best that batches of one size reach in one process on one core, and one row alone: what a server is held to."""
    asked = folder / "asked.json"
    asked.write_text(json.dumps(model.rows))
    with _on_the_first_core():
        words = [sys.executable, str(HERE / "offline.py"), str(model.bundle), str(asked), str(seconds)]
        found: dict[str, Any] = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    return found


@contextmanager
def _on_the_first_core() -> Iterator[None]:
    with _on(min(os.sched_getaffinity(0))):
        yield


@contextmanager
def _on_the_last_core() -> Iterator[None]:
    with _on((os.cpu_count() or 1) - 1):
        yield


@contextmanager
def _on(core: int) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def lived(folder: Path, bases: Path | None, seconds: float) -> dict[str, Any]:
    """All of it but speed."""
    models = {}
    for name in ("tiny", "enc"):
        (folder / name).mkdir()
        models[name] = made(folder / name, name, bases)
    return {
        "start": start(models["tiny"], 5),
        "idle": idle(models["tiny"], max(20.0, seconds)),
        "second_replica": second_replica(models["enc"], 2.0),
        "overload": overload(2 * seconds),
    }
