"""Reads GGUF files as untrusted input: every size is checked before it is believed, and tensors are read one by one."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from handrail.catalog.gguf_blocks import KINDS, Kind
from handrail.core.errors import HandrailError
from handrail.core.files import plain_file

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
MAX_KEYS: Final = 4096
MAX_TENSORS: Final = 20_000
MAX_ITEMS: Final = 2**21
MAX_NAME_BYTES: Final = 1024
MAX_TEXT_BYTES: Final = 2**20
# What all names and values may take together, so that a file of texts alone cannot fill the memory.
MAX_HEADER_BYTES: Final = 2**28
NUMBERS: Final = {0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 10: "<u8", 11: "<i8", 12: "<f8"}
BOOLEAN, TEXT, LIST = 7, 8, 9


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies. `shape` is in numpy's order: the last dimension is the one whose numbers are neighbours."""

    shape: tuple[int, ...]
    kind: Kind
    start: int

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) // self.kind.numbers * self.kind.room


@dataclass(frozen=True)
class Gguf:
    """An opened file: `metadata` by key (lists of numbers are arrays), `tensors` by name, `read` gives the numbers."""

    path: Path
    metadata: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    def read(self, name: str) -> np.ndarray:
        """A tensor as float32. Raises HandrailError ("data") where the file has changed or holds no numbers."""
        tensor = self.tensors[name]
        with plain_file(self.path, follows=True) as file:
            file.seek(tensor.start)
            content = file.read(tensor.bytes)
        if len(content) != tensor.bytes:
            raise _damaged(self.path, f"{name[:80]} is cut off")
        found = tensor.kind.numbers_of(content).reshape(tensor.shape)
        if not np.isfinite(found).all():
            raise _damaged(self.path, f"{name[:80]} contains NaN or infinity")
        return found


def read_gguf(path: Path) -> Gguf:
    """Opens a GGUF file of version 2 or 3.

    Raises HandrailError ("data") for anything that does not fit exactly: sizes beyond the file, tensors that overlap,
    names given twice, lists of lists, kinds of numbers that are not known.
    """
    # Hubs keep their files behind links.
    with plain_file(path, follows=True) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            reader = _Reader(file, min(size, MAX_HEADER_BYTES))
            tensor_count, key_count = _begin(reader)
            metadata = _once([_pair(reader) for _ in range(key_count)], "key")
            described = _once([_tensor(reader) for _ in range(tensor_count)], "tensor")
            tensors = _placed(described, _first_byte(metadata, reader), size)
        except (ValueError, struct.error) as error:
            raise _damaged(path, str(error)) from error
    return Gguf(path, metadata, tensors)


class _Reader:
    """Takes bytes from the front, never beyond `limit`."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._left = limit
        self.place = 0

    def take(self, count: int) -> bytes:
        if count > self._left:
            raise ValueError(f"{count:,} bytes are announced at byte {self.place:,}, where {self._left:,} may follow")
        content = self._file.read(count)
        if len(content) != count:
            raise ValueError("it is cut off")
        self._left -= count
        self.place += count
        return content

    def number(self, kind: int) -> Any:
        return np.frombuffer(self.take(np.dtype(NUMBERS[kind]).itemsize), NUMBERS[kind])[0].item()

    def count(self, most: int, what: str) -> int:
        (found,) = struct.unpack("<Q", self.take(8))
        if found > most:
            raise ValueError(f"{found:,} {what}, where {most:,} are taken")
        return int(found)

    def text(self, most: int) -> str:
        return self.take(self.count(most, "bytes of text")).decode("utf-8")


def _begin(reader: _Reader) -> tuple[int, int]:
    if reader.take(4) != MAGIC:
        raise ValueError("it does not begin as GGUF does")
    version = reader.number(4)
    if version not in VERSIONS:
        raise ValueError(f"version {version:,}; versions {' and '.join(map(str, VERSIONS))} are read")
    return reader.count(MAX_TENSORS, "tensors"), reader.count(MAX_KEYS, "keys")


def _pair(reader: _Reader) -> tuple[str, Any]:
    key = reader.text(MAX_NAME_BYTES)
    kind = reader.number(4)
    return key, _list(reader, key) if kind == LIST else _value(reader, kind, key)


def _value(reader: _Reader, kind: int, key: str) -> Any:
    if kind == TEXT:
        return reader.text(MAX_TEXT_BYTES)
    if kind == BOOLEAN:
        return reader.number(0) != 0
    if kind not in NUMBERS:
        raise ValueError(f"{key[:80]} is a value of the unknown kind {kind:,}")
    return reader.number(kind)


def _list(reader: _Reader, key: str) -> Any:
    kind = reader.number(4)
    count = reader.count(MAX_ITEMS, f"items in {key[:80]}")
    if kind == LIST:
        raise ValueError(f"{key[:80]} is a list of lists")
    if kind in NUMBERS or kind == BOOLEAN:
        numbers = np.dtype(NUMBERS.get(kind, "u1"))
        return np.frombuffer(reader.take(count * numbers.itemsize), numbers)
    return [_value(reader, kind, key) for _ in range(count)]


def _tensor(reader: _Reader) -> tuple[str, Tensor]:
    name = reader.text(MAX_NAME_BYTES)
    dimensions = reader.number(4)
    if not 1 <= dimensions <= 4:
        raise ValueError(f"{name[:80]} has {dimensions:,} dimensions")
    sizes = [reader.count(2**40, "numbers in a row") for _ in range(dimensions)]
    number = reader.number(4)
    if number not in KINDS:
        known = ", ".join(kind.name for kind in KINDS.values())
        raise ValueError(f"{name[:80]} holds numbers of the unread kind {number:,}; read are {known}")
    kind = KINDS[number]
    if not all(sizes) or sizes[0] % kind.numbers:
        raise ValueError(f"{name[:80]} has an impossible size")
    return name, Tensor(tuple(reversed(sizes)), kind, reader.count(2**62, "bytes before a tensor"))


def _first_byte(metadata: Mapping[str, Any], reader: _Reader) -> tuple[int, int]:
    """Where tensors begin, and the multiple of bytes at which each of them lies."""
    step = metadata.get("general.alignment", 32)
    if type(step) is not int or not 1 <= step <= 2**16 or step & (step - 1):
        raise ValueError(f"an impossible alignment: {str(step)[:40]}")
    return -(-reader.place // step) * step, step


def _placed(described: Mapping[str, Tensor], begin: tuple[int, int], size: int) -> dict[str, Tensor]:
    """Tensors with their places from the file's first byte; none lies outside or on another."""
    first, step = begin
    end = first
    placed = {}
    for name, tensor in sorted(described.items(), key=lambda item: item[1].start):
        if tensor.start % step:
            raise ValueError(f"{name[:80]} does not lie at a multiple of {step}")
        found = Tensor(tensor.shape, tensor.kind, first + tensor.start)
        if found.start < end:
            raise ValueError(f"{name[:80]} overlaps another tensor")
        end = found.start + found.bytes
        if end > size:
            raise ValueError(f"{name[:80]} lies outside the file")
        placed[name] = found
    return placed


def _once(pairs: list[tuple[str, Any]], what: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(f"a {what} is given twice")
    return found


def _damaged(path: Path, problem: str) -> HandrailError:
    return HandrailError("data", f"not a GGUF file that can be read: {problem}", "fetch it again", where=str(path))
