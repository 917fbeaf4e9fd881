"""The ensemble as one ONNX graph, written node by node: matrix "x" in, "scores" out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from handrail.learn.losses import SMALLEST
from handrail.tasks.tabular.candidates import Data, Piece
from handrail.tasks.tabular.dense import FURTHEST, DenseCode
from handrail.tasks.tabular.trees import LEAF, Trees

OPSET = 18
ML_OPSET = 5
SUM, NO_LINK = 1, 0
# onnxruntime's time to load a node of trees grows with the square of their number: 15 times 600 take 0.3 s, 9,000 2 s.
TREES_A_NODE = 500


class _Graph:
    """Nodes and constants under construction; every method returns the name of what it makes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: object, kind: type = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=kind), name))
        return name

    def node(self, kind: str, *inputs: str, output: str | None = None, domain: str = "", **attributes: Any) -> str:
        name = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], domain=domain, **attributes))
        return name


def exported(
    pieces: Sequence[Piece],
    weights: Sequence[float],
    data: Data,
    honesty: tuple[float, float],
    mean: float,
    deviation: float,
) -> bytes:
    """The bytes of model.onnx. `honesty` is the temperature of probabilities and the share of doubt in them.

    Amounts come out on the target's own scale: scores × `deviation` + `mean`.
    """
    graph = _Graph()
    parts = []
    for piece, weight in zip(pieces, weights, strict=True):
        answers = _forest(graph, piece, data) if piece.trees is not None else _layered(graph, piece, data)
        if piece.powers is not None:
            answers = _raised(graph, answers, piece.powers)
        parts.append(graph.node("Mul", answers, graph.constant(weight)))
    total = graph.node("Sum", *parts)
    if data.problem == "regression":
        scaled = graph.node("Mul", total, graph.constant(deviation))
        graph.node("Add", scaled, graph.constant(mean), output="scores")
    else:
        clipped = graph.node("Clip", total, graph.constant(SMALLEST), graph.constant(1.0))
        logs = graph.node("Log", clipped)
        temperature, doubted = honesty
        sure = graph.node("Softmax", graph.node("Div", logs, graph.constant(temperature)), axis=1)
        kept = graph.node("Mul", sure, graph.constant(1.0 - doubted))
        graph.node("Add", kept, graph.constant(doubted / data.outputs), output="scores")
    return _model(graph, data).SerializeToString(deterministic=True)


def _model(graph: _Graph, data: Data) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", data.x.shape[1]])]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", data.outputs])]
    made = helper.make_graph(graph.nodes, "handrail", inputs, outputs, graph.constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model)
    return model


def _forest(graph: _Graph, piece: Piece, data: Data) -> str:
    """Trees summed, then linked: boosted trees give margins, forests (those with medians) give answers."""
    assert piece.trees is not None
    source = "x"
    if piece.medians is not None:
        source = graph.node("Where", graph.node("IsNaN", "x"), graph.constant(piece.medians), "x")
    probabilities = piece.medians is not None and data.problem != "regression"
    targets = data.outputs if data.outputs > 2 or probabilities else 1
    parts = [
        graph.node("TreeEnsemble", source, domain="ai.onnx.ml", n_targets=targets, **_tree_attributes(some))
        for some in piece.trees.split(TREES_A_NODE)
    ]
    summed = graph.node("Sum", *parts)
    if probabilities or data.problem == "regression":
        return summed
    if data.outputs > 2:
        return graph.node("Softmax", summed, axis=1)
    positive = graph.node("Sigmoid", summed)
    return graph.node("Concat", graph.node("Sub", graph.constant(1.0), positive), positive, axis=1)


def _raised(graph: _Graph, logarithms: str, powers: np.ndarray) -> str:
    """exp(logarithms × slope + start) × factor + lowest: see `Piece.powers`."""
    slope, start, factor, lowest = map(float, powers)
    straight = graph.node("Add", graph.node("Mul", logarithms, graph.constant(slope)), graph.constant(start))
    raised = graph.node("Mul", graph.node("Exp", straight), graph.constant(factor))
    return graph.node("Add", raised, graph.constant(lowest))


def _tree_attributes(trees: Trees) -> dict[str, Any]:
    """Attributes of ai.onnx.ml TreeEnsemble. A tree of one leaf becomes a split with that leaf on both sides."""
    leaf = trees.feature == LEAF
    leaf_number, node_number = np.cumsum(leaf) - 1, np.cumsum(~leaf) - 1
    lone = trees.roots[leaf[trees.roots]]
    inner = np.flatnonzero(~leaf)
    roots = node_number[trees.roots]
    roots[leaf[trees.roots]] = len(inner) + np.arange(len(lone))
    zeros = np.zeros(len(lone), np.int64)
    splits = np.concatenate([trees.threshold[inner], zeros.astype(np.float32)])
    yes, no = np.concatenate([trees.yes[inner], lone]), np.concatenate([trees.no[inner], lone])
    return {
        "aggregate_function": SUM,
        "post_transform": NO_LINK,
        "tree_roots": roots.tolist(),
        "nodes_featureids": np.concatenate([trees.feature[inner], zeros]).tolist(),
        "nodes_splits": numpy_helper.from_array(splits, "s"),
        "nodes_modes": numpy_helper.from_array(np.zeros(len(inner) + len(lone), np.uint8), "m"),
        "nodes_missing_value_tracks_true": np.concatenate([trees.missing_yes[inner], zeros]).astype(int).tolist(),
        "nodes_truenodeids": np.where(leaf[yes], leaf_number[yes], node_number[yes]).tolist(),
        "nodes_trueleafs": leaf[yes].astype(int).tolist(),
        "nodes_falsenodeids": np.where(leaf[no], leaf_number[no], node_number[no]).tolist(),
        "nodes_falseleafs": leaf[no].astype(int).tolist(),
        "leaf_targetids": trees.target[leaf].tolist(),
        "leaf_weights": numpy_helper.from_array(trees.value[leaf].astype(np.float32), "w"),
    }


def _layered(graph: _Graph, piece: Piece, data: Data) -> str:
    """Linear models and networks: one encoding for all folds, the mean of the folds' answers."""
    assert piece.dense is not None
    encoded = _dense(graph, piece.dense)
    per_fold = len(piece.layers) // data.fold_count
    answers = []
    for start in range(0, len(piece.layers), per_fold):
        layers, value = piece.layers[start : start + per_fold], encoded
        for place in range(0, per_fold, 2):
            value = graph.node("Gemm", value, graph.constant(layers[place]), graph.constant(layers[place + 1]))
            if place + 2 < per_fold:
                value = graph.node("Relu", value)
        answers.append(value if data.problem == "regression" else graph.node("Softmax", value, axis=1))
    return graph.node("Mean", *answers)


def _dense(graph: _Graph, code: DenseCode) -> str:
    """`DenseCode.encode` in ONNX."""
    parts = []
    if len(code.numbers):
        amounts = graph.node("Gather", "x", graph.constant(code.numbers, np.int64), axis=1)
        filled = graph.node("Where", graph.node("IsNaN", amounts), graph.constant(code.medians), amounts)
        centred = graph.node("Sub", filled, graph.constant(code.means))
        scaled = graph.node("Div", centred, graph.constant(code.scales))
        scaled = graph.node("Clip", scaled, graph.constant(-FURTHEST), graph.constant(FURTHEST))
        column = graph.node("Unsqueeze", scaled, graph.constant([2], np.int64))
        bent = graph.node("Relu", graph.node("Sub", column, graph.constant(code.knots)))
        flat = graph.node("Reshape", bent, graph.constant([-1, code.knots.size], np.int64))
        parts += [scaled, flat]
    for column_number, size in zip(code.categories.tolist(), code.sizes.tolist(), strict=True):
        column = graph.node("Gather", "x", graph.constant([column_number], np.int64), axis=1)
        same = graph.node("Equal", column, graph.constant(np.arange(size)))
        parts.append(graph.node("Cast", same, to=TensorProto.FLOAT))
    if len(code.gaps):
        gaps = graph.node("IsNaN", graph.node("Gather", "x", graph.constant(code.gaps, np.int64), axis=1))
        parts.append(graph.node("Cast", gaps, to=TensorProto.FLOAT))
    return graph.node("Concat", *parts, axis=1)
