"""Holds the listening sockets and keeps a gateway running: `python -m handrail.engines.local.supervisor HOME LINK FD…`.

It does nothing else, so that nothing in it can break: clients that come while a gateway is being replaced wait in the
sockets' queues. LINK is the number of a socket to a gateway that runs already, or -1.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

GATEWAY: Final = ("-P", "-m", "handrail.engines.local.gateway")
# What a gateway says: hold these sockets from now on, or: this is the end.
HOLD: Final = b"H"
STOP: Final = b"S"
MAX_SOCKETS: Final = 64
LONGEST_BACK_OFF_S: Final = 10.0
# A gateway that ran so long did not die of its start.
SETTLED_S: Final = 5.0


def main(home: str, link: str = "-1", *descriptors: str) -> None:
    """Returns when a gateway says that this is the end."""
    held = [socket.socket(fileno=int(one)) for one in descriptors]
    connection = None if link == "-1" else socket.socket(fileno=int(link))
    stopping = _Stopping()
    back_off_s = 0.0
    while True:
        begun = time.monotonic()
        process = None
        if connection is None:
            connection, process = started(home, held)
        stopping.gateway = process
        ended, held = watched(connection, held, stopping)
        connection.close()
        connection = None
        if process is not None:
            process.wait()
        if ended or stopping.asked:
            return
        back_off_s = 0.0 if time.monotonic() - begun > SETTLED_S else min(LONGEST_BACK_OFF_S, back_off_s * 2 or 0.05)
        time.sleep(back_off_s)


class _Stopping:
    """SIGTERM and SIGINT go on to the gateway, which drains and then says that this is the end."""

    def __init__(self) -> None:
        self.asked = False
        self.gateway: subprocess.Popen[bytes] | None = None
        self.woken, self._wakes = socket.socketpair()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._come)

    def _come(self, number: int, frame: object) -> None:
        self.asked = True
        self._wakes.send(b"!")


def started(home: str, held: Sequence[socket.socket]) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """A gateway that listens on these sockets, and our end of the link to it."""
    ours, theirs = socket.socketpair()
    numbers = [theirs.fileno(), *(one.fileno() for one in held)]
    with theirs:
        process = subprocess.Popen(  # noqa: S603 - our own module, arguments as a list
            [sys.executable, *GATEWAY, home, *map(str, numbers)],
            pass_fds=numbers, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    return ours, process


def watched(link: socket.socket, held: list[socket.socket], stopping: _Stopping) -> tuple[bool, list[socket.socket]]:
    """Waits for the end of a gateway. True when it was meant; and the sockets that are held then."""
    with contextlib.suppress(ConnectionError):
        while True:
            readable, _, _ = select.select([link, stopping.woken], [], [])
            if stopping.woken in readable:
                stopping.woken.recv(1)
                link.sendall(STOP)
            if link in readable:
                word, descriptors, _, _ = socket.recv_fds(link, 1, MAX_SOCKETS)
                if word != HOLD:
                    return word == STOP, held
                for one in held:
                    one.close()
                held = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    return False, held


def detached(home: str, link: socket.socket | None, held: Sequence[socket.socket], log_descriptor: int) -> int:
    """Starts a supervisor that outlives this process and its terminal; gives its process number."""
    inherited = [*([] if link is None else [link]), *held]
    words = [home, "-1" if link is None else str(link.fileno()), *(str(one.fileno()) for one in held)]
    for one in inherited:
        one.set_inheritable(True)
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", "handrail.engines.local.supervisor", *words],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log_descriptor, 1),
                (os.POSIX_SPAWN_DUP2, log_descriptor, 2),
            ],
            setsid=True,
        )
    finally:
        for one in inherited:
            one.set_inheritable(False)


if __name__ == "__main__":
    os.umask(0o077)
    os.chdir("/")
    main(*sys.argv[1:])
