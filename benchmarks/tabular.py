"""Tables: ours and the peers' at the same budget, one process each, interleaved, scored by the same code.

    python benchmarks/tabular.py --data DIR --seconds 60 --seeds 0 --venv flaml=/path --venv autogluon=/path --out FILE.json

DIR holds the CSV files of TABLES. A system without a venv runs in this one. Without peers, ours and LightGBM are run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import metrics
from sklearn.model_selection import train_test_split

HERE = Path(__file__).resolve().parent
# file → target, problem
TABLES = {
    "adult.csv": ("income", "binary"),
    "telco_churn.csv": ("Churn", "binary"),
    "seaborn_titanic.csv": ("survived", "binary"),
    "mlr_credit.csv": ("default", "binary"),
    "breast_cancer_wisconsin.csv": ("diagnosis", "binary"),
    "jb_pima-indians-diabetes.csv": ("column_9", "binary"),
    "seaborn_penguins.csv": ("species", "multiclass"),
    "mlr_winequality-white.csv": ("quality", "regression"),
    "california_housing.csv": ("MedHouseVal", "regression"),
    "housing_geron.csv": ("median_house_value", "regression"),
    "seaborn_diamonds.csv": ("price", "regression"),
    "mlr_insurance.csv": ("charges", "regression"),
}
# Columns that hold the answer again: removed for every system, so that modelling is compared and not leak detection.
LEAKS = {"seaborn_titanic.csv": ["alive"]}
SYSTEMS = ("handrail", "lightgbm", "flaml", "autogluon-medium", "autogluon-best")


def main() -> None:
    options = parsed()
    results = json.loads(options.out.read_text()) if options.out.exists() else []
    done = {(row["table"], row["seed"], row["system"]) for row in results}
    for seed in options.seeds:
        for name in options.tables:
            target, problem = TABLES[name]
            train, test = halves(options.data / name, target, problem, seed, LEAKS.get(name, []))
            for system in options.systems:
                if (name, seed, system) in done:
                    continue
                row = measured(system, options, train, test, target, problem, seed)
                results.append({"table": name, "seed": seed, "system": system, "problem": problem, **row})
                print(json.dumps(results[-1]), flush=True)
                options.out.write_text(json.dumps(results, indent=1))
    print(markdown(results))


def halves(path: Path, target: str, problem: str, seed: int, leaks: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Three quarters to learn from and a quarter to score with, stratified by label."""
    frame = pd.read_csv(path, header=None if path.name.startswith("jb_") else 0, skipinitialspace=True)
    if path.name.startswith("jb_"):
        frame.columns = [f"column_{number}" for number in range(1, frame.shape[1] + 1)]
    frame = frame.drop(columns=leaks).dropna(subset=[target])
    return train_test_split(
        frame, test_size=0.25, random_state=seed, stratify=None if problem == "regression" else frame[target]
    )


def measured(
    system: str,
    options: argparse.Namespace,
    train: pd.DataFrame,
    test: pd.DataFrame,
    target: str,
    problem: str,
    seed: int,
) -> dict[str, object]:
    kind, _, preset = system.partition("-")
    python = options.venvs[kind] / "bin" / "python" if kind in options.venvs else Path(sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        for part, frame in (("train", train), ("test", test)):
            frame.to_csv(f"{folder}/{part}.csv", index=False)
        words = [
            str(python),
            str(HERE / "peers" / f"{kind}_table.py"),
            folder,
            target,
            problem,
            str(options.seconds),
            str(seed),
            preset,
        ]
        environment = {**os.environ, "HANDRAIL_HOME": f"{folder}/home"}
        done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
        answer = Path(folder, "answer.json")
        if done.returncode or not answer.exists():
            return {"error": done.stderr[-300:]}
        found = json.loads(answer.read_text())
    return {**scored(found, test[target], problem), "fit_s": found["fit_s"], "row_ms": found["row_ms"]}


def scored(found: dict, truth: pd.Series, problem: str) -> dict[str, float]:
    """The loss (lower is better) that ranks systems, and a familiar measure beside it."""
    if problem == "regression":
        values = np.array(found["values"])
        return {"loss": float(np.sqrt(np.mean((values - truth) ** 2))), "shown": float(metrics.r2_score(truth, values))}
    labels = [plain(label) for label in found["labels"]]
    order = np.argsort(labels)
    right = np.array([plain(label) for label in truth])
    scores = np.clip(np.array(found["scores"])[:, order], 1e-6, 1)
    scores /= scores.sum(axis=1, keepdims=True)
    names = [labels[place] for place in order]
    shown = (
        metrics.roc_auc_score(right == names[1], scores[:, 1])
        if len(names) == 2
        else np.mean(np.array(names)[scores.argmax(1)] == right)
    )
    return {"loss": float(metrics.log_loss(right, scores, labels=names)), "shown": float(shown)}


def plain(label: object) -> str:
    text = str(label)
    return str(int(float(text))) if text.replace(".", "", 1).isdigit() and float(text).is_integer() else text


def markdown(results: list[dict]) -> str:
    """Losses by table, and each system's mean rank, fitting time and latency."""
    good = pd.DataFrame([row for row in results if "loss" in row])
    table = good.pivot_table(index=["table", "seed"], columns="system", values="loss")
    whole = table.dropna()
    ranks = whole.rank(axis=1).mean()
    lines = ["| table | seed | " + " | ".join(table.columns) + " |", "|---" * (2 + len(table.columns)) + "|"]
    for (name, seed), row in table.iterrows():
        best = row.min()
        cells = [f"**{value:.5g}**" if value == best else f"{value:.5g}" for value in row]
        lines.append(f"| {name} | {seed} | " + " | ".join(cells) + " |")
    means = good.groupby("system")[["row_ms", "fit_s"]].median()
    lines.append(
        f"| **mean rank** ({len(whole)} complete) | | "
        + " | ".join(f"{ranks[name]:.2f}" for name in table.columns)
        + " |"
    )
    lines.append(
        "| one row, ms (median) | | " + " | ".join(f"{means.row_ms[name]:.2f}" for name in table.columns) + " |"
    )
    lines.append("| fit, s (median) | | " + " | ".join(f"{means.fit_s[name]:.1f}" for name in table.columns) + " |")
    return "\n".join(lines)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("HANDRAIL_BENCHMARK_DATA"),
        required="HANDRAIL_BENCHMARK_DATA" not in os.environ,
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seeds", default="0", type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--systems", default="handrail,lightgbm", type=lambda text: text.split(","))
    parser.add_argument("--tables", default=",".join(TABLES), type=lambda text: text.split(","))
    parser.add_argument("--venv", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--out", type=Path, default=Path("tabular-results.json"))
    options = parser.parse_args()
    options.venvs = {name: Path(path) for name, _, path in (pair.partition("=") for pair in options.venv)}
    options.data = Path(options.data)
    return options


if __name__ == "__main__":
    main()
