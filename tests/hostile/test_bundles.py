"""Bundles and archives made by an enemy: B1–B16 of the hostile suite."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pickle
import shutil
import stat
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from handrail.core import files
from handrail.core.bundle import MANIFEST
from handrail.core.errors import HandrailError
from handrail.model import load
from handrail.store import Store
from tests.faces.conftest import Cli
from tests.serve.bundles import ROW, make_bundle

Members = dict[str, bytes]
WEIGHTS = "weights/model.onnx"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Members:
    """The members of a sound bundle."""
    folder = tmp_path_factory.mktemp("sound") / "churn"
    make_bundle(folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def import_(tmp_path: Path, cli: Cli, home: Path) -> Callable[..., Any]:
    """Runs `handrail import` on an archive with these bytes, and sees to it that a refusal leaves nothing behind."""

    def call(content: bytes) -> Any:
        archive = tmp_path / "given.handrail"
        archive.write_bytes(content)
        done = cli("import", str(archive))
        if done.status:
            assert Store(home).names() == []
            assert not [path for path in home.rglob("*") if path.name.startswith(".draft-")]
        return done

    return call


def packed(members: Mapping[str, bytes], **settings: Any) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in members.items():
            zipped.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def told(members: Members, changes: Mapping[str, bytes]) -> Members:
    """The members with changes, their new hashes in the manifest: what somebody does who knows the format."""
    kept = {**members, **changes}
    manifest = json.loads(members[MANIFEST])
    manifest["files"] = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in kept.items()
        if name != MANIFEST
    }
    return {**kept, MANIFEST: json.dumps(manifest).encode()}


def with_manifest(members: Members, change: Callable[[dict[str, Any]], object]) -> Members:
    manifest = json.loads(members[MANIFEST])
    change(manifest)
    return {**members, MANIFEST: json.dumps(manifest).encode()}


def test_a_sound_archive_is_imported(sound: Members, import_: Any, home: Path) -> None:
    assert import_(packed(sound)).status == 0
    assert load("churn")(ROW)["label"] in ("no", "yes")


# B1: code


class Marker:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("member", ["manifest.json", "report.json", "examples.json", WEIGHTS])
def test_a_pickle_in_place_of_a_member_never_runs(member: str, sound: Members, import_: Any, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    evil = pickle.dumps(Marker(marker))
    done = import_(packed({**sound, MANIFEST: evil} if member == MANIFEST else told(sound, {member: evil})))
    if member != "report.json":
        done.refused(4)
    load_and_report(done, import_, tmp_path)
    assert not marker.exists()


def load_and_report(done: Any, import_: Any, tmp_path: Path) -> None:
    """Where a member is only looked at later, it is refused then, in words."""
    if done.status == 0:
        with pytest.raises(HandrailError):
            _ = load("churn").report


@pytest.mark.parametrize("name", ["weights/model.pkl", "code/run.py", "setup.py", "weights/model.pt", "model.joblib"])
def test_a_member_that_could_be_code_is_not_allowed(name: str, sound: Members, import_: Any) -> None:
    import_(packed(told(sound, {name: b"import os"}))).refused(4, "not allowed", name)


# B2, B3: damage


def test_every_flipped_byte_is_noticed(sound: Members, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    rng = np.random.default_rng(0)
    for member, content in sound.items():
        if member == MANIFEST:
            continue
        for place in rng.integers(0, len(content), 25):
            unpack(sound, folder)
            damaged = bytearray(content)
            damaged[place] ^= 1
            (folder / member).write_bytes(bytes(damaged))
            with pytest.raises(HandrailError, match=f"checksum mismatch in {member}"):
                load(folder).check()


def test_every_truncated_archive_is_refused(sound: Members, import_: Any) -> None:
    whole = packed(sound)
    for size in range(0, len(whole), max(1, len(whole) // 40)):
        import_(whole[:size]).refused(4)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 100, os.urandom(5000), b"\xff\xd8\xff\xe0JFIF", b"PK\x03\x04", b"PK\x05\x06" + b"\0" * 18],
    ids=["empty", "zeros", "random", "jpeg", "start of a zip", "zip of nothing"],
)
def test_what_is_no_archive_is_refused(content: bytes, import_: Any) -> None:
    import_(content).refused(4)


def test_a_zip_in_a_zip_is_refused(sound: Members, import_: Any) -> None:
    import_(packed({"churn.zip": packed(sound)})).refused(4, "no manifest.json")


# B4, B5, B6: members and names


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("extra.json", "not allowed"),
        ("REPORT.json", "twice"),
        ("../evil.json", "not allowed"),
        ("/etc/cron.d/evil", "not allowed"),
        ("weights\\evil.onnx", "not allowed"),
        ("C:/evil.json", "not allowed"),
        ("weights/../../evil.json", "not allowed"),
        ("weights/evil.onnx\0.json", "not allowed"),
        ("\x1b[31mred", "not allowed"),
        ("weights/", "no plain file"),
    ],
)
def test_a_member_with_another_name_is_refused(
    name: str, said: str, sound: Members, import_: Any, tmp_path: Path
) -> None:
    import_(packed({**sound, name: b"{}"})).refused(4, said)
    assert not list(tmp_path.parent.rglob("evil*"))


@pytest.mark.parametrize("name", ["../evil.json", "/tmp/evil.json", "weights/../x.json", "weights/a/b.onnx", ".hidden"])
def test_a_manifest_that_lists_another_name_is_refused(name: str, sound: Members, import_: Any) -> None:
    import_(packed(told(sound, {name: b"{}"}))).refused(4, "not allowed")


@pytest.mark.parametrize("member", ["examples.json", "report.json", WEIGHTS, MANIFEST])
def test_a_missing_member_is_named(member: str, sound: Members, import_: Any) -> None:
    import_(packed({name: data for name, data in sound.items() if name != member})).refused(4, member)


def test_a_member_that_is_there_twice_is_refused(sound: Members, import_: Any) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped, pytest.warns(UserWarning, match="Duplicate"):
        for name, data in [*sound.items(), ("report.json", b'{"evil": 1}')]:
            zipped.writestr(name, data)
    import_(content.getvalue()).refused(4, "twice")


def test_a_million_members_are_refused_at_the_limit(import_: Any) -> None:
    content = packed({f"m{number}": b"" for number in range(5_000)})
    began = time.monotonic()
    import_(content).refused(4, "more than 64")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK, stat.S_IFDIR], ids=hex
)
def test_a_member_that_is_no_plain_file_is_refused(mode: int, sound: Members, import_: Any) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped:
        for name, data in sound.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = ((mode if name == WEIGHTS else stat.S_IFREG) | 0o6777) << 16
            zipped.writestr(entry, b"/etc/passwd" if name == WEIGHTS else data)
    import_(content.getvalue()).refused(4, "no plain file", WEIGHTS)


def test_modes_in_an_archive_are_not_taken_over(sound: Members, import_: Any, home: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped:
        for name, data in sound.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (stat.S_IFREG | 0o6777) << 16
            zipped.writestr(entry, data)
    assert import_(content.getvalue()).status == 0
    modes = {stat.S_IMODE(path.stat().st_mode) for path in Store(home).find("churn").rglob("*") if path.is_file()}
    assert modes == {0o644}


def test_a_bomb_is_refused_at_the_size_that_the_manifest_says(sound: Members, import_: Any) -> None:
    import_(packed({**sound, "report.json": b" " * 50_000_000})).refused(4, "larger than the manifest says")


def test_a_manifest_that_is_a_bomb_is_refused(sound: Members, import_: Any) -> None:
    import_(packed({**sound, MANIFEST: b" " * 50_000_000})).refused(4, "larger than")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: b"#!/bin/sh\n" + whole,
        lambda whole: whole.replace(b"PK\x01\x02", b"PK\x01\x03"),
        lambda whole: b"PK\x03\x04" + bytes([20, 0, 1]) + whole[7:],
        lambda whole: whole[:14] + b"\1\2\3\4" + whole[18:],
        lambda whole: whole[: len(whole) // 2] + bytes(100) + whole[len(whole) // 2 + 100 :],
    ],
    ids=["prepended", "no directory", "flags", "crc", "overwritten"],
)
def test_zips_that_lie_are_refused(spoil: Callable[[bytes], bytes], sound: Members, import_: Any) -> None:
    whole = packed(sound)
    done = import_(spoil(whole))
    # The directory at the end is what counts: a zip whose local headers lie may still give the very bytes we hash.
    assert done.status in (0, 4)
    if done.status == 4:
        done.refused(4)


def test_an_encrypted_member_is_refused(sound: Members, import_: Any) -> None:
    whole = bytearray(packed(sound))
    place = whole.index(b"PK\x01\x02")
    whole[place + 8] |= 1
    import_(bytes(whole)).refused(4, "encrypted")


# B8, B14: the manifest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda it: it.update(format=999), "format 999"),
        (lambda it: it.update(format="1; rm -rf /"), "format"),
        (lambda it: it.pop("format"), "format"),
        (lambda it: it.update(task="os.system"), "os.system"),
        (lambda it: it.update(task="../../tasks"), "task"),
        (lambda it: it.update(task=""), "task"),
        (lambda it: it.update(name="../../x"), "name"),
        (lambda it: it.update(name="\x1b[31mx"), "name"),
        (lambda it: it.update(name=["x"]), "name"),
        (lambda it: it.pop("signature"), "signature"),
        (lambda it: it.update(signature={"inputs": []}), "signature"),
        (lambda it: it["signature"]["inputs"][0].update(kind="pickle"), "kind"),
        (lambda it: it["signature"]["inputs"][0].update(name=7), "name"),
        (lambda it: it["signature"]["output"].update(labels="ab"), "labels"),
        (lambda it: it["signature"]["output"].update(kind="exec"), "kind"),
        (lambda it: it.update(files=[]), "files"),
        (lambda it: it["files"][WEIGHTS].update(bytes=-1), "size"),
        (lambda it: it["files"][WEIGHTS].update(bytes=10**12), "size"),
        (lambda it: it["files"][WEIGHTS].update(bytes=True), "size"),
        (lambda it: it["files"][WEIGHTS].update(sha256="x" * 64), "sha256"),
        (lambda it: it["files"][WEIGHTS].update(sha256="0" * 64), "checksum mismatch"),
        (lambda it: it["files"][WEIGHTS].update(run="x"), "sha256 and bytes"),
        (lambda it: it.update(encode={}), "encode"),
        (lambda it: it.update(encode={"columns": 7, "interval": [0, 0], "lowest": 0}), "encode"),
        (lambda it: it["encode"]["columns"][0].update(width=10**9), "encode"),
        (lambda it: it["encode"]["columns"][0].update(width=-1), "encode"),
        (lambda it: it["encode"]["columns"][0].update(kind="__import__"), "encode"),
        (lambda it: it["encode"]["columns"][0].pop("name"), "encode"),
        (lambda it: it.update(seed="x"), "seed"),
    ],
)
def test_a_manifest_that_is_off_names_the_field(
    change: Callable[[dict[str, Any]], object], said: str, sound: Members, import_: Any
) -> None:
    import_(packed(with_manifest(sound, change))).refused(4, said)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b'{"format": 1',
        b'{"format": NaN}',
        b"\xff\xfe{\0}\0",
        b"[" * 100_000,
        b'{"format": 1, "format": 1}',
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b"9" * 100_000,
        b'{"format": 1e999}',
    ],
    ids=range(12),
)
def test_a_manifest_that_is_no_object_is_refused_at_once(raw: bytes, sound: Members, import_: Any) -> None:
    began = time.monotonic()
    import_(packed({**sound, MANIFEST: raw})).refused(4)
    assert time.monotonic() - began < 2


# B9, B10, B11: what is inside


def graph(*nodes: onnx.NodeProto, initializers: list[onnx.TensorProto] | None = None) -> bytes:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 3])]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", 2])]
    made = helper.make_graph(list(nodes), "g", inputs, outputs, initializers or [])
    content: bytes = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    return content


def endless() -> bytes:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["goes"])],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("goes", TensorProto.BOOL, [])],
    )
    return graph(helper.make_node("Loop", ["", "go"], ["scores"], body=body))


def elsewhere() -> bytes:
    tensor = numpy_helper.from_array(np.zeros((3, 2), np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return graph(helper.make_node("MatMul", ["x", "w"], ["scores"]), initializers=[tensor])


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (b"", "graph"),
        (b"not a graph", "ONNX"),
        (os.urandom(4096), "ONNX"),
        (endless(), "graph inside a node"),
        (elsewhere(), "another file"),
        (graph(helper.make_node("Scan", ["x"], ["scores"])), "Scan"),
        (graph(helper.make_node("Run", ["x"], ["scores"], domain="evil.plugin")), "evil.plugin.Run"),
        (graph(helper.make_node("ConstantOfShape", ["x"], ["scores"])), "ConstantOfShape"),
        (graph(helper.make_node("MatMul", ["x", "absent"], ["scores"])), "valid ONNX"),
        (graph(helper.make_node("Identity", ["x"], ["other"])), "valid ONNX"),
        (graph(helper.make_node("Identity", ["x"], ["scores"])), ""),
    ],
    ids=["nothing", "text", "random", "endless", "elsewhere", "scan", "plug-in", "huge", "absent", "other", "wide"],
)
def test_weights_that_are_no_graph_of_ours_are_refused(weights: bytes, said: str, sound: Members, import_: Any) -> None:
    began = time.monotonic()
    import_(packed(told(sound, {WEIGHTS: weights}))).refused(4, said)
    assert time.monotonic() - began < 5


def test_examples_that_are_not_reproduced_are_said_with_the_difference(sound: Members, import_: Any) -> None:
    examples = json.loads(sound["examples.json"])
    examples[0]["answer"]["probabilities"] = {"no": 0.0, "yes": 1.0}
    import_(packed(told(sound, {"examples.json": json.dumps(examples).encode()}))).refused(
        4, "does not reproduce its own examples", "largest difference"
    )


@pytest.mark.parametrize(
    "examples", [b"7", b"{}", b"[1]", b'[{"input": 1}]', b'[{"input": {"age": "x"}, "answer": {}}]', b"[{}]", b"null"]
)
def test_examples_that_are_none_are_refused(examples: bytes, sound: Members, import_: Any) -> None:
    import_(packed(told(sound, {"examples.json": examples}))).refused(4, "examples")


# B13, B15: the disk


def test_a_member_that_is_swapped_after_opening_is_noticed(sound: Members, tmp_path: Path) -> None:
    folder = unpack(sound, tmp_path / "b")
    model = load(folder)
    (tmp_path / "evil").write_bytes(endless())
    (tmp_path / "evil").replace(folder / WEIGHTS)
    with pytest.raises(HandrailError, match=f"checksum mismatch in {WEIGHTS}|{WEIGHTS}: "):
        model(ROW)


def test_a_link_in_place_of_a_member_is_refused(sound: Members, tmp_path: Path) -> None:
    folder = unpack(sound, tmp_path / "b")
    (folder / WEIGHTS).replace(tmp_path / "w")
    (folder / WEIGHTS).symlink_to(tmp_path / "w")
    with pytest.raises(HandrailError, match="a link"):
        load(folder)


def test_a_fifo_in_place_of_a_member_does_not_hang(sound: Members, tmp_path: Path) -> None:
    folder = unpack(sound, tmp_path / "b")
    (folder / WEIGHTS).unlink()
    os.mkfifo(folder / WEIGHTS)
    with pytest.raises(HandrailError):
        load(folder)(ROW)


def test_a_full_disk_leaves_nothing_of_an_import(
    sound: Members, import_: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for allowed in range(len(sound)):
        wrote = 0

        def fsync(descriptor: int, allowed: int = allowed) -> None:
            nonlocal wrote
            wrote += 1
            if wrote > allowed:
                raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(files.os, "fsync", fsync)
            import_(packed(sound)).refused(5, "the disk is full")


def test_a_model_whose_files_vanish_is_refused_in_words(sound: Members, tmp_path: Path) -> None:
    folder = unpack(sound, tmp_path / "b")
    model = load(folder)
    shutil.rmtree(folder)
    with pytest.raises(HandrailError, match="No such file"):
        model(ROW)


# B16: words of an enemy


def test_words_in_a_bundle_are_escaped_wherever_they_are_shown(sound: Members, import_: Any, cli: Cli) -> None:
    evil = "<script>alert(1)</script>\x1b[31m\u202e"

    def change(manifest: dict[str, Any]) -> None:
        manifest["signature"]["output"]["labels"] = [evil, "yes"]
        manifest["signature"]["output"]["name"] = evil
        manifest["versions"] = {evil: evil}

    examples = b"[]"
    report = json.dumps({"name": evil, "target": evil, "task": evil, "remarks": [evil]}).encode()
    changed = told(with_manifest(sound, change), {"examples.json": examples, "report.json": report})
    done = import_(packed(changed))
    if done.status:
        done.refused(4)
        return
    for words in (["predict", "churn", json.dumps(ROW)], ["models", "show", "churn"], ["report", "churn"]):
        shown = cli(*words)
        assert "\x1b[31m" not in shown.out + shown.err
        assert "\u202e" not in shown.out + shown.err


def test_a_page_that_came_with_a_model_is_not_what_is_opened(
    sound: Members, import_: Any, cli: Cli, tmp_path: Path
) -> None:
    evil = b"<!doctype html><script>fetch('http://evil.example')</script>"
    assert import_(packed(told(sound, {"report.html": evil}))).status == 0
    assert cli("report", "churn", "--output", str(tmp_path / "page.html")).status == 0
    assert "evil.example" not in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("report", [b"7", b"[]", b'{"score": 7}', b'{"labels": {"a": 1}, "score": []}'])
def test_a_report_that_is_none_is_refused_in_words(
    report: bytes, sound: Members, import_: Any, cli: Cli, tmp_path: Path
) -> None:
    done = import_(packed(told(sound, {"report.json": report})))
    if done.status == 0:
        for words in (["report", "churn"], ["report", "churn", "-o", str(tmp_path / "x.html")]):
            shown = cli(*words)
            assert shown.status in (0, 4), shown
            assert "Traceback" not in shown.err


def unpack(members: Members, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize(
    "off", [{"minimum": "x"}, {"maximum": [1]}, {"pattern": 7}, {"optional": "yes"}, {"example": {}}]
)
def test_a_signature_of_the_wrong_types_is_refused(off: dict[str, Any], sound: Members, import_: Any) -> None:  # B8
    manifest = json.loads(sound[MANIFEST])
    manifest["signature"]["inputs"][0] |= off
    import_(packed({**sound, MANIFEST: json.dumps(manifest).encode()})).refused(4)


def test_a_model_without_examples_is_not_taken(sound: Members, import_: Any) -> None:  # B11
    import_(packed(told(sound, {"examples.json": b"[]"}))).refused(4, "no examples")
