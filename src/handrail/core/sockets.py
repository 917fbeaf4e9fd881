"""Where clients come to, and where our own processes meet: sockets, opened or refused in words."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from pathlib import Path
from typing import Final

from handrail.core.errors import HandrailError

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
BACKLOG: Final = 2048
PRIVATE_BACKLOG: Final = 100


def private_folder() -> Path | None:
    """A folder that only this user can enter; None where there is none.

    The name of a socket has about a hundred bytes on most systems, so it cannot lie below a home of any depth.
    """
    ours = Path(tempfile.gettempdir()) / f"handrail-{os.getuid()}"
    try:
        ours.mkdir(mode=0o700, exist_ok=True)
        found = ours.lstat()
    except OSError:
        return None
    # Somebody else's folder, or one that others may write to, is no place to meet.
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or ours.is_symlink() or not ours.is_dir():
        return None
    return ours


def listening_at(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 picks a free one. Raises HandrailError that says why it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listening.close()
        raise _not_bound(host, port, error) from None
    return listening


def is_free(host: str, port: int) -> bool:
    """Whether one could listen there now."""
    try:
        listening_at(host, port).close()
    except HandrailError:
        return False
    return True


def _not_bound(host: str, port: int, error: Exception) -> HandrailError:
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, socket.gaierror) or number == errno.EADDRNOTAVAIL:
        mend = "--host 0.0.0.0 listens on all addresses, --host 127.0.0.1 on this machine only"
        return HandrailError("usage", f"{host} is no address of this machine", mend)
    if number == errno.EADDRINUSE:
        return HandrailError("environment", f"port {port} is taken", "choose another, or let one be picked: --port 0")
    if number == errno.EACCES:
        return HandrailError(
            "environment", f"port {port} needs more rights", "choose one above 1023, such as --port 8080"
        )
    return HandrailError(
        "usage", f"port {port} cannot be used: {error}", "choose another, or let one be picked: --port 0"
    )


def bound(path: Path) -> socket.socket:
    """A socket that listens at this path, which only this user can reach: its folder is theirs alone."""
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    path.chmod(0o600)
    listening.listen(PRIVATE_BACKLOG)
    return listening
