"""A folder for one replica to work in: it looks like the project, and what is written there is the replica's alone.

Folders are real, files are links to the copy that all replicas share and none may write. What a replica leaves behind
when it is killed, the folder and its own children, is cleared away by the next one and at the end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from handrail.core.sockets import private_folder

STALE_S: Final = 24 * 3600.0


class Workplaces:
    """The folders of the replicas that this process forks."""

    def __init__(self, code: Path) -> None:
        self._code = code
        root = private_folder() or Path(tempfile.mkdtemp(prefix="handrail-"))
        self._folder = root / "work"
        self._owner = os.getpid()
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._clear_stale()
        self._clear_namesake()

    def enter(self) -> Path:
        """In a replica: makes its folder and goes there."""
        self.clear()
        here = self._place()
        shutil.rmtree(here, ignore_errors=True)
        _link(self._code, here)
        os.chdir(here)
        return here

    def leave(self, here: Path) -> None:
        """At a replica's end: its children are asked to go, its folder is removed."""
        if here != self._place():
            return  # a child that the user's code forked
        os.chdir("/")
        shutil.rmtree(here, ignore_errors=True)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with contextlib.suppress(OSError):
            if os.getpgrp() == os.getpid():
                os.killpg(0, signal.SIGTERM)

    def clear(self) -> None:
        """Clears away after replicas that are gone."""
        for path, pid in self._of(self._owner):
            if not _is_up(pid):
                # The leader of the group is gone, so whoever is still in it was started by the replica.
                with contextlib.suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)
                shutil.rmtree(path, ignore_errors=True)

    def _place(self) -> Path:
        return self._folder / f"{self._owner}.{os.getpid()}"

    def _of(self, owner: int) -> Iterator[tuple[Path, int]]:
        for path in self._folder.glob(f"{owner}.*"):
            if path.suffix[1:].isdigit():
                yield path, int(path.suffix[1:])

    def _clear_stale(self) -> None:
        """What fork servers that are gone left a day ago."""
        for path in self._folder.glob("*.*"):
            with contextlib.suppress(OSError, ValueError):
                if time.time() - path.lstat().st_mtime > STALE_S and not _is_up(int(path.stem)):
                    shutil.rmtree(path, ignore_errors=True)

    def _clear_namesake(self) -> None:
        """What a process left that had our number before us: else its folder would pass for one in use."""
        for path, _ in self._of(self._owner):
            shutil.rmtree(path, ignore_errors=True)


def _link(code: Path, here: Path) -> None:
    """The folders of `code` made anew, with links to its files."""
    for folder, _, names in os.walk(code):
        made = here / Path(folder).relative_to(code)
        made.mkdir()
        for name in names:
            (made / name).symlink_to(Path(folder, name))


def _is_up(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
