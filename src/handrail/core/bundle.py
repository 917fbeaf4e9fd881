"""The bundle: a folder of open formats that opens without running anything.

Closed by construction: members are named exactly, sized and hashed in the manifest; links, extra and missing members
are refused; each file is hashed and used from the same read, so nothing can be swapped in between.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from handrail.core.errors import HandrailError
from handrail.core.files import digest_of, read_limited, write_bytes
from handrail.core.jsons import value_of
from handrail.core.mapping import Mapped
from handrail.core.signature import Signature, signature_from

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
MEMBER: Final = re.compile(
    r"(?:report\.json|report\.html|examples\.json|(?:weights|encode)/[a-z0-9_]{1,40}\.(?:onnx|npy|json|txt|safetensors))"
)
MODEL_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
MAX_MANIFEST_BYTES: Final = 8 * 2**20
MAX_MEMBER_BYTES: Final = 2 * 2**30
# Of weights that are mapped and never read as a whole.
MAX_MAPPED_BYTES: Final = 64 * 2**30
MAPPED: Final = ".safetensors"
MAX_MEMBERS: Final = 64
MAX_JSON_DEPTH: Final = 64


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself. `files`: member → {"sha256", "bytes"}; `encode`: the task's own settings."""

    name: str
    task: str
    signature: Signature
    encode: dict[str, Any] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    base: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: `read` gives a member's bytes after its hash was checked, `map` maps large ones."""

    path: Path
    manifest: Manifest

    def read(self, member: str) -> bytes:
        """Raises HandrailError ("bundle") when the member is not listed, missing, or not what the manifest says."""
        listed = self._listed(member)
        try:
            content = read_limited(self.path / member, listed["bytes"])
        except HandrailError as error:
            raise damaged(self.path, f"{member}: {error.problem}") from error
        if len(content) != listed["bytes"] or hashlib.sha256(content).hexdigest() != listed["sha256"]:
            raise damaged(self.path, f"checksum mismatch in {member}")
        return content

    def read_json(self, member: str) -> Any:
        return strict_json(self.read(member), self.path, member)

    def read_array(self, member: str) -> np.ndarray:
        """Raises TypeError or ValueError for what is no array; those of objects would have to be unpickled."""
        found: Any = np.load(io.BytesIO(self.read(member)), allow_pickle=False)
        if not isinstance(found, np.ndarray):
            raise TypeError(f"{member} is no array")
        return found

    def map(self, member: str) -> Mapped:
        """A member as memory that is not copied; ask `check` before anything that came of it is told."""
        listed = self._listed(member)
        return Mapped(self.path / member, listed["bytes"], listed["sha256"])

    def check(self, member: str) -> None:
        """Raises HandrailError ("bundle") when a member is not what the manifest says, however large it is."""
        if member.endswith(MAPPED):
            self.map(member).check()
        else:
            self.read(member)

    def _listed(self, member: str) -> dict[str, Any]:
        found = self.manifest.files.get(member)
        if found is None:
            raise damaged(self.path, f"it has no member '{member}'")
        return found


def open_bundle(path: Path) -> Bundle:
    """The bundle in a folder, its manifest checked and its members all there; contents are hashed when read."""
    if not path.is_dir() or path.is_symlink():
        raise HandrailError(
            "bundle", "not a bundle: a folder is expected", "give a model's name or its folder", where=str(path)
        )
    try:
        raw = read_limited(path / MANIFEST, MAX_MANIFEST_BYTES)
    except HandrailError as error:
        raise damaged(path, f"not a bundle: {MANIFEST}: {error.problem}") from error
    manifest = parse_manifest(raw, path)
    _check_members(path, manifest)
    return Bundle(path, manifest)


def parse_manifest(raw: bytes, path: Path) -> Manifest:
    """Raises HandrailError ("bundle") that names the field which is off."""
    value = strict_json(raw, path, MANIFEST)
    if not isinstance(value, dict):
        raise damaged(path, "the manifest is not an object")
    if value.get("format") != FORMAT:
        raise HandrailError(
            "bundle", f"written in bundle format {str(value.get('format'))[:20]}; this Handrail reads format {FORMAT}",
            "pip install --upgrade handrail, or train it again", where=str(path),
        )  # fmt: skip
    try:
        signature = signature_from(value["signature"])
        kept: dict[str, Any] = {name: _typed(value, name, kind) for name, kind in _FIELDS.items()}
        files = {name: _listing(name, item) for name, item in kept["files"].items()}
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, f"the manifest is off: {error}") from error
    if MODEL_NAME.fullmatch(kept["name"]) is None:
        raise damaged(path, "the manifest's name is not a model name")
    if len(files) > MAX_MEMBERS:
        raise damaged(path, f"more than {MAX_MEMBERS} members")
    return Manifest(**{**kept, "files": files, "signature": signature})


_FIELDS: Final[dict[str, type]] = {
    **dict.fromkeys(("name", "task"), str),
    **dict.fromkeys(("encode", "files", "plan", "base", "data", "versions"), dict),
    "seed": int,
}


_KIND_WORDS: Final = {str: "text", dict: "an object", int: "a whole number"}


def strict_json(raw: bytes, path: Path, member: str) -> Any:
    """JSON as the RFC has it: UTF-8, no NaN, no name given twice, at most 64 deep. Raises HandrailError ("bundle")."""
    try:
        _refuse_depth(raw)
        return value_of(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"{member} is not valid JSON: {error}") from error


def write_bundle(folder: Path, manifest: Manifest, files: Mapping[str, bytes], placed: Iterable[str] = ()) -> Manifest:
    """Writes the members and, last, the manifest that lists them. Same inputs, same bytes.

    `placed` are members that lie in the folder already, too large to be handed over.
    """
    for member in [*files, *placed]:
        if MEMBER.fullmatch(member) is None:
            raise ValueError(f"not a member a bundle may have: {member}")
    there = {name: digest_of(folder / name) for name in placed}
    made = {name: (hashlib.sha256(content).hexdigest(), len(content)) for name, content in files.items()}
    listing = {name: {"sha256": digest, "bytes": size} for name, (digest, size) in sorted((there | made).items())}
    complete = Manifest(
        **{**{name: getattr(manifest, name) for name in Manifest.__dataclass_fields__}, "files": listing}
    )
    for name, content in files.items():
        write_bytes(folder / name, content)
    write_bytes(folder / MANIFEST, to_json(complete.as_dict()))
    return complete


def to_json(value: Any) -> bytes:
    """The one way we write JSON into bundles: sorted, indented by one, no NaN."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def to_npy(values: np.ndarray) -> bytes:
    """An array as a .npy member."""
    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    return content.getvalue()


def damaged(path: Path, problem: str) -> HandrailError:
    """The error for a bundle that is not what it should be."""
    return HandrailError(
        "bundle", problem, "the bundle is damaged or foreign: train or import it again", where=str(path)
    )


def _check_members(path: Path, manifest: Manifest) -> None:
    found = set()
    for item in path.rglob("*"):
        name = item.relative_to(path).as_posix()
        if item.is_symlink():
            raise damaged(path, f"it contains a link: {name}")
        if item.is_dir():
            if name not in ("weights", "encode"):
                raise damaged(path, f"a folder that is not allowed: {name}")
            continue
        if name != MANIFEST and name not in manifest.files:
            raise damaged(path, f"a member that is not allowed: {name}")
        found.add(name)
    absent = sorted(set(manifest.files) - found)
    if absent:
        raise damaged(path, f"a member is missing: {absent[0]}")


def _listing(name: str, item: Any) -> dict[str, Any]:
    if MEMBER.fullmatch(name) is None:
        raise ValueError(f"a member that is not allowed: {name[:80]}")
    if not isinstance(item, dict) or set(item) != {"sha256", "bytes"}:
        raise TypeError(f"files: {name} has no sha256 and bytes")
    size, digest = item["bytes"], item["sha256"]
    if type(size) is not int or not 0 <= size <= (MAX_MAPPED_BYTES if name.endswith(MAPPED) else MAX_MEMBER_BYTES):
        raise ValueError(f"files: {name} has an impossible size")
    if not isinstance(digest, str) or re.fullmatch(r"[0-9a-f]{64}", digest) is None:
        raise ValueError(f"files: {name} has no sha256")
    return item


def _typed(value: dict[str, Any], name: str, kind: type) -> Any:
    if name not in value:
        raise KeyError(f"'{name}' is missing")
    if type(value[name]) is not kind:
        raise TypeError(f"'{name}' is not {_KIND_WORDS[kind]}")
    return value[name]


def _refuse_depth(raw: bytes) -> None:
    if raw.count(b"[") + raw.count(b"{") <= MAX_JSON_DEPTH:
        return
    # Without escapes a quote always begins or ends a text; nothing here takes longer than the bytes are many.
    signs = np.frombuffer(raw.replace(b"\\\\", b"").replace(b'\\"', b""), dtype=np.uint8)
    outside = np.cumsum(signs == ord('"'), dtype=np.uint8) % 2 == 0
    opened, closed = (((signs == ord(one)) | (signs == ord(other))) & outside for one, other in ("[{", "]}"))
    depth = np.cumsum(opened.astype(np.int8) - closed.astype(np.int8), dtype=np.int32)
    if depth.max(initial=0) > MAX_JSON_DEPTH:
        raise ValueError(f"nested deeper than {MAX_JSON_DEPTH}")
