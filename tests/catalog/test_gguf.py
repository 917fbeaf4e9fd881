"""GGUF files are read to the last bit, and believed in nothing that they only say."""

from __future__ import annotations

import base64
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handrail.catalog.gguf import read_gguf
from handrail.catalog.gguf_blocks import KINDS
from handrail.core.errors import HandrailError

BLOCKS = json.loads((Path(__file__).parent / "gguf_blocks.json").read_text())
NUMBERS = {"F32": 0, "F16": 1, "Q8_0": 8}


def text(content: str | bytes) -> bytes:
    raw = content.encode() if isinstance(content, str) else content
    return struct.pack("<Q", len(raw)) + raw


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def described(name: str, sizes: list[int], kind: int, place: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, place)


def whole(
    pairs: list[bytes], tensors: list[bytes], data: bytes = b"", *, version: int = 3, step: int = 32,
    counts: tuple[int, int] | None = None,
) -> bytes:  # fmt: skip
    tensor_count, pair_count = counts or (len(tensors), len(pairs))
    head = b"GGUF" + struct.pack("<IQQ", version, tensor_count, pair_count) + b"".join(pairs) + b"".join(tensors)
    return head.ljust(-(-len(head) // step) * step, b"\0") + data


ONE = [described("a", [4, 2], 0, 0)]
EIGHT = np.arange(8, dtype="<f4").tobytes()


def read(folder: Path, content: bytes) -> Any:
    path = folder / "x.gguf"
    path.write_bytes(content)
    return read_gguf(path)


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_are_opened_to_the_last_bit(name: str) -> None:
    kind = next(kind for kind in KINDS.values() if kind.name == name)
    content, numbers = (base64.b64decode(BLOCKS[name][part]) for part in ("blocks", "numbers"))

    np.testing.assert_array_equal(kind.numbers_of(content), np.frombuffer(numbers, "<f4"))


def test_every_kind_is_checked_against_the_format() -> None:
    assert {kind.name for kind in KINDS.values()} == set(BLOCKS)


@pytest.mark.parametrize("version", [2, 3])
def test_values_and_tensors_are_read(tmp_path: Path, version: int) -> None:
    pairs = [
        pair("t", 8, text("größe")), pair("u", 4, struct.pack("<I", 7)), pair("f", 6, struct.pack("<f", 0.5)),
        pair("b", 7, b"\1"), pair("texts", 9, struct.pack("<IQ", 8, 2) + text("x") + text("y")),
        pair("numbers", 9, struct.pack("<IQ", 5, 3) + struct.pack("<3i", -1, 0, 1)),
    ]  # fmt: skip
    found = read(tmp_path, whole(pairs, ONE, EIGHT, version=version))

    assert {key: found.metadata[key] for key in ("t", "u", "f", "b")} == {"t": "größe", "u": 7, "f": 0.5, "b": True}
    assert found.metadata["texts"] == ["x", "y"]
    assert found.metadata["numbers"].tolist() == [-1, 0, 1]
    np.testing.assert_array_equal(found.read("a"), np.arange(8, dtype=np.float32).reshape(2, 4))


def test_tensors_lie_where_the_alignment_says(tmp_path: Path) -> None:
    pairs = [pair("general.alignment", 4, struct.pack("<I", 128))]
    tensors = [described("a", [2], 0, 0), described("b", [2], 0, 128)]
    data = np.float32([1, 2]).tobytes().ljust(128, b"\0") + np.float32([3, 4]).tobytes()

    found = read(tmp_path, whole(pairs, tensors, data, step=128))

    assert (found.read("a").tolist(), found.read("b").tolist()) == ([1, 2], [3, 4])


def lies() -> dict[str, tuple[bytes, str]]:
    """Files that lie, and what is said of each."""
    huge = struct.pack("<Q", 2**60)
    step = [pair("general.alignment", 4, struct.pack("<I", 0))]
    return {
        "nothing": (b"", "announced"),
        "another format": (b"PK\3\4" + b"\0" * 60, "does not begin"),
        "cut off in the head": (whole([], ONE)[:20], "announced"),
        "an old version": (whole([], [], version=1), "version 1"),
        "a version in another byte order": (whole([], [], version=3 << 24), "version"),
        "tensors without number": (whole([], [], counts=(2**60, 0)), "tensors"),
        "more tensors than bytes": (whole([], [], counts=(19_000, 0)), "not a GGUF"),
        "keys without number": (whole([], [], counts=(0, 2**60)), "keys"),
        "a key of 2^60 bytes": (whole([huge], []), "bytes of text"),
        "a text of 2^60 bytes": (whole([text("k") + struct.pack("<I", 8) + huge], []), "bytes of text"),
        "a text longer than the file": (whole([pair("k", 8, struct.pack("<Q", 9_000) + b"ab")], []), "announced"),
        "a text that is no text": (whole([pair("k", 8, text(b"\xff\xfe"))], []), "utf-8"),
        "a value of an unknown kind": (whole([pair("k", 99, b"")], []), "unknown kind 99"),
        "a list of 2^60 numbers": (whole([pair("k", 9, struct.pack("<IQ", 4, 2**60))], []), "items in k"),
        "a list longer than the file": (whole([pair("k", 9, struct.pack("<IQ", 12, 2**20))], []), "announced"),
        "a list of lists": (whole([pair("k", 9, struct.pack("<IQ", 9, 1))], []), "list of lists"),
        "a list of an unknown kind": (whole([pair("k", 9, struct.pack("<IQ", 77, 1))], []), "unknown kind 77"),
        "a key given twice": (whole([pair("k", 7, b"\0"), pair("k", 7, b"\1")], []), "key is given twice"),
        "a tensor given twice": (whole([], ONE * 2, EIGHT), "tensor is given twice"),
        "no alignment": (whole(step, ONE, EIGHT), "alignment"),
        "an odd alignment": (whole([pair("general.alignment", 4, struct.pack("<I", 33))], ONE, EIGHT), "alignment"),
        "an alignment that is a text": (whole([pair("general.alignment", 8, text("32"))], ONE, EIGHT), "alignment"),
        "a tensor without dimensions": (whole([], [described("a", [], 0, 0)], EIGHT), "0 dimensions"),
        "a tensor of 2^31 dimensions": (whole([], [text("a") + struct.pack("<I", 2**31)]), "dimensions"),
        "a tensor of no numbers": (whole([], [described("a", [4, 0], 0, 0)], EIGHT), "impossible size"),
        "a tensor of too many": (whole([], [described("a", [2**40, 2**40], 0, 0)], EIGHT), "outside the file"),
        "a row of 2^63": (whole([], [described("a", [2**63], 0, 0)], EIGHT), "numbers in a row"),
        "half a block": (whole([], [described("a", [33], 8, 0)], b"\0" * 99), "impossible size"),
        "an unknown kind of numbers": (whole([], [described("a", [8], 19, 0)], EIGHT), "unread kind 19"),
        "a tensor behind the end": (whole([], [described("a", [4, 2], 0, 32)], EIGHT), "outside the file"),
        "a tensor far behind the end": (whole([], [described("a", [4, 2], 0, 2**62)], EIGHT), "outside the file"),
        "a place between two steps": (whole([], [described("a", [4], 0, 4)], EIGHT), "multiple of 32"),
        "tensors that overlap": (whole([], [*ONE, described("b", [4], 0, 0)], EIGHT * 2), "overlaps"),
        "a tensor cut off": (whole([], ONE, EIGHT[:-1]), "outside the file"),
    }  # fmt: skip


@pytest.mark.parametrize("lie", lies())
def test_a_file_that_lies_is_refused(tmp_path: Path, lie: str) -> None:
    content, said = lies()[lie]

    with pytest.raises(HandrailError, match=said) as caught:
        read(tmp_path, content)

    assert caught.value.code == "data"
    assert len(caught.value.problem) < 300


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(tmp_path: Path, number: float) -> None:
    found = read(tmp_path, whole([], ONE, np.full(8, number, "<f4").tobytes()))

    with pytest.raises(HandrailError, match="NaN or infinity"):
        found.read("a")


def test_a_scale_that_is_no_number_is_refused(tmp_path: Path) -> None:
    found = read(tmp_path, whole([], [described("a", [32], 8, 0)], b"\xff" * 34))

    with pytest.raises(HandrailError, match="NaN or infinity"):
        found.read("a")


def test_a_file_that_shrinks_after_it_was_opened_is_refused(tmp_path: Path) -> None:
    found = read(tmp_path, whole([], ONE, EIGHT))
    os.truncate(found.path, 70)

    with pytest.raises(HandrailError, match="cut off"):
        found.read("a")


@pytest.mark.parametrize("made", [lambda path: path.mkdir(), os.mkfifo, lambda path: None])
def test_what_is_no_plain_file_is_refused(tmp_path: Path, made: Callable[[Path], None]) -> None:
    made(tmp_path / "x.gguf")

    with pytest.raises(HandrailError) as caught:
        read_gguf(tmp_path / "x.gguf")

    assert caught.value.code == "data"


def test_what_a_link_points_at_is_read(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(whole([], ONE, EIGHT))
    (tmp_path / "x.gguf").symlink_to("blob")

    assert read_gguf(tmp_path / "x.gguf").read("a").shape == (2, 4)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.integers(0, 400))
def test_a_changed_byte_is_refused_or_harmless(tmp_path: Path, place: int, byte: int, cut: int) -> None:
    pairs = [pair("k", 8, text("value")), pair("l", 9, struct.pack("<IQ", 8, 2) + text("x") + text("y"))]
    content = bytearray(whole(pairs, [*ONE, described("b", [32], 8, 32)], EIGHT + b"\0" * 34))
    content[place % len(content)] = byte
    if cut < len(content):
        del content[len(content) - cut :]

    try:
        found = read(tmp_path, bytes(content))
        for name in found.tensors:
            found.read(name)
    except HandrailError as error:
        assert error.code == "data"
