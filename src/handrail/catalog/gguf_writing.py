"""Writes GGUF files tensor by tensor: numbers as they are (F32), halved (F16), or as whole numbers in blocks (Q8_0)."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from handrail.core.files import drafted_file

MAGIC: Final = b"GGUF"
VERSION: Final = 3
ALIGNMENT: Final = 32
# The format's numbers for the kinds of tensors, and the bytes that a block of so many numbers takes.
KINDS: Final = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q8_0": (8, 32, 34)}
FILE_TYPES: Final = {16: 1, 8: 7}
TEXT, LIST = 8, 9


@dataclass(frozen=True)
class Described:
    """A tensor to be written: its shape in numpy's order, its kind, and what gives its numbers as float32."""

    name: str
    shape: tuple[int, ...]
    kind: str
    numbers: Callable[[], np.ndarray]

    @property
    def bytes(self) -> int:
        _, count, room = KINDS[self.kind]
        return math.prod(self.shape) // count * room


def kind_for(shape: Sequence[int], bits: int) -> str:
    """How a tensor is kept in a file of 16 or 8 bits: vectors stay as they are, and what does not fit into blocks."""
    if len(shape) < 2:
        return "F32"
    return "Q8_0" if bits == 8 and shape[-1] % KINDS["Q8_0"][1] == 0 else "F16"


def write_gguf(path: Path, metadata: Mapping[str, Any], tensors: Sequence[Described]) -> None:
    """Writes a file of version 3, whole or not at all. Texts, booleans, whole numbers, floats and lists of them."""
    with drafted_file(path) as file:
        file.write(MAGIC + struct.pack("<IQQ", VERSION, len(tensors), len(metadata)))
        for key, value in metadata.items():
            file.write(_text(key) + _value(value))
        place = 0
        for tensor in tensors:
            sizes = [len(tensor.shape), *reversed(tensor.shape), KINDS[tensor.kind][0], place]
            file.write(_text(tensor.name) + struct.pack(f"<I{len(tensor.shape)}QIQ", *sizes))
            place += _padded(tensor.bytes)
        _pad(file)
        for tensor in tensors:
            file.write(_packed(tensor))
            _pad(file)


def _packed(tensor: Described) -> bytes:
    numbers = np.ascontiguousarray(tensor.numbers(), np.float32)
    if numbers.shape != tensor.shape:
        raise ValueError(f"{tensor.name}: {numbers.shape} instead of {tensor.shape}")
    if tensor.kind == "F32":
        return numbers.astype("<f4").tobytes()
    return numbers.astype("<f2").tobytes() if tensor.kind == "F16" else _in_blocks(numbers)


def _in_blocks(numbers: np.ndarray) -> bytes:
    """32 numbers share a scale: the largest of them becomes 127."""
    blocks = numbers.reshape(-1, 32)
    scales = (np.abs(blocks).max(axis=1, keepdims=True) / 127).astype("<f2")
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = np.where(scales > 0, np.round(blocks / scales.astype(np.float32)), 0)
    packed = np.empty((len(blocks), 34), np.uint8)
    packed[:, :2] = scales.view(np.uint8)
    packed[:, 2:] = np.clip(whole, -127, 127).astype(np.int8).view(np.uint8)
    return packed.tobytes()


def _value(value: Any) -> bytes:
    """A value with its kind in front: the first that fits."""
    if isinstance(value, str):
        return struct.pack("<I", TEXT) + _text(value)
    if isinstance(value, np.ndarray):
        kind, element = (6, "<f4") if value.dtype.kind == "f" else (5, "<i4")
        return struct.pack("<IIQ", LIST, kind, len(value)) + value.astype(element).tobytes()
    if isinstance(value, list):
        return struct.pack("<IIQ", LIST, TEXT, len(value)) + b"".join(map(_text, value))
    if isinstance(value, bool):
        return struct.pack("<IB", 7, value)
    return struct.pack("<II", 4, value) if isinstance(value, int) else struct.pack("<If", 6, value)


def _text(text: str) -> bytes:
    content = text.encode("utf-8")
    return struct.pack("<Q", len(content)) + content


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _pad(file: BinaryIO) -> None:
    file.write(b"\0" * (_padded(file.tell()) - file.tell()))
