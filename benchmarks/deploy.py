"""Deployments: what an operator waits for, and what clients notice of it.

    python benchmarks/deploy.py [--only NAME …] [--quick] [--json]

One engine of a home of its own, with small models; clients ask at 150 requests a second, half of them naive about
connections that end. Every number is of this run; medians where a thing is done several times.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.engines.engine import Engine, engine_at, until
from tests.rig import doses, failpoints
from tests.rig.asks import Ask, asks_of
from tests.rig.clients import Load, openly
from tests.rig.slow_model import make_slow_bundle
from tests.rig.slow_model import rows as slow_rows
from tests.rig.updater import save
from tests.serve.bundles import ROW, make_bundle

from handrail.deploy.spec import ApiSpec, Autoscaling
from handrail.model import load

ROWS = [{**ROW, "age": age} for age in range(18, 81)]
RATE_PER_S = 150.0
HANDRAIL = Path(sys.executable).with_name("handrail")
Found = dict[str, Any]


def main() -> None:
    options = parsed()
    found: Found = {"machine": doses.machine()}
    for name in options.only or MEASURES:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = MEASURES[name](Path(folder) / "home", options.quick)
        sys.stderr.write(f"{name}: {json.dumps(found[name])}\n")
    print(json.dumps(found, indent=None if options.json else 1))


def from_nothing(home: Path, quick: bool) -> Found:
    """`handrail deploy` where no engine runs, until the first answer; and a changed API of three."""
    save(home, "churn", lambda folder: make_bundle(folder, weight=0.02))
    save(home, "churn", lambda folder: make_bundle(folder, weight=-0.05))
    environment = {**os.environ, "HANDRAIL_HOME": str(home)}
    took: dict[str, list[float]] = {"first_answer_s": [], "verb_s": []}
    for _ in range(2 if quick else 5):
        begun = time.perf_counter()
        deployed = subprocess.run(
            [HANDRAIL, "deploy", "churn@1", "--port", str(free_port()), "--json"], env=environment, check=True,
            capture_output=True, text=True,
        )  # fmt: skip
        took["verb_s"].append(time.perf_counter() - begun)
        engine = Engine(_place(home), json.loads(deployed.stdout)["apis"][0]["url"].rsplit("/", 2)[0])
        assert engine.predict("churn")[0] == 200
        took["first_answer_s"].append(time.perf_counter() - begun)
        engine.ask("delete", api="churn")
        _end(engine)
    return {name: round(statistics.median(times), 3) for name, times in took.items()}


def redeploy(home: Path, quick: bool) -> Found:
    """One of three APIs gets another version: how long, and whether the others' processes stay."""
    with engine_at(home) as engine:
        specs = [ApiSpec(name, model="churn@1") for name in ("a", "b", "c")]
        engine.deploy(*specs)
        others = [engine.status(name)["versions"][0]["pids"] for name in ("b", "c")]
        took = []
        for turn in range(2 if quick else 6):
            begun = time.perf_counter()
            steps = engine.deploy(ApiSpec("a", model=f"churn@{2 - turn % 2}"), *specs[1:])["steps"]
            took.append(time.perf_counter() - begun)
        kept = others == [engine.status(name)["versions"][0]["pids"] for name in ("b", "c")]
        return {"seconds": round(statistics.median(took), 3), "others_untouched": kept,
                "steps": [step["do"] for step in steps]}  # fmt: skip


def surge(home: Path, quick: bool) -> Found:
    """Eight clients come at once: when the first extra replica was asked for and when it was ready; and the fourth."""
    with engine_at(home) as engine:
        save(home, "slow", lambda folder: make_slow_bundle(folder, layers=40))
        scaling = Autoscaling(min_replicas=1, max_replicas=4, target_in_flight=1, downscale_stabilization_period_s=5)
        engine.deploy(ApiSpec("slow", model="slow", autoscaling=scaling))
        begun, moments, stop = time.monotonic(), {}, threading.Event()
        rows = slow_rows(8)

        def ask(row: Any) -> None:
            while not stop.is_set():
                engine.predict("slow", row)

        clients = [threading.Thread(target=ask, args=(row,)) for row in rows]
        for client in clients:
            client.start()
        while len(moments) < 3 and time.monotonic() - begun < 60:
            status = engine.status("slow")
            for name, is_so in (
                ("second_asked_s", status["wanted"] > 1), ("second_ready_s", status["ready"] > 1),
                ("fourth_ready_s", status["ready"] == 4),
            ):  # fmt: skip
                if is_so:
                    moments.setdefault(name, round(time.monotonic() - begun, 2))
            time.sleep(0.02)
        stop.set()
        for client in clients:
            client.join()
        quiet = time.monotonic()
        until(lambda: engine.status("slow")["wanted"] < 4, engine, 60)
        return {**moments, "first_less_after_s": round(time.monotonic() - quiet, 1)}


def sleep_and_wake(home: Path, quick: bool) -> Found:
    """Processes of an idle API, how long its first request takes then, and what engine and sleeper cost."""
    with engine_at(home) as engine:
        sleepy = Autoscaling(min_replicas=0, window_s=0.5, downscale_stabilization_period_s=0.5)
        engine.deploy(ApiSpec("churn", model="churn@1", autoscaling=sleepy))
        woken = []
        for _ in range(2 if quick else 5):
            until(lambda: engine.status("churn")["state"] == "asleep" and not engine.pids("serve.replica"), engine)
            begun = time.perf_counter()
            assert engine.predict("churn")[0] == 200
            woken.append(time.perf_counter() - begun)
        until(lambda: engine.status("churn")["state"] == "asleep" and not engine.pids("serve.replica"), engine)
        pids = engine.pids("engines.local")
        before, seconds = _cpu_s(pids), 5 if quick else 30
        time.sleep(seconds)
        return {
            "processes_asleep": len(engine.pids("serve.replica")), "woken_s": round(statistics.median(woken), 3),
            "engine_mb": round(sum(map(_resident_mb, pids)), 1), "engine_processes": len(pids),
            "engine_cpu_percent": round(100 * (_cpu_s(pids) - before) / seconds, 3),
        }  # fmt: skip


def updates(home: Path, quick: bool) -> Found:
    """20 rolling updates, 10 rollbacks; a replica is killed each second, and the supervisor now and then."""
    turns = 3 if quick else 10
    with engine_at(home) as engine:
        two = Autoscaling(min_replicas=2, max_replicas=2)
        engine.deploy(ApiSpec("churn", model="churn@1", autoscaling=two))
        killed = {"replicas": 0, "supervisors": 0}
        took: list[float] = []
        adopted: list[float] = []
        stop = threading.Event()

        def kill() -> None:
            draw = random.Random(0)
            while not stop.wait(1.0):
                pids = [pid for version in engine.status("churn")["versions"] for pid in version["pids"]]
                if pids:
                    _kill(draw.choice(pids))
                    killed["replicas"] += 1

        def change() -> None:
            for turn in range(turns):
                for number in (2, 1):
                    begun = time.perf_counter()
                    engine.deploy(ApiSpec("churn", model=f"churn@{number}", autoscaling=two))
                    took.append(time.perf_counter() - begun)
                engine.ask("rollback", api="churn")
                if turn % 3 == 0:
                    adopted.append(_supervisor_killed(engine))
                    killed["supervisors"] += 1

        killer = threading.Thread(target=kill)
        killer.start()
        counts = _under_load(engine, home, change)
        stop.set()
        killer.join()
        return {
            "updates": 2 * turns, "rollbacks": turns, "killed": killed, "update_s": round(statistics.median(took), 3),
            "supervisor_back_s": round(max(adopted), 3), **counts,
        }  # fmt: skip


def gateway_kills(home: Path, quick: bool) -> Found:
    """kill -9 of the gateway under load: what is lost is what was in flight, and how long until it answers again."""
    with engine_at(home) as engine:
        engine.deploy(ApiSpec("churn", model="churn@1"))
        back: list[float] = []

        def change() -> None:
            for _ in range(2 if quick else 10):
                time.sleep(2.0)
                engine.kill("local.gateway")
                begun = time.monotonic()
                assert engine.predict("churn")[0] == 200
                back.append(time.monotonic() - begun)

        counts = _under_load(engine, home, change)
        return {
            "kills": len(back),
            "back_s": round(statistics.median(back), 3),
            "slowest_s": round(max(back), 3),
            **counts,
        }


def kills_between_steps(home: Path, quick: bool) -> Found:
    """Kills at named places of deploys, rollbacks, scalings …; see tests/rig/failpoints.py."""
    return failpoints.run(home, home.parent / "failpoints", 24 if quick else 200)


MEASURES: dict[str, Callable[[Path, bool], Found]] = {
    "from_nothing": from_nothing, "redeploy": redeploy, "surge": surge, "sleep_and_wake": sleep_and_wake,
    "updates": updates, "gateway_kills": gateway_kills, "kills_between_steps": kills_between_steps,
}  # fmt: skip


def _under_load(engine: Engine, home: Path, change: Callable[[], None]) -> Found:
    """Counts what clients see while something changes."""
    models = [load(f"churn@{number}", home=home) for number in (1, 2)]
    asks: list[Ask] = asks_of("churn", ROWS, *models)

    async def run() -> Found:
        changing = asyncio.create_task(asyncio.to_thread(change))
        counts = None
        seed = 0
        total = {"sent": 0, "right": 0, "wrong": 0, "refused": 0, "lost": 0}
        longest = 0.0
        while not changing.done():
            counts = await openly(engine.port, asks, Load(RATE_PER_S, 5.0, seed=seed, naive_share=0.5))
            seed += 1
            told = counts.as_dict()
            longest = max(longest, told["right_ms"]["max"])
            for key in total:
                value = told[key]
                total[key] += sum(value.values()) if isinstance(value, dict) else value
        await changing
        return {**total, "longest_ms": longest}

    return asyncio.run(run())


def _supervisor_killed(engine: Engine) -> float:
    """Seconds until there is another."""
    before = engine.pids("local.supervisor")
    for pid in before:
        _kill(pid)
    return until(lambda: bool(set(engine.pids("local.supervisor")) - set(before)), engine)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _place(home: Path) -> Any:
    from handrail.engines.local.place import Place

    return Place(home)


def _end(engine: Engine) -> None:
    engine.ask("down")
    until(lambda: not engine.pids("handrail."), engine)


def _cpu_s(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(MEASURES))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
