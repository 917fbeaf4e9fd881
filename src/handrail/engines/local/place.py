"""Where the engine of a home is found: its control socket, its logs, its locks, its settings."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from handrail.core.errors import HandrailError
from handrail.core.files import disk_errors
from handrail.core.locks import taken
from handrail.core.sockets import private_folder


@dataclass(frozen=True)
class Place:
    """The paths of the engine that serves what is deployed in a home."""

    home: Path

    @property
    def control(self) -> Path:
        """The Unix socket over which the engine is asked; its folder is this user's alone."""
        if self._link.is_symlink():
            return Path(self._link.readlink())
        folder = private_folder()
        if folder is None:
            mend = "set TMPDIR to a folder that only you may write to"
            raise HandrailError("environment", "there is no private folder for sockets", mend)
        return folder / f"{hashlib.sha256(os.fsencode(self.home.resolve())).hexdigest()[:16]}.control"

    def remember_control(self) -> None:
        """Lets others find the socket whose folder for temporary files is another one."""
        self.forget_control()
        target = self.control
        with disk_errors(self._link):
            self._link.parent.mkdir(parents=True, exist_ok=True)
            self._link.symlink_to(target)

    def forget_control(self) -> None:
        """The engine has ended."""
        self._link.unlink(missing_ok=True)

    @property
    def _link(self) -> Path:
        return self.home / "run" / "control"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def engine_log(self) -> Path:
        return self.logs / "engine.log"

    @property
    def settings(self) -> Path:
        return self.home / "deployments" / "engine.json"

    @contextlib.contextmanager
    def locked(self, name: str, *, wait_s: float) -> Iterator[None]:
        """Holds a lock that dies with its holder. Raises HandrailError ("conflict") when another holds it too long."""
        path = self.home / "run" / name
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _wait_for(descriptor, wait_s, path)
            yield
        finally:
            os.close(descriptor)


def _wait_for(descriptor: int, wait_s: float, path: Path) -> None:
    until = time.monotonic() + wait_s
    while not taken(descriptor):
        if time.monotonic() > until:
            mend = "wait for it, then try again"
            raise HandrailError("conflict", "another process holds this lock", mend, where=str(path))
        time.sleep(0.02)
