"""A large file as memory, without a copy; its sha256 is taken beside, while other work goes on."""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
import threading
from pathlib import Path
from typing import Final

from handrail.core.errors import HandrailError

BLOCK_BYTES: Final = 4 * 2**20


class Mapped:
    """`content` is the file's bytes; nothing computed from them may be told before `check` has said that they are the
    listed ones, and that whoever opened `path` meanwhile got these. Whoever may write the file can change it later: the
    mapping saves memory, it does not guard."""

    def __init__(self, path: Path, size: int, digest: str) -> None:
        """Raises HandrailError ("bundle") for what is no plain file of `size` bytes."""
        self.path, self._digest = path, digest
        self._found = ""
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise self._damaged(f"cannot open it: {error.strerror}") from error
        try:
            status = os.fstat(self._file)
            if not stat.S_ISREG(status.st_mode) or status.st_size != size or not size:
                raise self._damaged("it is no file of the listed size")
            self._identity = _identity(status)
            self._map = mmap.mmap(self._file, size, access=mmap.ACCESS_READ)
            self.content = memoryview(self._map)
        except BaseException:
            os.close(self._file)
            raise
        self._thread = threading.Thread(target=self._hash, name="hash", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Waits for the sha256. Raises HandrailError ("bundle") where it is another, or the file was exchanged."""
        self._thread.join()
        if self._found != self._digest:
            raise self._damaged(f"checksum mismatch in {self.path.name}")
        try:
            status = self.path.lstat()
        except OSError as error:
            raise self._damaged(f"{self.path.name} is gone: {error.strerror}") from error
        if _identity(status) != self._identity:
            raise self._damaged(f"{self.path.name} was exchanged while it was read")

    def rest(self) -> None:
        """What was looked at counts as this process's memory no longer; whatever looks again is given it again."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def _hash(self) -> None:
        """Read into a buffer, not through the mapping, whose pages would count as this process's memory."""
        digest, buffer, place = hashlib.sha256(), bytearray(BLOCK_BYTES), 0
        try:
            while count := os.preadv(self._file, [buffer], place):
                digest.update(memoryview(buffer)[:count])
                place += count
            self._found = digest.hexdigest()
        except OSError as error:
            self._found = f"unreadable: {error}"
        finally:
            os.close(self._file)

    def _damaged(self, problem: str) -> HandrailError:
        mend = "the bundle is damaged or foreign: train or import it again"
        return HandrailError("bundle", problem, mend, where=str(self.path))


def _identity(status: os.stat_result) -> tuple[int, ...]:
    """What another file in the same place, or other bytes in the same file, would have changed."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
