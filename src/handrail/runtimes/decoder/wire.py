"""ONNX messages written by hand: so that a graph can be made where the package onnx is not."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

FLOAT, UINT8, INT32, INT64, FLOAT16 = 1, 2, 6, 7, 10
ELEMENTS: Final = {"float32": FLOAT, "uint8": UINT8, "int32": INT32, "int64": INT64, "float16": FLOAT16}
IR_VERSION: Final = 10
Value = int | float | str
Dimension = int | str


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], domain: str, settings: Mapping[str, Value]) -> bytes:
    """A NodeProto; an input called "" is one that is left out."""
    return b"".join(
        [
            *(_text(1, name) for name in inputs),
            *(_text(2, name) for name in outputs),
            _text(3, f"{kind}_{outputs[0]}"),
            _text(4, kind),
            *(_block(5, _attribute(name, value)) for name, value in settings.items()),
            _text(7, domain),
        ]
    )


def outside(name: str, element: str, shape: Sequence[int], place: Mapping[str, str]) -> bytes:
    """A TensorProto whose numbers lie in a file: its `location`, `offset` and `length` in bytes.

    A location that is no file is one for numbers that are handed over when the session is made.
    """
    size = b"".join(_number(1, length) for length in shape)
    parts = b"".join(_block(13, _text(1, key) + _text(2, said)) for key, said in place.items())
    return size + _number(2, ELEMENTS[element]) + _text(8, name) + parts + _number(14, 1)


def constant(name: str, values: Sequence[int], *, scalar: bool = False) -> bytes:
    """A small TensorProto of int64 with its numbers inside."""
    raw = struct.pack(f"<{len(values)}q", *values)
    size = b"" if scalar else _number(1, len(values))
    return size + _number(2, INT64) + _text(8, name) + _block(9, raw)


def value(name: str, element: int, shape: Sequence[Dimension]) -> bytes:
    """A ValueInfoProto: an input or output of the graph. A dimension with a name is any size."""
    sizes = (_text(2, item) if isinstance(item, str) else _number(1, item) for item in shape)
    tensor = _number(1, element) + _block(2, b"".join(_block(1, size) for size in sizes))
    return _text(1, name) + _block(2, _block(1, tensor))


def model(
    nodes: Iterable[bytes], constants: Iterable[bytes], inputs: Iterable[bytes], outputs: Iterable[bytes]
) -> bytes:
    """A ModelProto with one graph."""
    fields = ((1, nodes), (5, constants), (11, inputs), (12, outputs))
    graph = _text(2, "decoder") + b"".join(_block(number, item) for number, items in fields for item in items)
    opsets = _block(8, _number(2, 20)) + _block(8, _text(1, "com.microsoft") + _number(2, 1))
    return _number(1, IR_VERSION) + _block(7, graph) + opsets


def _attribute(name: str, setting: Value) -> bytes:
    if isinstance(setting, str):
        return _text(1, name) + _text(4, setting) + _number(20, 3)
    if isinstance(setting, float):
        return _text(1, name) + _key(2, 5) + struct.pack("<f", setting) + _number(20, 1)
    return _text(1, name) + _number(3, setting) + _number(20, 2)


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _number(number: int, amount: int) -> bytes:
    return _key(number, 0) + _varint(amount & 0xFFFFFFFFFFFFFFFF)


def _text(number: int, text: str) -> bytes:
    return _block(number, text.encode())


def _block(number: int, content: bytes) -> bytes:
    return _key(number, 2) + _varint(len(content)) + content


def _varint(amount: int) -> bytes:
    found = bytearray()
    while amount > 0x7F:
        found.append(amount & 0x7F | 0x80)
        amount >>= 7
    found.append(amount)
    return bytes(found)
