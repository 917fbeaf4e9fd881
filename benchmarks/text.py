"""Texts: accuracy on the official test splits, within a budget.

    python benchmarks/text.py --data DIR [--json]

DIR holds banking77/{train,test}.csv, sst2/{train,test}.tsv, sms_spam.csv.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

# name → training file, test file, target, seconds
SETS = {
    "SST-2": ("sst2/train.tsv", "sst2/test.tsv", "column_2", 120.0),
    "Banking77": ("banking77/train.csv", "banking77/test.csv", "category", 300.0),
    "SMS spam (own fifth)": ("sms_spam.csv", None, "type", 60.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        required="HANDRAIL_BENCHMARK_DATA" not in os.environ,
        default=os.environ.get("HANDRAIL_BENCHMARK_DATA"),
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sets", default=",".join(SETS), type=lambda text: text.split(","))
    parser.add_argument("--bases", type=Path, help="a folder where bases are kept between runs")
    options = parser.parse_args()
    import handrail

    found = []
    for name in options.sets:
        train, test, target, seconds = SETS[name]
        with tempfile.TemporaryDirectory() as home:
            os.environ["HANDRAIL_HOME"] = home
            if options.bases:
                Path(home, "bases").symlink_to(options.bases)
            begun = time.time()
            model = handrail.train(
                options.data / train,
                test=None if test is None else options.data / test,
                target=target,
                time_s=seconds,
                name="m",
            )
            took = time.time() - begun
            metrics = model.report["score"]["metrics"]
            rows, times = [example["input"] for example in model.examples] * 10, []
            model(rows[0])
            for row in rows:
                started = time.perf_counter()
                model(row)
                times.append(time.perf_counter() - started)
            found.append({"set": name, "budget_s": seconds, "took_s": took, "accuracy": metrics["accuracy"], "log_loss": metrics["log_loss"]["value"],
                          "chosen": model.report["notes"][-1], "row_ms": statistics.median(times) * 1e3,
                          "bundle_mb": sum(item["bytes"] for item in model.manifest.files.values()) / 1e6})  # fmt: skip
            print(json.dumps(found[-1]), flush=True)
    if not options.json:
        for row in found:
            accuracy = row["accuracy"]
            print(
                f"| {row['set']} | {accuracy['value']:.4f} ({accuracy['low']:.3f}–{accuracy['high']:.3f}) | {row['took_s']:.0f} of {row['budget_s']:.0f} s | {row['row_ms']:.1f} |"
            )


if __name__ == "__main__":
    main()
