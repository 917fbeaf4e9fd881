"""Holds one model version loaded and forks replicas of it: they share its memory and are there in milliseconds.

It lives in the process that `python -m handrail.serve.replica` starts. When the gateway dies it stays for a moment, so
that the next gateway can take it over instead of loading the model again.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from handrail.serve.messages import Header, framed
from handrail.serve.output import Output, write_into

FORK: Final = b"F"
STOP: Final = b"S"
MAX_SOCKETS: Final = 64
# Replicas see their sockets end when the gateway does; one that hangs does not, and is ended after this.
LEAVE_S: Final = 1.0


def fork_replicas(
    control: socket.socket,
    ready: Header,
    become: Callable[[list[socket.socket]], None],
    *,
    rendezvous: str,
    adoptable_s: float,
    output: Output | None = None,
) -> None:
    """Forks a process that runs `become(sockets)` each time some come over `control`, and tells of its end. What the
    processes print goes to `output`, where there is one.

    Returns when the gateway says so, or when it is gone and none came to `rendezvous` within `adoptable_s`. `ready` is
    what a gateway is told first.
    """
    server = _ForkServer(become, output)
    while True:
        with control:
            control.sendall(framed(ready))
            stopped = server.run(control)
        server.end_all(0.0 if stopped else LEAVE_S)
        found = None if stopped else _next_gateway(rendezvous, adoptable_s)
        if found is None:
            return
        control = found


class _ForkServer:
    def __init__(self, become: Callable[[list[socket.socket]], None], output: Output | None) -> None:
        self._become = become
        self._output = output
        self._children: set[int] = set()
        # A child that ends wakes `select`: Python writes a byte to this socket when the signal comes.
        self._woken, self._wakes = socket.socketpair()
        self._woken.setblocking(False)
        self._wakes.setblocking(False)
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def run(self, control: socket.socket) -> bool:
        """Serves one gateway. True when it said that this is the end, False when it just went."""
        with contextlib.suppress(ConnectionError):
            while True:
                pipes: list[int] = [] if self._output is None else self._output.pipes()
                watched: list[socket.socket | int] = [control, self._woken, *pipes]
                readable, _, _ = select.select(watched, [], [])
                if self._output is not None:
                    self._output.pump([pipe for pipe in pipes if pipe in readable])
                if self._woken in readable:
                    self._reap(control)
                if control in readable:
                    word, descriptors, _, _ = socket.recv_fds(control, 1, MAX_SOCKETS)
                    if word != FORK:
                        return word == STOP
                    if descriptors:
                        self._fork(control, descriptors)
        return False

    def end_all(self, grace_s: float) -> None:
        """Ends the replicas that are still there after a moment."""
        if self._children and grace_s:
            select.select([], [], [], grace_s)
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        for child in self._children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)
        self._children.clear()
        if self._output is not None:
            self._output.pump(self._output.pipes())

    def _fork(self, control: socket.socket, descriptors: list[int]) -> None:
        writes = None if self._output is None else self._output.opened()
        child = os.fork()
        if child:
            for descriptor in descriptors:
                os.close(descriptor)
            if self._output is not None and writes is not None:
                self._output.follow(child, writes)
            self._children.add(child)
            control.sendall(framed({"forked": child}))
            return
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for inherited in (control, self._woken, self._wakes):
                inherited.close()
            if self._output is not None and writes is not None:
                self._output.leave()
                write_into(writes)
            with contextlib.ExitStack() as stack:
                self._become([stack.enter_context(socket.socket(fileno=one)) for one in descriptors])
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _reap(self, control: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        with contextlib.suppress(ChildProcessError):
            while True:
                child, status, usage = os.wait4(-1, os.WNOHANG)
                if not child:
                    return
                self._children.discard(child)
                peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
                ended = {"ended": child, "status": os.waitstatus_to_exitcode(status), "peak_bytes": peak_bytes}
                control.sendall(framed(ended))


def _next_gateway(rendezvous: str, adoptable_s: float) -> socket.socket | None:
    """The connection of a gateway of this user that looks for us here; None when none comes in time."""
    place = Path(f"{rendezvous}.{os.getpid()}")
    if not rendezvous or adoptable_s <= 0:
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        try:
            listening.bind(str(place))
            listening.listen(1)
            readable, _, _ = select.select([listening], [], [], adoptable_s)
            if not readable:
                return None
            connection, _ = listening.accept()
        except OSError:
            return None
        finally:
            place.unlink(missing_ok=True)
    if _peer(connection) != os.getuid():
        connection.close()
        return None
    return connection


def _peer(connection: socket.socket) -> int:
    """The user at the other end; ourselves where the system does not tell (the folder is ours alone)."""
    option: int | Literal[False] = getattr(socket, "SO_PEERCRED", False)
    if option is False:
        return os.getuid()
    found: int = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))[1]
    return found
