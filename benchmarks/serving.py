"""Serving: ours, the bound and the peers, one after the other, round by round, on the same core.

    python benchmarks/serving.py [--quick] [--json] [--model tiny|enc] [--venv fastapi=DIR …] [--out FILE.json]

Each server is pinned to one core and the clients to another. The bound is uvicorn, httptools, orjson and onnxruntime in one
process with nothing else. A peer runs when --venv gives the environment that it is installed in. Ours runs with its checks,
limits, metrics and access log on. --quick: ours and the bound, two short rounds, under 50 s.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from load import Loaded, Request, loaded
from onnx import TensorProto, helper, numpy_helper

from handrail.core.bundle import Manifest, to_json, write_bundle
from handrail.core.signature import Field, Output, Signature
from handrail.model import load

HERE = Path(__file__).resolve().parent
OURS = """
import os, sys
from pathlib import Path
from handrail.serve import serve
serve([Path(sys.argv[1])], port=int(os.environ["PORT"]), access_log=True)
"""
BENTO = ["-m", "bentoml", "serve", "serving_bento:Served", "--host", "127.0.0.1", "--port"]
CLIENTS = 64
START_LIMIT_S = 90.0


@dataclass(frozen=True)
class System:
    """A server to measure: how it is started (`python` and words) and what it is asked."""

    name: str
    python: Path
    words: list[str]
    request: Request
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sizes:
    """A model: inputs, and the widths of its hidden layers."""

    inputs: int
    hidden: tuple[int, ...]
    outputs: int


MODELS = {"tiny": Sizes(4, (), 3), "enc": Sizes(768, (2048,) * 5, 8)}


def main() -> None:
    options = parsed()
    seconds, rounds = (2.0, 3) if options.quick else (options.seconds, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        model, body = made(Path(folder), MODELS[options.model])
        found: dict[str, list[dict[str, float]]] = {}
        for _ in range(rounds):
            for system in systems(options.venvs, Path(folder), model, body, quick=options.quick):
                found.setdefault(system.name, []).append(measured(system, Path(folder), seconds))
    table = {name: middle(rows) for name, rows in found.items()}
    ours, bound = table["handrail"], table["bound"]
    result = {
        "model": options.model,
        "machine": f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        f"{options.model}_ratio_to_bound": ours["per_s"] / bound["per_s"],
        f"{options.model}_lone_ratio_to_bound": ours["lone_p50_ms"] / bound["lone_p50_ms"],
        "systems": table,
    }
    if options.out:
        options.out.write_text(json.dumps({**result, "rounds": found}, indent=1))
    print(json.dumps(result) if options.json else markdown(table))


def systems(venvs: dict[str, Path], folder: Path, model: str, body: bytes, *, quick: bool) -> list[System]:
    here = Path(sys.executable)
    row = list(json.loads(body).values())
    one, many = json.dumps({"x": row}).encode(), json.dumps({"x": [row]}).encode()
    found = [
        System("handrail", here, ["-c", OURS, str(folder / model)], Request(f"/{model}/predict", body)),
        System("bound", here, [str(HERE / "peers/serving_bound.py")], Request("/predict", one)),
    ]
    for name, python in {} if quick else {name: path / "bin" / "python" for name, path in venvs.items()}.items():
        script = [str(HERE / f"peers/serving_{name}.py")]
        if name == "bento":
            found.append(System("bento, batched", python, BENTO, Request("/predict_batched", many)))
        elif name == "litserve":
            found.append(System("litserve", python, script, Request("/predict", one)))
            found.append(System("litserve, batches", python, script, Request("/predict", one), {"BATCH": "32"}))
        elif name == "mlserver":
            tensor = {"name": "x", "shape": [1, len(row)], "datatype": "FP32", "data": row}
            asked = json.dumps({"inputs": [tensor]}).encode()
            found.append(System("mlserver", python, script, Request("/v2/models/m/infer", asked)))
        else:
            found.append(System(name, python, script, Request("/" if name == "ray" else "/predict", one)))
    return found


def measured(system: System, folder: Path, seconds: float) -> dict[str, float]:
    """One round: started, warmed, one client alone, then many."""
    begun = time.perf_counter()
    with running(system, folder) as (process, port):
        started_s = time.perf_counter() - begun
        loaded(port, system.request, clients=8, seconds=0.5, server=process)
        lone = loaded(port, system.request, clients=1, seconds=seconds / 2, server=process)
        many = loaded(port, system.request, clients=CLIENTS, seconds=seconds, server=process)
    return {"start_s": started_s, "lone_p50_ms": lone.quantile_ms(0.5), **_told(many)}


def _told(many: Loaded) -> dict[str, float]:
    return {
        "per_s": many.per_s,
        "p50_ms": many.quantile_ms(0.5),
        "p99_ms": many.quantile_ms(0.99),
        "cpu_s_per_1000": 1000 * many.cpu_s / max(1, len(many.times)),
        "memory_mb": many.memory_mb,
        "refused": many.refused,
    }


@contextmanager
def running(system: System, folder: Path) -> Iterator[tuple[int, int]]:
    """A server on its own core; gives its process number and port when it answers right."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    cores = sorted(os.sched_getaffinity(0))
    environment = {
        **os.environ,
        "MODEL": str(folder / "model.onnx"),
        "PORT": str(port),
        "PYTHONPATH": str(HERE / "peers")
        if system.python != Path(sys.executable)
        else os.environ.get("PYTHONPATH", ""),
        "BENTOML_DO_NOT_TRACK": "True",
        "OMP_NUM_THREADS": "1",
        **system.environment,
    }
    words = [*system.words, *([str(port)] if system.words[-1] == "--port" else [])]
    with subprocess.Popen(
        [str(system.python), *words],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {cores[0]}),  # noqa: PLW1509 - no threads are running here
    ) as process:
        os.sched_setaffinity(0, {cores[-1]})
        try:
            until_right(system, process, port)
            yield process.pid, port
        finally:
            os.sched_setaffinity(0, set(cores))
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def until_right(system: System, process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end and process.poll() is None:
        try:
            asking = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            asking.request("POST", system.request.path, system.request.body, {"content-type": "application/json"})
            answer = asking.getresponse()
            answer.read()
            asking.close()
            if answer.status == 200:
                return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.02)
    raise SystemExit(f"{system.name} does not answer")


def made(folder: Path, sizes: Sizes) -> tuple[str, bytes]:
    """A bundle of ours and model.onnx for the others: the same weights. Gives the model's name and a row."""
    name = "m"
    random = np.random.default_rng(7)
    widths = [sizes.inputs, *sizes.hidden, sizes.outputs]
    nodes, constants, value = [], [], "x"
    for place, (before, after) in enumerate(itertools.pairwise(widths)):
        weights = (random.standard_normal((before, after)) / before**0.5).astype(np.float32)
        constants.append(numpy_helper.from_array(weights, f"w{place}"))
        nodes.append(helper.make_node("MatMul", [value, f"w{place}"], [f"h{place}"]))
        value = f"h{place}"
        if place + 2 < len(widths):
            nodes.append(helper.make_node("Tanh", [value], [f"t{place}"]))
            value = f"t{place}"
    for output in ("scores", "y"):
        last = [helper.make_node("Softmax", [value], [output], axis=1)]
        ins = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", sizes.inputs])]
        outs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["rows", sizes.outputs])]
        graph = helper.make_graph([*nodes, *last], "m", ins, outs, constants)
        made_model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        if output == "y":
            onnx.save(made_model, folder / "model.onnx")
        else:
            weights_file = made_model.SerializeToString()
    row = {f"x{place}": round(float(amount), 4) for place, amount in enumerate(random.standard_normal(sizes.inputs))}
    bundled(folder / name, name, row, sizes.outputs, weights_file)
    return name, json.dumps(row).encode()


def bundled(folder: Path, name: str, row: dict[str, float], outputs: int, weights_file: bytes) -> None:
    columns = [
        {"name": field, "kind": "number", "start": place, "width": 1, "words": [], "statistics": False}
        for place, field in enumerate(row)
    ]
    signature = Signature(
        tuple(Field(field, "number", example=amount) for field, amount in row.items()),
        Output("label", "label", tuple(f"label {number}" for number in range(outputs))),
    )
    manifest = Manifest(
        name=name,
        task="tabular-classification",
        signature=signature,
        encode={"columns": columns, "interval": [0.0, 0.0], "lowest": 0.0},
    )
    files = {"weights/model.onnx": weights_file, "report.json": to_json({}), "report.html": b"<!doctype html>"}
    write_bundle(folder, manifest, files)
    examples = [{"input": row, "answer": load(folder)(row)}]
    write_bundle(folder, manifest, {**files, "examples.json": to_json(examples)})


def middle(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def markdown(table: dict[str, dict[str, float]]) -> str:
    heads = ("req/s", "of the bound", "p50 ms", "p99 ms", "lone p50 ms", "CPU-s per 1,000", "memory MB", "start s")
    lines = ["| system | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for name, row in table.items():
        share = row["per_s"] / table["bound"]["per_s"]
        lines.append(
            f"| {name} | {row['per_s']:,.0f} | {share:.3f} | {row['p50_ms']:.2f} | {row['p99_ms']:.2f} "
            f"| {row['lone_p50_ms']:.3f} | {row['cpu_s_per_1000']:.3f} | {row['memory_mb']:.0f} | {row['start_s']:.2f} |"
        )
    return "\n".join(lines)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--model", choices=sorted(MODELS), default="tiny")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--venv", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.venvs = {name: Path(path) for name, _, path in (pair.partition("=") for pair in options.venv)}
    return options


if __name__ == "__main__":
    main()
