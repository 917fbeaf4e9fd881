"""A small bundle made by hand: linear scores of a number, a word and a boolean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from handrail.core.bundle import Manifest, to_json, write_bundle
from handrail.core.field import Field
from handrail.core.signature import Output, Signature
from handrail.model import Model, load
from handrail.store import Store

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


def publish(store: Store, **made: Any) -> None:
    """Puts a version of "churn" into a store: see `make_bundle`."""
    with store.draft() as draft:
        make_bundle(draft, **made)
        store.publish(draft, "churn")


def make_bundle(
    folder: Path,
    name: str = "churn",
    fields: tuple[Field, ...] = FIELDS,
    output: Output = OUTPUT,
    weight: float = 0.02,
    ballast: int = 1,
    fails_above: float | None = None,
) -> Model:
    """Writes the bundle and opens it. `weight` makes its answers its own; `ballast`² weights change nothing. Rows whose
    first number is above `fails_above` get no answer."""
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
        "weights/model.onnx": graph(len(fields), weight, ballast, fails_above),
        "report.html": b"<!doctype html><title>report</title><p>fine</p>",
        "report.json": to_json({}),
    }
    write_bundle(folder, manifest, files)
    model = load(folder)
    inputs = [{field.name: field.sample() for field in fields}]
    examples = [{"input": row, "answer": model(row)} for row in inputs]
    write_bundle(folder, manifest, {**files, "examples.json": to_json(examples)})
    return load(folder)


def graph(width: int, weight: float = 0.02, ballast: int = 1, fails_above: float | None = None) -> bytes:
    """softmax(x · w) of the inputs with NaN read as 0."""
    weights = np.array([[0.0, weight * (column + 1)] for column in range(width)], dtype=np.float32)
    nothing = np.zeros((2, ballast), dtype=np.float32), np.zeros((ballast, ballast), dtype=np.float32)
    nodes = [
        helper.make_node("IsNaN", ["x"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "x"], ["filled"]),
        helper.make_node("MatMul", ["filled", "weights"], ["plain"]),
        helper.make_node("MatMul", ["plain", "nothing0"], ["wide"]),
        helper.make_node("MatMul", ["wide", "nothing1"], ["nothing"]),
        helper.make_node("ReduceSum", ["nothing"], ["none"], keepdims=1),
        helper.make_node("Add", ["plain", "none"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    initial = [
        numpy_helper.from_array(weights, "weights"),
        numpy_helper.from_array(np.float32(0), "zero"),
        *(numpy_helper.from_array(array, f"nothing{place}") for place, array in enumerate(nothing)),
    ]
    if fails_above is not None:
        for node in nodes[:2]:
            node.input[:] = ["same" if name == "x" else name for name in node.input]
        # Of a table with one place, the second is asked for.
        nodes[0:0] = [
            helper.make_node("Slice", ["x", "first", "second", "columns"], ["number"]),
            helper.make_node("Sub", ["number", "limit"], ["over"]),
            helper.make_node("Clip", ["over", "zero", "one"], ["above"]),
            helper.make_node("Cast", ["above"], ["place"], to=TensorProto.INT64),
            helper.make_node("Gather", ["table", "place"], ["zeros"]),
            helper.make_node("Add", ["x", "zeros"], ["same"]),
        ]
        numbers = {"first": [0], "second": [1], "columns": [1]}
        initial += [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in numbers.items()]
        initial += [
            numpy_helper.from_array(np.float32(fails_above), "limit"),
            numpy_helper.from_array(np.float32(1), "one"),
            numpy_helper.from_array(np.zeros(1, np.float32), "table"),
        ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", width])]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", 2])]
    made = helper.make_graph(nodes, "linear", inputs, outputs, initial)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
