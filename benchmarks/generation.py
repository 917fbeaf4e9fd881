"""Text that writes: ours, transformers and llama.cpp on the same weights of the GPT-2 architecture, made at random.

    python benchmarks/generation.py [--quick] [--json] [--only alone,people,xl,long] [--home DIR] [--rounds 3]
                                    [--venv transformers=DIR] [--venv llama=DIR] [--out FILE.json]

Each runtime runs in a process of its own, one after the other, round by round; medians. Prompts of 32 tokens, 64 new
ones, the likeliest each. A peer runs when --venv (or HANDRAIL_BENCHMARK_TRANSFORMERS, HANDRAIL_BENCHMARK_LLAMA) gives
the environment it is installed in: transformers and torch; xllamacpp and gguf. Weights are kept in --home: 1.5 GB, and
9 GB more for xl. --quick: 124M in 8 bits, alone and by HTTP, one round of each peer, under 60 s once the weights are there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import life
import numpy as np
from generation_made import SIZES, Weights, made, prompts, read_bytes
from tests.rig.server import started

HERE = Path(__file__).resolve().parent
PEERS = ("transformers", "llama")
PROMPT, TOKENS, PEOPLE = 32, 64, 32
WINDOW = 128  # llama.cpp takes the memory for it at once
LIMIT_S = 600.0
Row = dict[str, float]


@dataclass(frozen=True)
class System:
    """One runtime with one file of weights; `every`: it runs each so many rounds, the slow ones less often."""

    name: str
    python: Path
    script: str
    model: Path
    bits: int
    every: int = 1


def main() -> None:
    options = parsed()
    before, begun = life.machine(), time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        options.home = options.home or Path(name)
        parts = {"alone": alone, "people": people, "xl": xl, "long": long}
        found: dict[str, Any] = {part: parts[part](options) for part in options.only}
    found["absent"] = [name for name in PEERS if name not in options.venvs]
    found["machine"] = {**before, "load_after": round(os.getloadavg()[0], 2)}
    found["took_s"] = round(time.perf_counter() - begun, 1)
    found["wanted"] = wanted(found)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1))
    print(json.dumps(found) if options.json else markdown(found))


def alone(options: argparse.Namespace) -> dict[str, Any]:
    """124M: one text at a time and eight together, in process."""
    bits = (8,) if options.quick else (8, 4)
    weights = made(options.home, "124m", options.venvs.get("llama"), bits)
    systems = [system for number in bits for system in beside(options, weights, number)]
    slow = transformers(options, weights, every=options.rounds)
    return compared([*systems, *slow], weights, options.rounds, together=[8], runs=3 if options.quick else 5)


def xl(options: argparse.Namespace) -> dict[str, Any]:
    """1.5B in 4 bits; transformers as it is, in fp32."""
    weights = made(options.home, "xl", options.venvs.get("llama"), (4,))
    slow = transformers(options, weights, every=options.rounds)
    return compared([*beside(options, weights, 4), *slow], weights, options.rounds, together=[8, 16], runs=2)


def people(options: argparse.Namespace) -> dict[str, Any]:
    """32 people ask a server together, each for a stream; beside it, the same prompts as one batch without a server."""
    weights = made(options.home, "124m", None, ())
    bundle = ours_of(weights, 8)
    lengths = np.random.default_rng(11).integers(8, 57, size=PEOPLE).tolist()
    static = []
    with started(bundle) as server:
        asked(server.port, weights.folder.name, prompts(lengths[:2]))
        seeds = range(20, 22 if options.quick else 20 + max(3, options.rounds))
        served = [asked(server.port, weights.folder.name, prompts(lengths, seed=seed)) for seed in seeds]
        started_s, family = server.before_s, server.family()
        memory = sum(resident_mb(pid) for pid in family)
    system = System("handrail", Path(sys.executable), "handrail", bundle, 8)
    for number in range(1 if options.quick else 2):
        task = task_of(system, [], 1) | {"static": prompts(lengths, seed=20 + number)}
        static.append(run(system, task))
    row = middle(served) | {"start_s": started_s, "memory_mb": memory}
    row |= {name: statistics.median(each[name] for each in static) for name in ("static_tokens_per_s", "static_read_s")}
    return {**row, "of_static": row["tokens_per_s"] / row["static_tokens_per_s"], "prompt_tokens": sum(lengths), "rounds": served}  # fmt: skip


def long(options: argparse.Namespace) -> dict[str, Any]:
    """10,000 texts in a row, on a small model, so that they are what is measured and not the machine's memory."""
    bundle = ours_of(made(options.home, "tiny", None, ()), 8)
    system = System("handrail", Path(sys.executable), "long", bundle, 8)
    return run(system, {"model": str(bundle), "threads": 1, "count": 1_000 if options.quick else 10_000})


def beside(options: argparse.Namespace, weights: Weights, bits: int) -> list[System]:
    """Ours and llama.cpp with as many bits."""
    found = [System(f"handrail int{bits}", Path(sys.executable), "handrail", ours_of(weights, bits), bits)]
    if bits in weights.llama:
        found.append(System(f"llama.cpp Q{bits}_0", options.venvs["llama"], "llama", weights.llama[bits], bits))
    return found


def transformers(options: argparse.Namespace, weights: Weights, every: int) -> list[System]:
    python = options.venvs.get("transformers")
    return [System("transformers fp32", python, "transformers", weights.folder, 32, every)] if python else []


def ours_of(weights: Weights, bits: int) -> Path:
    """The bundle that the folder is imported as; what is there from an earlier run of the same code is taken."""
    home = weights.folder.parent / f"home{bits}"
    name = weights.folder.name
    words = [sys.executable, "-m", "handrail", "import", str(weights.folder), "--name", name, "--bits", str(bits)]
    if not list(home.glob(f"models/{name}/*")):
        subprocess.run(words, check=True, env={**os.environ, "HANDRAIL_HOME": str(home)}, stdout=subprocess.DEVNULL)
    return max(home.glob(f"models/{name}/*"))


def compared(systems: list[System], weights: Weights, rounds: int, *, together: list[int], runs: int) -> dict[str, Any]:
    """Every system once in each round, so that a busy minute of the machine falls on all of them."""
    found: dict[str, list[Row]] = {}
    speeds = []
    for number in range(rounds):
        speeds.append(bandwidth())
        for system in systems:
            if number % system.every == 0:
                counts = together if system.bits != 32 or weights.size == SIZES["124m"] else []
                found.setdefault(system.name, []).append(run(system, task_of(system, counts, runs)))
    table = {name: middle(rows) for name, rows in found.items()}
    for system in systems:
        limit = 1e9 * max(speeds) / read_bytes(file_of(system.model), weights.size)
        row = table[system.name]
        row |= {"of_limit": row["tokens_per_s"] / limit, "limit_tokens_per_s": limit, "cold_s": row["import_s"] + row["load_s"] + row["first_s"]}  # fmt: skip
        row["file_mb"] = size_mb(system.model)
    return {"memory_gb_s": speeds, "systems": table, "rounds": found}


def task_of(system: System, together: list[int], runs: int) -> dict[str, Any]:
    threads = len(os.sched_getaffinity(0))
    given = prompts([PROMPT] * max([runs, *together]))
    return {"model": str(system.model), "prompts": given, "tokens": TOKENS, "runs": runs if system.bits != 32 else min(runs, 2), "together": together, "threads": threads, "window": WINDOW}  # fmt: skip


def run(system: System, task: dict[str, Any]) -> Row:
    """One process from its start to its end."""
    script = HERE / f"peers/generation_{system.script}.py"
    words = [system.python, script, json.dumps(task)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode:
        raise SystemExit(f"{system.name} failed:\n{done.stderr[-3000:]}")
    found: Row = json.loads(done.stdout.strip().rpartition("\n")[2])
    return found


def asked(port: int, name: str, given: list[list[int]]) -> Row:
    """What so many people get who ask together; they are one process on the same cores as the server."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"model": name, "prompts": given, "tokens": TOKENS}, file)
        file.flush()
        words = [sys.executable, str(HERE / "generation_people.py"), str(port), file.name]
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode:
        raise SystemExit(f"the people failed:\n{done.stderr[-3000:]}")
    found: Row = json.loads(done.stdout)
    return found


def bandwidth() -> float:
    done = subprocess.run(
        [sys.executable, str(HERE / "generation_memory.py")], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def middle(rows: list[Row]) -> Row:
    numbers = [name for name, value in rows[0].items() if isinstance(value, int | float)]
    return {name: statistics.median(row[name] for row in rows) for name in numbers}


def file_of(model: Path) -> Path:
    """The file of weights: a GGUF, or the one in a folder or a bundle."""
    return model if model.is_file() else next(model.rglob("*.safetensors"))


def size_mb(path: Path) -> float:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) / 1e3


@dataclass(frozen=True)
class Goal:
    """What is wanted of a number: at least, or at most."""

    what: str
    of: Callable[[dict[str, Any]], float]
    bound: float
    at_most: bool = False

    def told(self, found: dict[str, Any]) -> dict[str, Any] | None:
        try:
            value = self.of(found)
        except KeyError:  # That part did not run, or that peer is absent.
            return None
        met = value <= self.bound if self.at_most else value >= self.bound
        return {"what": self.what, "wanted": ("≤ " if self.at_most else "≥ ") + f"{self.bound:g}", "measured": value, "met": met}  # fmt: skip


def row_of(part: str, system: str, name: str) -> Callable[[dict[str, Any]], float]:
    return lambda found: found[part]["systems"][system][name]


def ratio(part: str, name: str, system: str, peer: str) -> Callable[[dict[str, Any]], float]:
    return lambda found: row_of(part, system, name)(found) / row_of(part, peer, name)(found)


OURS, OURS4 = "handrail int8", "handrail int4"
GOALS = [
    Goal("124M int8 alone, × transformers fp32", ratio("alone", "tokens_per_s", OURS, "transformers fp32"), 5),
    Goal("… share of what memory allows", row_of("alone", OURS, "of_limit"), 0.45),
    Goal("… peak memory, MB", row_of("alone", OURS, "one_mb"), 300, at_most=True),
    Goal("… import + load + first token, s", row_of("alone", OURS, "cold_s"), 0.6, at_most=True),
    Goal("… × llama.cpp Q8_0", ratio("alone", "tokens_per_s", OURS, "llama.cpp Q8_0"), 1),
    Goal("… eight together, × llama.cpp Q8_0", ratio("alone", "together_8_tokens_per_s", OURS, "llama.cpp Q8_0"), 1.5),
    Goal("124M int4 alone, × llama.cpp Q4_0", ratio("alone", "tokens_per_s", OURS4, "llama.cpp Q4_0"), 1),
    Goal("… eight together, × llama.cpp Q4_0", ratio("alone", "together_8_tokens_per_s", OURS4, "llama.cpp Q4_0"), 1.5),
    Goal("32 people by HTTP, tokens/s in all", lambda found: found["people"]["tokens_per_s"], 650),
    Goal("… share of a static batch", lambda found: found["people"]["of_static"], 0.85),
    Goal("… the last one's first token, s", lambda found: found["people"]["last_first_s"], 1, at_most=True),
    Goal("1.5B int4, 64 tokens, s", row_of("xl", OURS4, "whole_s"), 5, at_most=True),
    Goal("… peak memory, MB", row_of("xl", OURS4, "one_mb"), 1600, at_most=True),
    Goal("… 16 together, tokens/s", row_of("xl", OURS4, "together_16_tokens_per_s"), 55),
    Goal("… × llama.cpp Q4_0", ratio("xl", "tokens_per_s", OURS4, "llama.cpp Q4_0"), 1),
    Goal("… eight together, × llama.cpp Q4_0", ratio("xl", "together_8_tokens_per_s", OURS4, "llama.cpp Q4_0"), 1.5),
    Goal("10,000 in a row, last slower than first by", lambda found: found["long"]["slower_share"], 0.05, at_most=True),
    Goal("… memory grown in the second half, MB", lambda found: found["long"]["grown_mb"], 2, at_most=True),
]


def wanted(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [told for goal in GOALS if (told := goal.told(found))]


COLUMNS = {
    "tokens/s": "tokens_per_s", "of memory's limit": "of_limit", "first token ms": "first_ms", "64 tokens s": "whole_s",
    "8 together": "together_8_tokens_per_s", "16 together": "together_16_tokens_per_s", "memory MB, one text": "one_mb", "several": "alone_mb",
    "file MB": "file_mb", "cold start s": "cold_s",
}  # fmt: skip


def markdown(found: dict[str, Any]) -> str:
    lines = ["| what | wanted | measured |", "|---|---|---|"]
    for told in found["wanted"]:
        value = f"{told['measured']:.3g}" if abs(told["measured"]) < 100 else f"{told['measured']:,.0f}"
        lines.append(f"| {told['what']} | {told['wanted']} | {value if told['met'] else f'**{value}**'} |")
    for part in ("alone", "xl"):
        if part in found:
            lines += [
                "",
                f"{part}: memory {', '.join(f'{speed:.1f}' for speed in found[part]['memory_gb_s'])} GB/s",
                "",
            ]
            lines += ["| system | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
            lines += [f"| {name} | " + " | ".join(cell(row.get(key)) for key in COLUMNS.values()) + " |" for name, row in found[part]["systems"].items()]  # fmt: skip
    rest = {name: value for name, value in found.items() if name not in ("alone", "xl", "wanted")}
    return "\n".join([*lines, "", json.dumps(rest, indent=1)])


def cell(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", type=lambda text: text.split(","))
    parser.add_argument("--home", type=Path, help="a folder where weights are kept between runs")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--venv", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    given = dict(pair.partition("=")[::2] for pair in options.venv)
    given = {name: os.environ.get(f"HANDRAIL_BENCHMARK_{name.upper()}", "") for name in PEERS} | given
    options.venvs = {name: Path(folder) / "bin" / "python" for name, folder in given.items() if folder}
    options.rounds = options.rounds or (2 if options.quick else 3)
    options.only = options.only or ["alone", "people", *([] if options.quick else ["xl", "long"])]
    return options


if __name__ == "__main__":
    main()
