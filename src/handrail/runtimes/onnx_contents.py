"""What an ONNX file asks for, read from its bytes before a runtime sees them.

A graph from a stranger may loop for ever, open files by name or bring code of a plug-in. So it may use the operators
that our exporters write and nothing else: no loops, no branches, no functions, no weights in other files.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

MAX_NODES: Final = 100_000
OPERATORS: Final = frozenset(
    [
        "Add",
        "Cast",
        "Clip",
        "Concat",
        "Constant",
        "Div",
        "Equal",
        "Exp",
        "Flatten",
        "Gather",
        "Gelu",
        "Gemm",
        "Identity",
        "IsNaN",
        "LayerNormalization",
        "Log",
        "LpNormalization",
        "MatMul",
        "Mean",
        "Mul",
        "ReduceMean",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Shape",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "Tanh",
        "Transpose",
        "Unsqueeze",
        "Where",
        "ai.onnx.ml.TreeEnsemble",
        "com.microsoft.Attention",
    ]
)
# Field numbers of the messages in onnx.proto.
MODEL_GRAPH, MODEL_TRAINING, MODEL_FUNCTIONS = 7, 20, 25
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_SPARSE = 1, 5, 15
NODE_OPERATOR, NODE_ATTRIBUTE, NODE_DOMAIN = 4, 5, 7
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH, ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPHS, ATTRIBUTE_SPARSE = 5, 6, 10, 11, 22
TENSOR_EXTERNAL, TENSOR_LOCATION = 13, 14
VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5


def refuse_foreign(content: bytes) -> None:
    """Raises ValueError that says what a graph of ours never has."""
    graphs = 0
    for number, value in _fields(memoryview(content)):
        if number in (MODEL_TRAINING, MODEL_FUNCTIONS):
            raise ValueError("it brings functions of its own")
        if number == MODEL_GRAPH:
            graphs += 1
            _check_graph(_message(value))
    if graphs != 1:
        raise ValueError("it has no graph" if not graphs else "it has several graphs")


def _check_graph(graph: memoryview) -> None:
    nodes = 0
    for number, value in _fields(graph):
        if number == GRAPH_NODE:
            nodes += 1
            _check_node(_message(value))
        elif number == GRAPH_INITIALIZER:
            _check_tensor(_message(value))
        elif number == GRAPH_SPARSE:
            raise ValueError("it has sparse weights")
        if nodes > MAX_NODES:
            raise ValueError(f"it has more than {MAX_NODES:,} nodes")


def _check_node(node: memoryview) -> None:
    operator = domain = ""
    for number, value in _fields(node):
        if number == NODE_OPERATOR:
            operator = bytes(_message(value)).decode()
        elif number == NODE_DOMAIN:
            domain = bytes(_message(value)).decode()
        elif number == NODE_ATTRIBUTE:
            _check_attribute(_message(value))
    name = operator if domain in ("", "ai.onnx") else f"{domain}.{operator}"
    if name not in OPERATORS:
        raise ValueError(f"it uses the operator {ascii(name)[:80]}, which is not allowed")


def _check_attribute(attribute: memoryview) -> None:
    for number, value in _fields(attribute):
        if number in (ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS, ATTRIBUTE_SPARSE):
            raise ValueError("it has a graph inside a node")
        if number in (ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS):
            _check_tensor(_message(value))


def _check_tensor(tensor: memoryview) -> None:
    for number, value in _fields(tensor):
        if number == TENSOR_EXTERNAL or (number == TENSOR_LOCATION and value):
            raise ValueError("its weights are in another file")


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The number and value of each field, as protobuf's wire format has them."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        if kind == VARINT:
            value, place = _varint(message, place)
            yield key >> 3, value
            continue
        if kind == BYTES:
            size, place = _varint(message, place)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            size = 8 if kind == EIGHT_BYTES else 4
        else:
            raise ValueError("it is no protobuf")
        if size > len(message) - place:
            raise ValueError("it is cut off")
        yield key >> 3, message[place : place + size]
        place += size


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(message) and shift < 70:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    raise ValueError("it is cut off")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("it is no ONNX")
    return value
