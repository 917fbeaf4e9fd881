"""What every peer's adapter shares: the two tables, the clock, the answer file."""

import json
import sys
import time

import pandas as pd

folder, target, problem, seconds, seed, preset = (*sys.argv[1:7], "")[:6]
seconds, seed, regression = float(seconds), int(seed), problem == "regression"
train = pd.read_csv(f"{folder}/train.csv")
test = pd.read_csv(f"{folder}/test.csv", dtype={name: str for name in train if train[name].dtype.kind not in "fiub"})
test = test.drop(columns=[target])[[name for name in train if name != target]]
started = time.time()


def answered(values, labels, one_row) -> None:
    """Writes values (regression) or probabilities with their labels; times single rows through `one_row(frame)`."""
    fit_s = answered.fit_s
    one_row(test.iloc[:1])
    times = []
    for place in range(min(30, len(test))):
        begun = time.perf_counter()
        one_row(test.iloc[place : place + 1])
        times.append(time.perf_counter() - begun)
    found = {"fit_s": fit_s, "row_ms": sorted(times)[len(times) // 2] * 1e3}
    if regression:
        found["values"] = [float(value) for value in values]
    else:
        found |= {
            "labels": [str(label) for label in labels],
            "scores": [[float(part) for part in row] for row in values],
        }
    with open(f"{folder}/answer.json", "w") as file:
        json.dump(found, file)


def fitted() -> None:
    """Marks the end of fitting."""
    answered.fit_s = time.time() - started
