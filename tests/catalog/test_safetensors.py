"""Safetensors are looked at only where they fit exactly, and only when they are asked for."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handrail.catalog.safetensors import Tensors, read_safetensors
from handrail.catalog.safetensors_writing import write_safetensors
from handrail.core.errors import HandrailError


def whole(header: Any, data: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def one(kind: str = "F32", shape: Any = (2,), places: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": places}


def test_short_floats_are_given_as_float32() -> None:
    numbers = np.float32([1.0, -2.5, 3.140625, 0.0, 2.0**100])
    content = whole({"a": one("BF16", [5], [0, 10])}, (numbers.view(np.uint32) >> 16).astype("<u2").tobytes())

    np.testing.assert_array_equal(read_safetensors(content, "x")["a"], numbers)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.uint8([1, 2, 3]), "c": np.float32([7])}

    size = write_safetensors(tmp_path / "x.safetensors", tensors.items())
    content = (tmp_path / "x.safetensors").read_bytes()

    found = read_safetensors(content, "x")
    assert size == len(content)
    assert list(found) == list(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(found[name], array)


def test_nothing_is_left_where_writing_fails(tmp_path: Path) -> None:
    def tensors() -> Any:
        yield "a", np.float32([1])
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        write_safetensors(tmp_path / "x.safetensors", tensors())

    assert list(tmp_path.iterdir()) == []


def test_a_tensor_is_looked_at_when_it_is_asked_for() -> None:
    content = whole({"good": one(), "bad": one(places=[8, 16])}, np.float32([1, 2, np.nan, 4]).tobytes())

    found = Tensors(content, "x")

    assert set(found) == {"good", "bad"}
    assert found["good"].tolist() == [1, 2]
    with pytest.raises(HandrailError, match="NaN"):
        found["bad"]
    with pytest.raises(HandrailError, match="NaN"):
        read_safetensors(content, "x")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\0\0\0", struct.pack("<Q", 2**60), struct.pack("<Q", 2**20) + b"{}", whole(b"[]"), whole(b"{"),
        whole(b'{"a": NaN}'), whole(b"[" * 100_000), whole({"a": 1}), whole({"a": {}}),
        whole({"a": one("F8")}, bytes(8)), whole({"a": one(["F32"])}, bytes(8)), whole({"a": one(shape=[3])}, bytes(8)),
        whole({"a": one(shape=[-2])}, bytes(8)), whole({"a": one(shape=[2.0])}, bytes(8)),
        whole({"a": one(shape=[2**62, 2**62])}, bytes(8)), whole({"a": one(shape=[True, 2])}, bytes(8)),
        whole({"a": one(places=[0, 2**60])}, bytes(8)), whole({"a": one(places=[8, 0])}, bytes(8)),
        whole({"a": one(places=[-8, 0])}, bytes(8)), whole({"a": one(places=[0])}, bytes(8)),
        whole({"a": one()}, bytes(7)), whole({"a": one()}, bytes(9)), whole({"a": one(places=[4, 12])}, bytes(12)),
        whole({"a": one(), "b": one()}, bytes(16)), whole({"a": one(), "b": one(places=[4, 12])}, bytes(12)),
        whole({str(number): one(shape=[0], places=[0, 0]) for number in range(10_001)}),
        whole(b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "a": 1}', bytes(8)),
        whole({"a": one(shape=[1] * 7 + [1, 2])}, bytes(8)),
        whole({"a": one(shape=[2**39, 2**39, 0], places=[0, 0])}),
    ],
)  # fmt: skip
def test_a_file_that_lies_is_refused(content: bytes) -> None:
    with pytest.raises(HandrailError, match="damaged safetensors") as caught:
        Tensors(content, "x")

    assert (caught.value.code, caught.value.where) == ("bundle", "x")
