"""Ours, as the benchmark of tables calls it: folder, target, problem, seconds, seed."""

import json
import sys
import time

import handrail
from handrail.data.read import read_table

folder, target, problem, seconds, seed, _ = sys.argv[1:7]
started = time.time()
model = handrail.train(
    f"{folder}/train.csv", target=target, task="regression" if problem == "regression" else "classification",
    time_s=float(seconds), seed=int(seed), test_share=0.0, name="m",
)  # fmt: skip
fit_s = time.time() - started
test = read_table(f"{folder}/test.csv")
scores = model.scores(model.signature.columns_of_table(test.columns)).astype(float)
rows = list(test.select(range(50)).rows())
rows = [{name: row[name] for name in model.signature.names()} for row in rows]
inputs = [dict(zip(model.signature.names(), row.values(), strict=True)) for row in rows]
for name, field in zip(model.signature.names(), model.signature.inputs, strict=True):
    for row in inputs:
        if row[name] == "" and not field.optional:
            row[name] = field.sample()
        elif row[name] == "":
            row[name] = None
model(inputs[0])
times = []
for row in inputs:
    begun = time.perf_counter()
    model(row)
    times.append(time.perf_counter() - begun)
answer = {"fit_s": fit_s, "row_ms": sorted(times)[len(times) // 2] * 1e3}
if problem == "regression":
    answer["values"] = scores[:, 0].tolist()
else:
    answer |= {"labels": list(model.signature.output.labels), "scores": scores.tolist()}
with open(f"{folder}/answer.json", "w") as file:
    json.dump(answer, file)
