"""Holds the listening sockets and keeps a gateway running: `python -P -S supervisor.py HOME LINK FD…`.

It does nothing else, so that nothing in it can break: clients that come while a gateway is being replaced wait in the
sockets' queues. LINK is the number of a socket to a gateway that runs already, or -1. The first FD is the control
socket. It is a program of its own file and imports as little as it can: it is there all the time, and small.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

GATEWAY = ("-P", "-m", "handrail.engines.local.gateway")
SUPERVISOR = ("-P", "-S", __file__)
# What a gateway says: hold these sockets from now on; clients are answered; this is the end.
HOLD = b"H"
READY = b"R"
STOP = b"S"
MAX_SOCKETS = 64
LONGEST_BACK_OFF_S = 10.0


def main(home: str, link: str = "-1", *descriptors: str) -> None:
    """Returns when a gateway says that this is the end."""
    held = [socket.socket(fileno=int(one)) for one in descriptors]
    connection = None if link == "-1" else socket.socket(fileno=int(link))
    stopping = _Stopping()
    back_off_s = 0.0
    while True:
        process = None
        if connection is None:
            connection, process = started(home, held)
        ended, was_ready, held = watched(connection, held, stopping)
        connection.close()
        connection = None
        if process is not None:
            os.waitpid(process, 0)
        if ended or stopping.asked or not is_there(home):
            return
        # One that answered clients did not die of its start, so the next one comes at once.
        back_off_s = 0.0 if was_ready else min(LONGEST_BACK_OFF_S, back_off_s * 2 or 0.05)
        select.select([stopping.woken], [], [], back_off_s)
        if stopping.asked:
            return


def is_there(home: str) -> bool:
    """A home that was removed has nothing to serve. (Without pathlib: this process stays small.)"""
    try:
        os.close(os.open(home, os.O_RDONLY | os.O_DIRECTORY))
    except OSError:
        return False
    return True


class _Stopping:
    """SIGTERM and SIGINT go on to the gateway, which drains and then says that this is the end."""

    def __init__(self) -> None:
        self.asked = False
        self.woken, self._wakes = socket.socketpair()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._come)

    def _come(self, number: int, frame: object) -> None:
        self.asked = True
        self._wakes.send(b"!")


def started(home: str, held: Sequence[socket.socket]) -> tuple[socket.socket, int]:
    """A gateway that listens on these sockets: our end of the link to it, and its process number."""
    ours, theirs = socket.socketpair()
    numbers = [str(one.fileno()) for one in (theirs, *held)]
    with theirs:
        # One heap for all threads: they wait most of the time, and each heap of its own takes megabytes.
        variables = {"MALLOC_ARENA_MAX": "1", **os.environ}
        return ours, _spawned([*GATEWAY, home, *numbers], [theirs, *held], variables, ())


def watched(
    link: socket.socket, held: list[socket.socket], stopping: _Stopping
) -> tuple[bool, bool, list[socket.socket]]:
    """Waits for the end of a gateway: whether it was meant, whether it had answered clients, and the sockets then."""
    was_ready = False
    while True:
        try:
            readable, _, _ = select.select([link, stopping.woken], [], [])
            if stopping.woken in readable:
                stopping.woken.recv(1)
                link.sendall(STOP)
            if link not in readable:
                continue
            word, descriptors, _, _ = socket.recv_fds(link, 1, MAX_SOCKETS)
        except ConnectionError:
            return False, was_ready, held
        if word == READY:
            was_ready = True
        elif word == HOLD:
            for one in held:
                one.close()
            held = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        else:
            return word == STOP, was_ready, held


def detached(home: str, link: socket.socket | None, held: Sequence[socket.socket], log_descriptor: int) -> int:
    """Starts a supervisor that outlives this process and its terminal; gives its process number."""
    inherited = [*([] if link is None else [link]), *held]
    words = [home, "-1" if link is None else str(link.fileno()), *(str(one.fileno()) for one in held)]
    actions = [(os.POSIX_SPAWN_DUP2, log_descriptor, 1), (os.POSIX_SPAWN_DUP2, log_descriptor, 2)]
    return _spawned([*SUPERVISOR, *words], inherited, os.environ, actions)


def _spawned(
    words: Sequence[str], inherited: Sequence[socket.socket], variables: Mapping[str, str], actions: Sequence[Any]
) -> int:
    """Starts a program of ours that is in no terminal, with these sockets under the same numbers."""
    for one in inherited:
        one.set_inheritable(True)
    try:
        silent = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        return os.posix_spawn(
            sys.executable, [sys.executable, *words], variables, file_actions=[silent, *actions], setsid=True
        )
    finally:
        for one in inherited:
            one.set_inheritable(False)


if __name__ == "__main__":
    os.umask(0o077)
    os.chdir("/")
    main(*sys.argv[1:])
