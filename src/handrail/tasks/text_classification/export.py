"""The chosen head, with the sentence encoder in front of it where it uses one, as one ONNX graph."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from handrail.tasks.text_classification.heads import LONGEST_MARGIN


def exported(
    ngram_weights: np.ndarray | None,
    embedding_weights: np.ndarray | None,
    biases: np.ndarray,
    temperature: float,
    problem: str,
    encoder: bytes | None,
) -> bytes:
    """The bytes of model.onnx: inputs as `predict.text_arrays` makes them, output "scores" (rows, labels)."""
    nodes, constants, inputs, parts = [], [], [], []

    def constant(value: np.ndarray, name: str) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(kind: str, *sources: str, output: str, **attributes: object) -> str:
        nodes.append(helper.make_node(kind, list(sources), [output], **attributes))
        return output

    opsets = {"": 20}
    if encoder is not None and embedding_weights is not None:
        base = onnx.load_model_from_string(encoder)
        nodes += base.graph.node
        constants += base.graph.initializer
        inputs += base.graph.input
        opsets |= {opset.domain: opset.version for opset in base.opset_import}
        weights = constant(embedding_weights.astype(np.float32), "head_embedding")
        parts.append(node("MatMul", "embedding", weights, output="from_embedding"))
    if ngram_weights is not None:
        inputs += [
            helper.make_tensor_value_info("ngram_index", TensorProto.INT64, ["rows", "ngrams"]),
            helper.make_tensor_value_info("ngram_value", TensorProto.FLOAT, ["rows", "ngrams"]),
        ]
        rows = node(
            "Gather", constant(ngram_weights.astype(np.float32), "head_ngrams"), "ngram_index", output="gathered"
        )
        value = node("Unsqueeze", "ngram_value", constant(np.array([1]), "axis"), output="value")
        summed = node("MatMul", value, rows, output="weighted")
        parts.append(node("Squeeze", summed, "axis", output="from_ngrams"))
    total = node("Sum", *parts, constant((biases).astype(np.float32), "bias"), output="margins")
    scaled = node("Div", total, constant(np.array(temperature, np.float32), "temperature"), output="scaled")
    limits = [constant(np.array(sign * LONGEST_MARGIN, np.float32), f"limit{sign}") for sign in (-1, 1)]
    clipped = node("Clip", scaled, *limits, output="clipped")
    if problem == "multiclass":
        node("Softmax", clipped, axis=1, output="scores")
    elif problem == "multilabel":
        node("Sigmoid", clipped, output="scores")
    else:
        positive = node("Sigmoid", clipped, output="positive")
        negative = node("Sub", constant(np.array(1.0, np.float32), "one"), positive, output="negative")
        node("Concat", negative, positive, axis=1, output="scores")
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", "labels"])]
    graph = helper.make_graph(nodes, "handrail", inputs, outputs, constants)
    sets = [helper.make_opsetid(domain, version) for domain, version in sorted(opsets.items())]
    found: bytes = helper.make_model(graph, opset_imports=sets, ir_version=10).SerializeToString(deterministic=True)
    return found
