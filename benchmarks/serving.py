"""Serving: ours, the bound and the peers, one after the other, round by round, on the same core.

    python benchmarks/serving.py [--quick] [--json] [--model tiny|enc|minilm] [--bases DIR] [--life]
                                 [--venv fastapi=DIR …] [--out FILE.json]

Each server is pinned to one core and the clients to another. The bound is uvicorn, httptools, orjson and onnxruntime in one
process with nothing else; minilm has no bound but the best batch size in one process. A peer runs when --venv gives the
environment that it is installed in. Ours runs with its checks, limits, metrics and access log on. --life: also its start,
idling, a second replica, an overload. --quick: ours and the bound, short rounds, and the start, under 50 s.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import life
from load import Loaded, loaded
from models import MODELS, Made, made
from servers import SilentError, System, bound, ours, peers, running
from tests.rig import doses
from tests.rig.asks import Ask
from tests.rig.clients import Load, openly

CLIENTS = 64
# The open loop asks for half of what a server can answer, and no more than the client can.
OPEN_SHARE, OPEN_PER_S = 0.5, 1_500.0
Row = dict[str, float]


def main() -> None:
    options = parsed()
    seconds, rounds = (2.0, 3) if options.quick else (options.seconds, options.rounds)
    before = life.machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = made(folder, options.model, options.bases)
        found = rounds_of(options, model, folder, seconds, rounds)
        table = {system: middle(rows) for system, rows in found.items()}
        result: dict[str, Any] = {"model": options.model, **ratios(options.model, table), "systems": table}
        if options.quick:
            result["start"] = life.start(model, 3)
        if options.life:
            result |= life.lived(folder, options.bases, seconds)
    result["machine"] = {**before, "load_after": round(os.getloadavg()[0], 2)}
    if options.out:
        options.out.write_text(json.dumps({**result, "rounds": found}, indent=1))
    print(json.dumps(result) if options.json else markdown(table, result))


def rounds_of(
    options: argparse.Namespace, model: Made, folder: Path, seconds: float, rounds: int
) -> dict[str, list[Row]]:
    """Every system once in each round, so that a busy minute of the machine falls on all of them."""
    found: dict[str, list[Row]] = {}
    silent: set[str] = set()
    for _ in range(rounds):
        if options.model == "minilm":
            alone = life.beside_in_process(model, folder, seconds / 2)
            found.setdefault("in process", []).append({"per_s": alone["best_per_s"], "lone_p50_ms": alone["lone_p50_ms"], "best_batch": alone["best_batch"]})  # fmt: skip
            systems = [ours(model)]
        else:
            systems = [ours(model), bound(model), *([] if options.quick else peers(model, options.venvs))]
        for system in (one for one in systems if one.name not in silent):
            try:
                row = measured(system, folder, seconds, tails=not options.quick)
            except SilentError as problem:  # A peer that does not start here costs its own row, not the others'.
                if system.name in ("handrail", "bound"):
                    raise
                print(problem, file=sys.stderr)
                silent.add(system.name)
            else:
                found.setdefault(system.name, []).append(row)
    return found


def ratios(model: str, table: dict[str, Row]) -> dict[str, float]:
    """Ours beside the bound, or beside the same work without a server."""
    ours_row, other = table["handrail"], table.get("bound") or table["in process"]
    to = "bound" if "bound" in table else "in_process"
    return {
        f"{model}_ratio_to_{to}": ours_row["per_s"] / other["per_s"],
        f"{model}_lone_ratio_to_{to}": ours_row["lone_p50_ms"] / other["lone_p50_ms"],
        f"{model}_lone_more_ms": ours_row["lone_p50_ms"] - other["lone_p50_ms"],
    }


def measured(system: System, folder: Path, seconds: float, *, tails: bool) -> Row:
    """One round: started, warmed, one client alone, then many, then as many requests as come by chance."""
    begun = time.perf_counter()
    with running(system, folder) as (process, port):
        started_s = time.perf_counter() - begun
        loaded(port, system.requests, clients=8, seconds=0.5, server=process)
        lone = loaded(port, system.requests, clients=1, seconds=seconds / 2, server=process)
        many = loaded(port, system.requests, clients=CLIENTS, seconds=seconds, server=process)
        chance = by_chance(system, port, many.per_s, seconds) if tails else {}
    return {"start_s": started_s, "lone_p50_ms": lone.quantile_ms(0.5), **_told(many), **chance}


def _told(many: Loaded) -> Row:
    return {
        "per_s": many.per_s,
        "p50_ms": many.quantile_ms(0.5),
        "p99_ms": many.quantile_ms(0.99),
        "cpu_s_per_1000": 1000 * many.cpu_s / max(1, len(many.times)),
        "memory_mb": many.memory_mb,
        "refused": many.refused,
    }


def by_chance(system: System, port: int, per_s: float, seconds: float) -> Row:
    """Poisson arrivals at half of what it can answer; right is what it answers when it is asked alone."""
    asks = [Ask(request.raw(), (answer(port, request.path, request.body),)) for request in system.requests[:50]]
    rate = min(OPEN_PER_S, OPEN_SHARE * per_s)
    told = doses.run(openly(port, asks, Load(rate, seconds, timeout_s=20.0))).as_dict()
    times = {f"open_{name}_ms": told["right_ms"][name] for name in ("p50", "p99")}
    return {"open_per_s": rate, **times, "open_not_right": told["sent"] - told["right"], "open_late_p99_ms": told["client_late_ms"]["p99"]}  # fmt: skip


def answer(port: int, path: str, body: bytes) -> Any:
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    asking.request("POST", path, body, {"content-type": "application/json"})
    content = asking.getresponse().read()
    asking.close()
    return json.loads(content)


def middle(rows: list[Row]) -> Row:
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def markdown(table: dict[str, Row], result: dict[str, Any]) -> str:
    heads = {"req/s": "per_s", "p50 ms": "p50_ms", "p99 ms": "p99_ms", "lone p50 ms": "lone_p50_ms", "open p99 ms": "open_p99_ms", "CPU-s per 1,000": "cpu_s_per_1000", "memory MB": "memory_mb", "start s": "start_s"}  # fmt: skip
    base = (table.get("bound") or table["in process"])["per_s"]
    lines = ["| system | of the bound | " + " | ".join(heads) + " |", "|---" * (len(heads) + 2) + "|"]
    for name, row in table.items():
        cells = [_cell(row.get(key)) for key in heads.values()]
        lines.append(f"| {name} | {row['per_s'] / base:.3f} | " + " | ".join(cells) + " |")
    rest = {name: value for name, value in result.items() if name not in ("systems", "model")}
    return "\n".join([*lines, "", json.dumps(rest, indent=1)])


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--life", action="store_true")
    parser.add_argument("--model", choices=MODELS, default="tiny")
    parser.add_argument("--bases", type=Path, help="a folder where bases are kept between runs")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--venv", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.venvs = {name: Path(path) for name, _, path in (pair.partition("=") for pair in options.venv)}
    return options


if __name__ == "__main__":
    main()
