"""A bundle opens only when it is exactly what its manifest says."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from handrail.core.bundle import Manifest, open_bundle, strict_json, write_bundle
from handrail.core.errors import HandrailError
from handrail.core.field import Field
from handrail.core.signature import Output, Signature

MANIFEST = Manifest(
    "reviews", "text-classification", Signature((Field("text", "text"),), Output("label", "label", ("a", "b")))
)
FILES = {"weights/model.onnx": b"weights", "encode/words.json": b"[]", "report.json": b"{}"}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", MANIFEST, FILES)
    bundle = open_bundle(tmp_path / "b")
    assert bundle.manifest.signature == MANIFEST.signature
    assert {name: bundle.read(name) for name in FILES} == FILES


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    write_bundle(tmp_path / "a", MANIFEST, FILES)
    write_bundle(tmp_path / "b", MANIFEST, dict(reversed(FILES.items())))
    assert (tmp_path / "a/manifest.json").read_bytes() == (tmp_path / "b/manifest.json").read_bytes()


@pytest.mark.parametrize(
    "name", ["../x.json", "weights/model.pkl", "weights/a/b.onnx", "code/run.py", "/etc/passwd", "REPORT.json"]
)
def test_a_member_of_another_kind_is_never_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a member"):
        write_bundle(tmp_path / "b", MANIFEST, {name: b""})


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", MANIFEST, FILES)
    (tmp_path / "b/weights/model.onnx").write_bytes(b"weightz")
    with pytest.raises(HandrailError, match=r"checksum mismatch in weights/model\.onnx"):
        open_bundle(tmp_path / "b").read("weights/model.onnx")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": NaN}', "NaN"),
        (b"[" * 65 + b"]" * 65, "deeper than 64"),
        (b"[" * 100_000, "deeper than 64"),
        ('{"a": 1}'.encode("utf-16"), "not valid JSON"),
        (b"", "not valid JSON"),
    ],
)
def test_json_is_read_strictly(raw: bytes, said: str) -> None:
    with pytest.raises(HandrailError, match=said):
        strict_json(raw, Path("x"), "manifest.json")


def test_brackets_inside_texts_are_not_depth() -> None:
    assert strict_json(b'["' + b"[" * 500 + b'\\""]', Path("x"), "m") == ["[" * 500 + '"']


@pytest.mark.parametrize("text", [b'"\\\\"', b'"\\\\\\""', b'"]]]"', b'""', b'"\\u005b"'])
def test_depth_is_counted_behind_texts_with_escapes(text: bytes) -> None:
    deep, shallow = (b"[" + text + b"," + b"[" * more + b"]" * more + b"]" for more in (64, 63))
    assert strict_json(shallow, Path("x"), "m")
    with pytest.raises(HandrailError, match="deeper than 64"):
        strict_json(deep, Path("x"), "m")


@pytest.mark.parametrize("filler", [b'\\"', b'"', b"\\", b"[]", b'"[" '], ids=range(5))
def test_any_eight_megabytes_are_judged_at_once(filler: bytes) -> None:
    raw = b"[" + b"[]," * 70 + b'"' + filler * (8 * 2**20 // len(filler))
    started = time.process_time()
    with pytest.raises(HandrailError):
        strict_json(raw, Path("x"), "m")
    assert time.process_time() - started < 1.0
