"""The engine's gateway: `python -m handrail.engines.local.gateway HOME LINK CONTROL FD…`, started by the supervisor.

It serves on the sockets it is given, answers at the control socket, and starts another supervisor when its own dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Final

import uvloop

from handrail.core.errors import HandrailError
from handrail.core.sockets import LOOPBACK
from handrail.engines.local import control
from handrail.engines.local.engine import Engine
from handrail.engines.local.place import Place
from handrail.engines.local.supervisor import HOLD, STOP, detached
from handrail.serve.app import App
from handrail.serve.gateway import BACKLOG, drained, request_ids
from handrail.serve.guard import Guard, watching
from handrail.serve.http import Connection, Shared, sweeping
from handrail.serve.keys import keys_at
from handrail.serve.limits import Limits
from handrail.serve.server import with_hosts

LOCK_S: Final = 10.0
# How long the first clients wait at the door for models that are being opened.
RESTORE_S: Final = 10.0

log = logging.getLogger("handrail.engine")


def main(home: str, link: str, control_at: str, *descriptors: str) -> None:
    """Serves until it is told to stop."""
    os.umask(0o077)
    os.environ["HANDRAIL_HOME"] = home
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    place = Place(Path(home))
    sockets = [socket.socket(fileno=int(one)) for one in descriptors]
    with place.locked("gateway.lock", wait_s=LOCK_S), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        linked, asked = socket.socket(fileno=int(link)), socket.socket(fileno=int(control_at))
        runner.run(Gateway(place, linked, asked, sockets).run())


class Gateway:
    """The engine behind its sockets."""

    def __init__(
        self, place: Place, link: socket.socket, control_at: socket.socket, sockets: list[socket.socket]
    ) -> None:
        self._place = place
        self._link = link
        self._control = control_at
        self._sockets = sockets

    async def run(self) -> None:
        host, port = self._sockets[0].getsockname()[:2]
        limits = with_hosts(Limits(), host, [])
        guard = Guard(keys_at(None), asks=host not in LOOPBACK)
        engine = Engine(self._place, limits, f"http://{f'[{host}]' if ':' in host else host}:{port}")
        engine.app = App(engine.apis, limits=limits, guard=guard)
        shared = Shared(engine.app, limits, request_ids())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, engine.ended.set)
        tasks = [asyncio.create_task(one) for one in (self._supervised(engine), sweeping(shared), watching(guard))]
        asked = await control.answering(self._control.dup(), engine.verbs())
        try:
            restoring = asyncio.create_task(engine.restore())
            await asyncio.wait([restoring], timeout=RESTORE_S)
            servers = [
                await loop.create_server(lambda: Connection(shared), sock=one, backlog=BACKLOG) for one in self._sockets
            ]
            tasks.append(asyncio.create_task(engine.keep()))
            gc.collect()
            gc.freeze()
            await engine.ended.wait()
            for server in servers:
                server.close()
            await drained(shared, asyncio.Event())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._place.control.unlink(missing_ok=True)
            asked.close()
            await engine.close()
            with contextlib.suppress(OSError):
                self._link.setblocking(True)
                self._link.sendall(STOP)

    async def _supervised(self, engine: Engine) -> None:
        """Hears what the supervisor says; when it dies, another one takes its place."""
        loop = asyncio.get_running_loop()
        while True:
            self._link.setblocking(False)
            try:
                word = await loop.sock_recv(self._link, 1)
            except ConnectionError:
                word = b""
            if word == STOP:
                engine.ended.set()
                return
            if not word:
                self._link.close()
                ours, theirs = socket.socketpair()
                with theirs:
                    pid = detached(str(self._place.home), theirs, [self._control, *self._sockets], 2)
                self._link = ours
                log.warning("the supervisor died; %s took its place", pid)
                await asyncio.sleep(1.0)

    def hold(self, sockets: list[socket.socket]) -> None:
        """Other sockets to listen on: the supervisor holds them, too."""
        self._sockets = sockets
        socket.send_fds(self._link, [HOLD], [one.fileno() for one in (self._control, *sockets)])


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except HandrailError as error:
        sys.exit(f"{error.problem}: {error.mend}")
