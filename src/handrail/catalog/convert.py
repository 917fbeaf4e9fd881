"""A BERT encoder's weights as an ONNX graph of ours: word pieces in, pooled sentence vectors out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HEAD_SIZE = 32
EPSILON = 1e-12
# Which layers' means make the sentence vector, counted from the last: the last is best for topics, those before it
# keep more of wording and feeling.
POOLED = (1, 2, 3)
# What runtimes read of every graph.
SCORES = "scores"


def bert_encoder(weights: Mapping[str, np.ndarray]) -> bytes:
    """The graph: input_ids and attention_mask (rows, pieces) int64 → embedding (rows, hidden × len(POOLED)) float32.

    Each pooled layer's part has length 1. The word table is kept in half precision, all else in single.
    """
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def constant(value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), f"w{len(constants)}"))
        return f"w{len(constants) - 1}"

    def node(kind: str, *inputs: str, output: str | None = None, domain: str = "", **attributes: object) -> str:
        name = output or f"e{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [name], domain=domain, **attributes))
        return name

    def normalised(value: str, name: str) -> str:
        scale, bias = constant(weights[f"{name}.weight"]), constant(weights[f"{name}.bias"])
        return node("LayerNormalization", value, scale, bias, axis=-1, epsilon=EPSILON)

    def dense(value: str, name: str) -> str:
        product = node("MatMul", value, constant(weights[f"{name}.weight"].T))
        return node("Add", product, constant(weights[f"{name}.bias"]))

    hidden = weights["embeddings.word_embeddings.weight"].shape[1]
    table = constant(weights["embeddings.word_embeddings.weight"].astype(np.float16))
    word = node("Cast", node("Gather", table, "input_ids"), to=TensorProto.FLOAT)
    places = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    width = node("Shape", "input_ids", start=1, end=2)
    place = node("Slice", constant(places), constant(np.array([0])), width)
    value = normalised(node("Add", word, place), "embeddings.LayerNorm")
    mask = node("Cast", "attention_mask", to=TensorProto.INT32)
    layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("encoder.layer."))
    outputs = []
    for layer in range(layers):
        name = f"encoder.layer.{layer}"
        parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        joint = constant(np.concatenate([weights[f"{part}.weight"].T for part in parts], axis=1))
        bias = constant(np.concatenate([weights[f"{part}.bias"] for part in parts]))
        seen = node("Attention", value, joint, bias, mask, domain="com.microsoft", num_heads=hidden // HEAD_SIZE)
        value = normalised(
            node("Add", dense(seen, f"{name}.attention.output.dense"), value), f"{name}.attention.output.LayerNorm"
        )
        widened = node("Gelu", dense(value, f"{name}.intermediate.dense"))
        value = normalised(node("Add", dense(widened, f"{name}.output.dense"), value), f"{name}.output.LayerNorm")
        outputs.append(value)
    weight = node("Unsqueeze", node("Cast", "attention_mask", to=TensorProto.FLOAT), constant(np.array([2])))
    pooled = []
    for back in POOLED:
        if back <= layers:
            total = node("ReduceSum", node("Mul", outputs[-back], weight), constant(np.array([1])), keepdims=0)
            pooled.append(node("LpNormalization", total, axis=1, p=2))
    node("Concat", *pooled, axis=1, output="embedding")
    return _model(nodes, constants, hidden * len(pooled))


def answering(content: bytes, start: int, end: int) -> bytes:
    """The graph whose answer is these columns of the first output, under the name that runtimes read."""
    model = onnx.load_model_from_string(content)
    graph = model.graph
    first = graph.output[0]
    whole = first.type.tensor_type.shape.dim[1].dim_value == end - start
    places = {"handrail_start": start, "handrail_end": end, "handrail_axis": 1}
    if whole and first.name != SCORES:
        graph.node.append(helper.make_node("Identity", [first.name], [SCORES]))
    elif not whole:
        graph.initializer.extend(numpy_helper.from_array(np.array([place]), name) for name, place in places.items())
        graph.node.append(helper.make_node("Slice", [first.name, *places], [SCORES]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, ["rows", end - start]))
    found: bytes = model.SerializeToString(deterministic=True)
    return found


def _model(nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], width: int) -> bytes:
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "pieces"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["rows", width])]
    graph = helper.make_graph(nodes, "encoder", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    found: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString(deterministic=True)
    return found
