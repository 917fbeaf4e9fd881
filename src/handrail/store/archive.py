"""A bundle as one file: a plain zip, written the same way each time and read as if an enemy had made it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from handrail.core.bundle import MANIFEST, MAPPED, MAX_MANIFEST_BYTES, MAX_MEMBERS, Bundle, parse_manifest
from handrail.core.errors import HandrailError
from handrail.core.files import read_limited, write_bytes

MAX_ARCHIVE_BYTES = 4 * 2**30
# Zip has no times before 1980; a fixed one makes equal bundles equal archives.
EPOCH = (1980, 1, 1, 0, 0, 0)


def write_archive(bundle: Bundle, archive: Path) -> None:
    """Every member is read through its hash; the archive appears whole or not at all."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped:
        manifest = read_limited(bundle.path / MANIFEST, MAX_MANIFEST_BYTES)
        for name, data in [
            (MANIFEST, manifest),
            *((name, bundle.read(name)) for name in sorted(bundle.manifest.files)),
        ]:
            entry = zipfile.ZipInfo(name, EPOCH)
            # Weights hardly shrink, and there are many of them.
            entry.compress_type = zipfile.ZIP_STORED if name.endswith(MAPPED) else zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            zipped.writestr(entry, data)
    write_bytes(archive, content.getvalue())


def read_archive(archive: Path) -> dict[str, bytes]:
    """Members by name, exactly those that the manifest lists, at most as large as it says.

    Raises HandrailError: "bundle" for what is no archive of ours, "data" or "too_large" for what is no file to read.
    """
    content = read_limited(archive, MAX_ARCHIVE_BYTES)
    if content[:4] != b"PK\x03\x04":
        raise _refused(archive, "not an exported model: handrail export writes them")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as zipped:
            return _members(zipped, archive)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise _refused(archive, f"the archive is damaged: {str(error)[:120]}") from error


def _members(zipped: zipfile.ZipFile, archive: Path) -> dict[str, bytes]:
    entries = zipped.infolist()
    if len(entries) > MAX_MEMBERS + 1:
        raise _refused(archive, f"more than {MAX_MEMBERS} members")
    names = [entry.filename for entry in entries]
    if len({name.casefold() for name in names}) != len(names):
        raise _refused(archive, "a member is there twice")
    for entry in entries:
        _refuse_strange(entry, archive)
    if MANIFEST not in names:
        raise _refused(archive, f"no {MANIFEST} in it")
    raw = _read(zipped, MANIFEST, MAX_MANIFEST_BYTES, archive)
    manifest = parse_manifest(raw, archive)
    odd = sorted(set(names) ^ {MANIFEST, *manifest.files})
    if odd:
        raise _refused(archive, f"a member that is {'not allowed' if odd[0] in names else 'missing'}: {odd[0][:80]}")
    members = {name: _read(zipped, name, item["bytes"], archive) for name, item in manifest.files.items()}
    return {**members, MANIFEST: raw}


def _refuse_strange(entry: zipfile.ZipInfo, archive: Path) -> None:
    kind = entry.external_attr >> 28
    if kind not in (0, 8) or entry.is_dir():
        raise _refused(archive, f"a member that is no plain file: {entry.filename[:80]}")
    if entry.flag_bits & 0x1:
        raise _refused(archive, f"an encrypted member: {entry.filename[:80]}")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refused(archive, f"a member packed in a way that is not read: {entry.filename[:80]}")


def _read(zipped: zipfile.ZipFile, name: str, limit_bytes: int, archive: Path) -> bytes:
    with zipped.open(name) as member:
        content = member.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise _refused(archive, f"{name} is larger than the manifest says")
    return content


def _refused(archive: Path, problem: str) -> HandrailError:
    return HandrailError("bundle", problem, "get the archive again from where it was exported", where=str(archive))
