"""Reads safetensors files as untrusted input: every offset is checked before a number is looked at."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from handrail.core.errors import HandrailError
from handrail.core.jsons import value_of

MAX_HEADER_BYTES: Final = 2**20
MAX_TENSORS: Final = 10_000
KINDS: Final = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": np.uint16,  # numpy has no such number: it is given as float32.
    "I64": np.int64,
    "I32": np.int32,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


class Tensors(Mapping[str, np.ndarray]):
    """name → array, looked at and checked for NaN only when it is asked for.

    Arrays are parts of the content, without a copy; those of BF16 are made anew each time, as float32.
    """

    def __init__(self, content: bytes | memoryview, where: str) -> None:
        """Raises HandrailError ("bundle") for anything that does not fit exactly."""
        self._where = where
        try:
            self._places, first = _index(content)
        except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self._damaged(str(error)) from error
        self._data = memoryview(content)[first:]

    def __getitem__(self, name: str) -> np.ndarray:
        """Raises HandrailError ("bundle") where it contains NaN or infinity."""
        kind, shape, begin, end = self._places[name]
        array: np.ndarray = np.frombuffer(self._data[begin:end], dtype=KINDS[kind]).reshape(shape)
        if kind == "BF16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise self._damaged(f"{name[:80]} contains NaN")
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def _damaged(self, problem: str) -> HandrailError:
        return HandrailError("bundle", f"damaged safetensors: {problem}", "fetch it again", where=self._where)


def read_safetensors(content: bytes | memoryview, where: str) -> dict[str, np.ndarray]:
    """name → array, all of them checked. Raises HandrailError ("bundle") for anything that does not fit exactly."""
    return dict(Tensors(content, where))


Place = tuple[str, tuple[int, ...], int, int]


def _index(content: bytes | memoryview) -> tuple[dict[str, Place], int]:
    """Where each tensor lies, and the first byte of all of them."""
    (length,) = struct.unpack_from("<Q", content)
    if length > min(MAX_HEADER_BYTES, len(content) - 8):
        raise ValueError(f"a header of {length:,} bytes")
    header = value_of(bytes(content[8 : 8 + length]).decode("utf-8"))
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise ValueError(f"{len(header):,} tensors")
    places = {name: _place(name, item) for name, item in header.items()}
    end = 0
    for _, _, begin, after in sorted(places.values(), key=lambda place: place[2:]):
        if begin != end:
            raise ValueError("tensors overlap or leave gaps")
        end = after
    if end != len(content) - 8 - length:
        raise ValueError("a tensor lies outside the file, or bytes belong to none")
    return places, 8 + length


def _place(name: str, item: dict[str, Any]) -> Place:
    kind, shape, (begin, end) = item["dtype"], tuple(item["shape"]), item["data_offsets"]
    if kind not in KINDS:
        raise ValueError(f"{name[:80]} holds numbers of the unread kind {str(kind)[:20]}")
    if not all(type(size) is int and 0 <= size < 2**40 for size in [*shape, begin, end]) or len(shape) > 8:
        raise ValueError(f"{name[:80]} has an impossible size")
    if end - begin != math.prod(shape) * np.dtype(KINDS[kind]).itemsize:
        raise ValueError(f"{name[:80]} does not have the bytes that its size needs")
    if begin == end and math.prod(filter(None, shape)) >= 2**40:
        raise ValueError(f"{name[:80]} has an impossible size")
    return kind, shape, begin, end
