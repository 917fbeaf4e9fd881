"""The finished pieces of a training run, as arrays on disk: what lets a killed run go on."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from handrail.core.errors import HandrailError
from handrail.core.files import disk_errors, read_limited, write_bytes
from handrail.core.locks import taken

MAX_PIECE_BYTES = 2 * 2**30


class Run:
    """A folder of pieces, `<key>.npz` each. A piece that cannot be read counts as absent: it is made again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keys(self) -> list[str]:
        """The keys of all pieces, sorted."""
        return sorted(item.stem for item in self.folder.glob("*.npz")) if self.folder.is_dir() else []

    def get(self, key: str) -> dict[str, np.ndarray] | None:
        """The arrays of a piece, or None."""
        path = self._path(key)
        if not path.is_file():
            return None
        try:
            with np.load(io.BytesIO(read_limited(path, MAX_PIECE_BYTES)), allow_pickle=False) as found:
                return {name: found[name] for name in found.files}
        except (HandrailError, ValueError, OSError, KeyError, zipfile.BadZipFile):
            return None

    def put(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Saves a piece whole or not at all."""
        content = io.BytesIO()
        np.savez(content, **arrays)  # type: ignore[arg-type]
        write_bytes(self._path(key), content.getvalue())

    def clear(self) -> None:
        """Forgets the pieces."""
        for key in self.keys():
            self._path(key).unlink(missing_ok=True)

    def remove(self) -> None:
        """Forgets the run."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, key: str) -> Path:
        return self.folder / (re.sub(r"[^A-Za-z0-9._-]", "_", key)[:120] + ".npz")


@contextlib.contextmanager
def held(run: Run, *, keeps: Callable[[], bool] = lambda: False) -> Iterator[Run]:
    """The run, kept from other processes while the block runs; where one is at work on it, an empty run beside it.

    So a run with pieces in it was cut off: the lock ends with the process that took it. When the block ends well, the
    pieces are forgotten, unless `keeps` says otherwise; when it fails, they stay for another attempt.
    """
    with disk_errors(run.folder):
        run.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(run.folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if taken(descriptor):
            yield from _forgotten_at_the_end(run, keeps)
        else:
            with tempfile.TemporaryDirectory(dir=run.folder.parent, prefix=f"{run.folder.name}-") as folder:
                yield Run(Path(folder))
    finally:
        os.close(descriptor)


def _forgotten_at_the_end(run: Run, keeps: Callable[[], bool]) -> Iterator[Run]:
    try:
        yield run
        if not keeps():
            run.remove()
    finally:
        with contextlib.suppress(OSError):
            run.folder.rmdir()
