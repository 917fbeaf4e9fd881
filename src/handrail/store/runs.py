"""The finished pieces of a training run, as arrays on disk: what lets a killed run go on."""

from __future__ import annotations

import io
import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from handrail.core.errors import HandrailError
from handrail.core.files import read_limited, write_bytes

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

    def remove(self) -> None:
        """Forgets the run."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, key: str) -> Path:
        return self.folder / (re.sub(r"[^A-Za-z0-9._-]", "_", key)[:120] + ".npz")
