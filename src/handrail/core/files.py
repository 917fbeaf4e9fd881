"""The only place that writes files: whole or not at all, with the modes we mean."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from handrail.core.errors import HandrailError
from handrail.core.failpoints import reached

FILE_MODE = 0o644
FOLDER_MODE = 0o755


@contextlib.contextmanager
def disk_errors(path: Path | str) -> Iterator[None]:
    """Turns what the operating system says of `path` into an error with a mend."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            problem, mend = "the disk is full", "free some space, or set HANDRAIL_HOME to a folder on another disk"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            problem, mend = "may not write there", "set HANDRAIL_HOME to a folder you may write, or change its owner"
        else:
            problem, mend = (error.strerror or str(error)).lower(), "check the path and the disk, then try again"
        raise HandrailError("environment", problem, mend, where=str(path)) from error


def write_bytes(path: Path, content: bytes, mode: int = FILE_MODE) -> None:
    """Replaces `path` with `content` in one step: a reader sees the old file or the new one, also after a crash.

    At no moment may anybody read it whom `mode` does not let.
    """
    with drafted_file(path, mode) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """`write_bytes` for text, always UTF-8 with plain line ends."""
    write_bytes(path, content.encode("utf-8"))


def write_blocks(path: Path, blocks: Iterable[bytes], mode: int = FILE_MODE) -> None:
    """`write_bytes` for what may be larger than memory. Its draft has one name, so a second try begins it anew, and
    nothing is left behind."""
    draft = path.with_name(f".{path.name}.draft")
    with disk_errors(path):
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for block in blocks:
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise
        sync_folder(path.parent)


@contextlib.contextmanager
def drafted_file(path: Path, mode: int = FILE_MODE) -> Iterator[BinaryIO]:
    """A file to write, in any order, that takes its name when all is written, and else leaves nothing."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".draft-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                reached("write.unsynced")
                os.fsync(file.fileno())
            Path(draft).chmod(mode)
            reached("write.synced")
            Path(draft).replace(path)
            reached("write.renamed")
        except BaseException:
            with contextlib.suppress(OSError):
                Path(draft).unlink()
            raise
        sync_folder(path.parent)


@contextlib.contextmanager
def drafted_folder(parent: Path) -> Iterator[Path]:
    """An empty folder beside its final place. It is removed unless `publish_folder` has moved it away."""
    with disk_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=parent, prefix=".draft-"))
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def publish_folder(draft: Path, final: Path) -> None:
    """Gives a finished draft its name, durably. Raises conflict when the name is taken: nothing is ever overwritten."""
    with disk_errors(final):
        for folder, _, names in os.walk(draft):
            Path(folder).chmod(FOLDER_MODE)
            for name in names:
                _sync_file(Path(folder, name))
            sync_folder(Path(folder))
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():
            raise HandrailError("conflict", f"'{final.name}' exists already", "choose another name", where=str(final))
        draft.rename(final)
        sync_folder(final.parent)


def remove_folder(path: Path) -> None:
    """Takes the name away first, then the content, so that a crash leaves no half of a folder under its name."""
    with disk_errors(path):
        grave = Path(tempfile.mkdtemp(dir=path.parent, prefix=".gone-"))
        reached("remove_folder.begun")
        path.rename(grave / "it")
        reached("remove_folder.renamed")
        sync_folder(path.parent)
    shutil.rmtree(grave, ignore_errors=True)


def plain_file(path: Path, *, follows: bool = False) -> BinaryIO:
    """A regular file, opened to be read: no pipe or device, and a link only where it is to be followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follows else os.O_NOFOLLOW))
    except OSError as error:
        raise HandrailError("data", f"cannot open it: {error.strerror}", "check the path", where=str(path)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise HandrailError("data", "not a regular file", "give a plain file", where=str(path))
    return os.fdopen(descriptor, "rb")


def read_limited(path: Path, limit_bytes: int) -> bytes:
    """The content of a regular file of at most `limit_bytes`, kept while reading; links are not followed."""
    with plain_file(path) as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise HandrailError("too_large", f"larger than {limit_bytes:,} bytes", "give a smaller file", where=str(path))
    return content


def digest_of(path: Path) -> tuple[str, int]:
    """The sha256 of a file, and how many bytes it has."""
    with disk_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()


def sync_folder(path: Path) -> None:
    """Makes renames in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_file(path: Path) -> None:
    path.chmod(FILE_MODE)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
