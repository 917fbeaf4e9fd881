"""A bundle whose graph takes milliseconds for each row, however many rows come together."""

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

NAME = "slow"
FIELDS = tuple(Field(name, "number", example=0.5) for name in ("a", "b", "c"))
WIDTH, COPIES = 512, 64


def make_slow_bundle(folder: Path, layers: int = 6) -> Model:
    """Writes it and opens it. A layer takes about a quarter of a millisecond on one core."""
    columns = [
        {"name": field.name, "kind": field.kind, "start": place, "width": 1, "words": [], "statistics": False}
        for place, field in enumerate(FIELDS)
    ]
    manifest = Manifest(
        name=NAME,
        task="tabular-classification",
        signature=Signature(FIELDS, Output("label", "label", ("no", "yes"))),
        encode={"columns": columns, "interval": [0.0, 0.0], "lowest": 0.0},
        data={"trivial": [0.5, 0.5]},
    )
    write_bundle(folder, manifest, {"weights/model.onnx": graph(layers), "report.json": to_json({})})
    return load(folder)


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows that this model answers, each with an answer of its own."""
    drawn = np.random.default_rng(seed).uniform(-1, 1, (count, len(FIELDS))).round(3)
    return [dict(zip(("a", "b", "c"), map(float, row), strict=True)) for row in drawn]


def graph(layers: int) -> bytes:
    """Each row is copied, every copy goes through the layers, their mean is scored: work that batches cannot save."""
    random = np.random.default_rng(7)
    weights = {
        "into": random.standard_normal((len(FIELDS), WIDTH)),
        "layer": random.standard_normal((WIDTH, WIDTH)) / WIDTH**0.5,
        "out": random.standard_normal((WIDTH, 2)) / WIDTH**0.5,
        "copies": np.ones((1, COPIES, 1)),
    }
    shapes = {"apart": [-1, 1, WIDTH], "flat": [-1, WIDTH], "together": [-1, COPIES, WIDTH]}
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    constants += [numpy_helper.from_array(np.array(shape, np.int64), name) for name, shape in shapes.items()]
    nodes = [
        helper.make_node("MatMul", ["x", "into"], ["h"]),
        helper.make_node("Reshape", ["h", "apart"], ["one"]),
        helper.make_node("Mul", ["one", "copies"], ["many"]),
        helper.make_node("Reshape", ["many", "flat"], ["h0"]),
    ]
    for place in range(layers):
        nodes.append(helper.make_node("MatMul", [f"h{place}", "layer"], [f"m{place}"]))
        nodes.append(helper.make_node("Tanh", [f"m{place}"], [f"h{place + 1}"]))
    nodes += [
        helper.make_node("Reshape", [f"h{layers}", "together"], ["last"]),
        helper.make_node("ReduceMean", ["last"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "out"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", len(FIELDS)])]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", 2])]
    made = helper.make_graph(nodes, "slow", inputs, outputs, constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
