"""What replicas print, as lines with a time and a process in a file that does not grow without end."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

VARIABLE: Final = "HANDRAIL_REPLICA_LOG"
CAP_BYTES: Final = 32 * 2**20
KEPT: Final = 2
READ_BYTES: Final = 2**16
LONGEST_LINE_BYTES: Final = 2**14


class Output:
    """The ends of the pipes into which forked processes write, and the file that their lines go to.

    Lines are `2026-11-25T03:40:00.123Z PID text`. A full disk costs lines, never a replica.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pipes: dict[int, tuple[int, bytearray]] = {}
        self._opening: int | None = None

    def pipes(self) -> list[int]:
        """What may be read from."""
        return list(self._pipes)

    def opened(self) -> int:
        """Makes a pipe for a process that is about to be forked; gives the end that it writes into."""
        self._opening, writes = os.pipe()
        return writes

    def follow(self, pid: int, writes: int) -> None:
        """The process was forked: its lines carry its number from now on."""
        os.close(writes)
        assert self._opening is not None
        os.set_blocking(self._opening, False)
        self._pipes[self._opening] = (pid, bytearray())
        self._opening = None

    def leave(self) -> None:
        """In a forked process: what its parent reads is none of its business."""
        for pipe in (*self._pipes, self._opening):
            if pipe is not None:
                os.close(pipe)
        self._pipes.clear()

    def pump(self, pipes: list[int]) -> None:
        """Moves what came to the file."""
        lines = b"".join(self._moved(pipe) for pipe in pipes)
        if lines:
            with contextlib.suppress(OSError):
                self._append(lines)

    def _moved(self, pipe: int) -> bytes:
        pid, held = self._pipes[pipe]
        try:
            data = os.read(pipe, READ_BYTES)
        except BlockingIOError:
            return b""
        held += data
        end = held.rfind(b"\n") + 1
        if not data or len(held) - end > LONGEST_LINE_BYTES:
            end = len(held)
        whole = bytes(held[:end])
        del held[:end]
        if not data:
            os.close(pipe)
            del self._pipes[pipe]
        return stamped(pid, whole)

    def _append(self, lines: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(lines)
            full = file.tell() > CAP_BYTES
        if full:
            rotate(self._path)


def output_of(environment: Mapping[str, str]) -> Output | None:
    """Where the gateway wants the lines of replicas; None: where it writes its own."""
    path = environment.get(VARIABLE)
    return Output(Path(path)) if path else None


def stamped(pid: int, text: bytes) -> bytes:
    """Each line with the time and the process in front of it."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    mark = f"{now}Z {pid} ".encode()
    return b"".join(mark + line + b"\n" for line in text.splitlines())


def rotate(path: Path) -> None:
    """`replicas.log` becomes `replicas.log.1`, that one `.2`, and the oldest goes."""
    for number in range(KEPT, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        newer = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
        with contextlib.suppress(FileNotFoundError):
            newer.replace(older)


def write_into(descriptor: int) -> None:
    """What this process prints from now on goes there, line by line."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
