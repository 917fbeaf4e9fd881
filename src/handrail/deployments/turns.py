"""One deploy at a time: a lock of the operating system that goes with its owner, and says who that is."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from handrail.core.errors import HandrailError
from handrail.core.events import Said, Tell
from handrail.core.files import disk_errors
from handrail.core.locks import taken

LOOK_EVERY_S: Final = 0.05
OWNER: Final = re.compile(rb"(\d{1,10}) (\d{1,12})\n")


@contextlib.contextmanager
def in_turn(path: Path, *, patience_s: float, tell: Tell) -> Iterator[None]:
    """Holds the lock at `path`. Raises HandrailError ("conflict") when another deploy holds it for `patience_s`."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _take(descriptor, patience_s, tell)
        # Written in place: a file that is replaced would be another lock.
        _write(descriptor, b"%d %d\n" % (os.getpid(), time.time()))
        yield
        _write(descriptor, b"")
    finally:
        os.close(descriptor)


def _take(descriptor: int, patience_s: float, tell: Tell) -> None:
    end = time.monotonic() + patience_s
    said = False
    while not taken(descriptor):
        if time.monotonic() >= end:
            problem = f"another deploy is at work: {_owner(descriptor)}"
            raise HandrailError("conflict", problem, "wait for it, then type the same again")
        if not said:
            tell(Said(f"waiting for {_owner(descriptor)}"))
            said = True
        time.sleep(LOOK_EVERY_S)


def _write(descriptor: int, content: bytes) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, content, 0)


def _owner(descriptor: int) -> str:
    """`the deploy by pid 812 since 10:02:11`, as far as the file says so."""
    found = OWNER.fullmatch(os.pread(descriptor, 64, 0))
    if found is None:
        return "the deploy that began just now"
    return f"the deploy by pid {int(found[1])} since {datetime.fromtimestamp(int(found[2])):%H:%M:%S}"
