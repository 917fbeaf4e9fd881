"""A small bundle made by hand: linear scores of a number, a word and a boolean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from handrail.core.bundle import Manifest, to_json, write_bundle
from handrail.core.signature import Field, Output, Signature
from handrail.model import Model, load

FIELDS = (
    Field("age", "number", optional=True, minimum=18.0, maximum=80.0, example=40),
    Field("plan", "category", choices=("basic", "plus", "pro"), example="basic"),
    Field("active", "boolean", example=True),
)
OUTPUT = Output("churned", "label", ("no", "yes"))
ROW: dict[str, Any] = {"age": 30, "plan": "pro", "active": True}
ROWS: list[dict[str, Any]] = [
    ROW,
    {"age": None, "plan": "basic", "active": False},
    {"age": 71.5, "plan": "?", "active": True},
]


def make_bundle(
    folder: Path, name: str = "churn", fields: tuple[Field, ...] = FIELDS, output: Output = OUTPUT
) -> Model:
    """Writes the bundle and opens it."""
    settings = [
        {
            "name": field.name,
            "kind": field.kind,
            "start": place,
            "width": 1,
            "words": list(field.choices),
            "statistics": False,
        }
        for place, field in enumerate(fields)
    ]
    manifest = Manifest(
        name=name,
        task="tabular-classification",
        signature=Signature(fields, output),
        encode={"columns": settings, "interval": [0.0, 0.0], "lowest": 0.0},
        data={"trivial": [0.5, 0.5]},
    )
    files = {
        "weights/model.onnx": graph(len(fields)),
        "report.html": b"<!doctype html><title>report</title><p>fine</p>",
        "report.json": to_json({}),
    }
    write_bundle(folder, manifest, files)
    model = load(folder)
    inputs = [{field.name: field.sample() for field in fields}]
    examples = [{"input": row, "answer": model(row)} for row in inputs]
    write_bundle(folder, manifest, {**files, "examples.json": to_json(examples)})
    return load(folder)


def graph(width: int) -> bytes:
    """softmax(x · w) of the inputs with NaN read as 0."""
    weights = np.array([[0.0, 0.02 * (column + 1)] for column in range(width)], dtype=np.float32)
    nodes = [
        helper.make_node("IsNaN", ["x"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "x"], ["filled"]),
        helper.make_node("MatMul", ["filled", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    initial = [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.float32(0), "zero")]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", width])]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", 2])]
    made = helper.make_graph(nodes, "linear", inputs, outputs, initial)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
