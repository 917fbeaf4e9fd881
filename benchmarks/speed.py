"""What people wait for: import, help, the first model, one answer, the first served answer, the install.

    python benchmarks/speed.py [--json] [--install] [--data DIR]

`--install` makes a fresh environment with base and [train] and weighs it. `--data` adds a table of 7,043 rows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HANDRAIL = [sys.executable, "-m", "handrail"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--data", type=Path, default=os.environ.get("HANDRAIL_BENCHMARK_DATA"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["HANDRAIL_HOME"] = home
        found = {"machine": machine(), **starts(), **models(options.data, home), **served()}
    if options.install:
        found |= installed()
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"| {name} | {value if isinstance(value, str) else f'{value:.4g}'} |")


def machine() -> str:
    load = os.getloadavg()[0]
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load:.1f} at the start"


def starts() -> dict[str, float]:
    """Medians of whole processes, in turn with bare Python."""
    bare, ours, helped = [], [], []
    for _ in range(9):
        bare.append(wall([sys.executable, "-c", "pass"]))
        ours.append(wall([sys.executable, "-c", "import handrail"]))
        helped.append(wall([*HANDRAIL, "--help"]))
    middle = statistics.median
    return {
        "import handrail beyond bare Python, ms": (middle(ours) - middle(bare)) * 1e3,
        "handrail --help, s": middle(helped),
    }


def models(data: Path | None, home: str) -> dict[str, float]:
    """Wall time of whole `handrail train` processes, and one row in process."""
    found = {}
    tables = {
        "penguins, 344 rows": ROOT / "examples/penguins.csv",
        "wine quality, 4,898 rows": ROOT / "examples/wine_quality.csv",
    }
    if data:
        tables["churn, 7,043 rows"] = Path(data) / "telco_churn.csv"
    for what, path in tables.items():
        found[f"train --effort quick, {what}, s"] = wall(
            [*HANDRAIL, "train", str(path), "--effort", "quick", "--name", "table"]
        )
    found[f"one row in process, {what}, ms (p50)"] = one_row("table")
    path = str(ROOT / "examples/sms_spam.csv")
    found["train --effort quick, text, 5,574 rows, s"] = wall(
        [*HANDRAIL, "train", path, "--effort", "quick", "--name", "text"]
    )
    found["one row in process, text, n-grams, ms (p50)"] = one_row("text")
    found["train --time 90s, text with MiniLM, s"] = wall(
        [*HANDRAIL, "train", path, "--time", "90s", "--name", "vectors"]
    )
    found["one row in process, text with MiniLM, ms (p50)"] = one_row("vectors")
    return found


def one_row(name: str) -> float:
    code = (
        "import sys, time, statistics, handrail\n"
        "m = handrail.load(sys.argv[1]); rows = [e['input'] for e in m.examples] * 30; m(rows[0]); times = []\n"
        "for row in rows:\n    t = time.perf_counter(); m(row); times.append(time.perf_counter() - t)\n"
        "print(statistics.median(times) * 1e3)"
    )
    return float(subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=True).stdout)


def served() -> dict[str, float]:
    """From starting `handrail serve` to the first answer."""
    import urllib.request

    times = []
    for _ in range(3):
        begun = time.perf_counter()
        with subprocess.Popen(
            [*HANDRAIL, "serve", "table", "--port", "0", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"].rstrip("/")
            import handrail

            row = handrail.load("table").examples[0]["input"]
            request = urllib.request.Request(
                f"{url}/table/predict", json.dumps(row).encode(), {"Content-Type": "application/json"}
            )
            urllib.request.urlopen(request).read()
            times.append(time.perf_counter() - begun)
            process.terminate()
    return {"serve: start to first answer, s": statistics.median(times)}


def installed() -> dict[str, float]:
    """Packages and megabytes (files as unpacked from wheels, no bytecode, pip itself left out) of base + [train]."""
    with tempfile.TemporaryDirectory() as folder:
        words = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-compile",
            "--target",
            folder,
            f"{ROOT}[train]",
        ]
        subprocess.run(words, check=True, capture_output=True)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        packages = len(list(Path(folder).glob("*.dist-info")))
        torch = any(Path(folder).glob("torch*"))
    return {"install, MB": size / 1e6, "install, packages": packages, "torch in it": str(torch).lower()}


def wall(words: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
