"""From a fitted model to a bundle that may be published: manifest, examples, the proof that the export is right."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from handrail.core.bundle import Manifest
from handrail.core.errors import HandrailError
from handrail.core.field import Field
from handrail.core.signature import Signature
from handrail.core.values import Cell
from handrail.data.look import Look
from handrail.data.table import Table
from handrail.model import Model
from handrail.tasks import Fitted, Order, Plan
from handrail.training.parts import Parts
from handrail.training.versions import recorded_versions

# The export answers the replay rows; further from the trained model than this (× the target's scale), it is refused.
PARITY = 1e-5
EXAMPLES = 10
RECORDED_VERSIONS = ("numpy", "onnxruntime", "onnx", "scikit-learn", "lightgbm")


def manifest_of(name: str, task: str, fitted: Fitted, parts: Parts, order: Order, plan: Plan) -> Manifest:
    """Everything the bundle says of itself, without times: equal work gives equal bytes."""
    data = {
        "rows": len(parts.train),
        "source": parts.train.source,
        "fingerprint": parts.look.fingerprint,
        "trivial": trivial(fitted.signature, parts.train, parts.look),
    }
    return Manifest(
        name=name,
        task=task,
        signature=fitted.signature,
        encode=fitted.encode,
        plan=plan.as_dict(),
        seed=order.seed,
        base=fitted.base,
        data=data,
        versions=recorded_versions(RECORDED_VERSIONS),
    )


def trivial(signature: Signature, train: Table, look: Look) -> list[float]:
    """What a model that looks at nothing would always say: each label's share, or the mean."""
    cells = train.columns[look.target]
    if signature.output.kind == "number":
        return [float(np.mean(look.target_field.parse_column(cells)))]
    words = [str(word) for word in look.target_field.parse_column(cells)]
    if signature.output.kind == "labels":
        sets = [{part.strip() for part in word.split(look.label_separator)} for word in words]
        return [sum(label in labels for labels in sets) / len(sets) for label in signature.output.labels]
    counts = dict.fromkeys(signature.output.labels, 0)
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return [counts[label] / len(words) for label in signature.output.labels]


def replayed(model: Model, replay: Table, fitted: Fitted) -> np.ndarray:
    """The export's scores of the replay rows, proven to be the trained model's.

    Raises HandrailError ("bug"): then nothing is published.
    """
    scores = model.scores(model.signature.columns_of_table(replay.columns)).astype(np.float64)
    apart = float(np.max(np.abs(scores - fitted.native), initial=0.0)) / fitted.scale
    if scores.shape != fitted.native.shape or not apart <= PARITY:
        raise HandrailError(
            "bug",
            f"the exported model answers otherwise than the trained one (by {apart:.2g}), so it was not saved",
            "report this with the plan that was printed; --seed 1 may do meanwhile",
        )
    return scores


def example_rows(model: Model, replay: Table, scores: np.ndarray) -> list[dict[str, Any]]:
    """Rows with their answers, as different as they come: replayed by `handrail check` and shown on the page."""
    chosen = replay.select(_spread(scores))
    inputs = [dict(zip(model.signature.names(), row, strict=True)) for row in _json_rows(model.signature, chosen)]
    return [{"input": row, "answer": answer} for row, answer in zip(inputs, model.predict(inputs), strict=True)]


def json_cell(field: Field, cell: Cell) -> Cell:
    """A cell as a client would send it in JSON: numbers as numbers, missing as null."""
    value = field.parse(cell)
    assert not isinstance(value, np.ndarray)  # vectors come with graphs that were trained elsewhere
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if field.kind == "boolean":
        return bool(value)
    if field.kind == "date":
        return cell
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def _json_rows(signature: Signature, table: Table) -> list[list[Cell]]:
    columns = [[json_cell(field, cell) for cell in table.columns[field.name]] for field in signature.inputs]
    return [list(cells) for cells in zip(*columns, strict=True)]


def _spread(scores: np.ndarray) -> list[int]:
    """Row numbers: label by label in turn for classes, evenly over the range for numbers."""
    wanted = min(EXAMPLES, len(scores))
    if scores.shape[1] == 1:
        order = np.argsort(scores[:, 0], kind="stable")
        return sorted({int(order[place]) for place in np.linspace(0, len(order) - 1, wanted).round().astype(int)})
    likeliest = scores.argmax(axis=1)
    by_label = [np.flatnonzero(likeliest == label).tolist() for label in range(scores.shape[1])]
    chosen: list[int] = []
    while len(chosen) < wanted:
        for rows in by_label:
            if rows and len(chosen) < wanted:
                chosen.append(rows.pop(0))
    return chosen
