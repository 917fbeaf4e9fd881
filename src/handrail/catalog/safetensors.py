"""Reads safetensors files as untrusted input: every offset is checked before a number is looked at."""

from __future__ import annotations

import json
import math
import struct
from typing import Any, Final

import numpy as np

from handrail.core.errors import HandrailError

MAX_HEADER_BYTES: Final = 2**20
MAX_TENSORS: Final = 10_000
KINDS: Final = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "I64": np.int64,
    "I32": np.int32,
    "U8": np.uint8,
}


def read_safetensors(content: bytes | memoryview, where: str) -> dict[str, np.ndarray]:
    """name → array, without copies. Raises HandrailError ("bundle") for anything that does not fit exactly."""
    try:
        (length,) = struct.unpack_from("<Q", content)
        if length > min(MAX_HEADER_BYTES, len(content) - 8):
            raise ValueError(f"a header of {length:,} bytes")
        header = json.loads(bytes(content[8 : 8 + length]).decode("utf-8"), object_pairs_hook=_once)
        header.pop("__metadata__", None)
        if len(header) > MAX_TENSORS:
            raise ValueError(f"{len(header):,} tensors")
        data = memoryview(content)[8 + length :]
        found = {name: _tensor(name, item, data) for name, item in header.items()}
        if sum(array.nbytes for array in found.values()) != len(data):
            raise ValueError("tensors overlap or leave gaps")
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise HandrailError("bundle", f"damaged safetensors: {error}", "fetch it again", where=where) from error
    return found


def _tensor(name: str, item: dict[str, Any], data: memoryview) -> np.ndarray:
    kind, shape, (begin, end) = KINDS[item["dtype"]], item["shape"], item["data_offsets"]
    if not all(type(size) is int and 0 <= size < 2**40 for size in [*shape, begin, end]):
        raise ValueError(f"{name[:80]} has an impossible size")
    if not begin <= end <= len(data) or end - begin != math.prod(shape) * np.dtype(kind).itemsize:
        raise ValueError(f"{name[:80]} lies outside the file")
    array: np.ndarray = np.frombuffer(data[begin:end], dtype=kind).reshape(shape)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name[:80]} contains NaN")
    return array


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found
