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
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import uvloop

from handrail.core.errors import HandrailError
from handrail.core.sockets import LOOPBACK, listening_at
from handrail.engines.local import control
from handrail.engines.local.apis import Apis
from handrail.engines.local.doors import Doors, Rooted
from handrail.engines.local.engine import Engine
from handrail.engines.local.place import Place
from handrail.engines.local.settings import read_settings
from handrail.engines.local.supervisor import HOLD, READY, STOP, detached
from handrail.engines.local.versions import Site
from handrail.jobs.runner import Runner, Settings
from handrail.jobs.sweeping import DAY_S
from handrail.serve.app import App
from handrail.serve.certificates import Certificate, renewing
from handrail.serve.gateway import BACKLOG, drained, request_ids, tls_settings
from handrail.serve.guard import Guard, watching
from handrail.serve.http import Connection, Shared, sweeping
from handrail.serve.jobs import job_route_of
from handrail.serve.keys import keys_at
from handrail.serve.later import live_answers
from handrail.serve.limits import Limits
from handrail.serve.server import with_hosts
from handrail.store.deployments import Deployments

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
        kept = Deployments(self._place.home)
        site = Site(self._place.home, self._place.logs, limits)
        apis = Apis(site, kept)
        chosen = read_settings(self._place)
        tls = Certificate(*map(Path, chosen["tls"])) if chosen["tls"] else None
        scheme, shown = "http" if tls is None else "https", f"[{host}]" if ":" in host else host
        engine = Engine(apis, kept, f"{scheme}://{shown}:{port}")
        runner = Runner(self._place.home, _allowed(chosen), live_answers(lambda: app.routes))
        doors = Doors(apis, limits, runner, site.told)
        app = App(
            apis.models, limits=limits, guard=guard, coded=apis.coded, more=doors.routes, tell=doors.lines,
            find=job_route_of,
        )  # fmt: skip
        doors.app = apis.app = app
        apis.changed = app.changed
        shared = Shared(app, limits, request_ids(), app.admit)
        app.refusals = shared.refusals
        ports = Ports(app, shared, self, apis)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, engine.ended.set)
        tasks = [
            asyncio.create_task(one)
            for one in (
                self._supervised(engine), sweeping(shared), watching(guard), doors.look(),
                *([renewing(tls)] if tls else []),
            )
        ]  # fmt: skip
        asked = await control.answering(self._control.dup(), engine.verbs())
        try:
            restoring = asyncio.create_task(engine.restore())
            await asyncio.wait([restoring], timeout=RESTORE_S)
            server = await loop.create_server(
                lambda: Connection(shared), sock=self._sockets[0], backlog=BACKLOG, **tls_settings(tls)
            )
            await ports.open()
            await runner.open()
            with contextlib.suppress(OSError):
                self._link.sendall(READY)
            tasks.append(asyncio.create_task(engine.keep()))
            gc.collect()
            gc.freeze()
            await engine.ended.wait()
            server.close()
            ports.close()
            await asyncio.gather(*(drained(one, asyncio.Event()) for one in ports.every()))
            await ports.end()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._place.control.unlink(missing_ok=True)
            self._place.forget_control()
            asked.close()
            await runner.close()
            await apis.close()
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

    @property
    def extra(self) -> list[socket.socket]:
        """The sockets beside the first."""
        return self._sockets[1:]

    def hold(self, extra: list[socket.socket]) -> None:
        """Other sockets to listen on beside the first: the supervisor holds them, too."""
        self._sockets = [self._sockets[0], *extra]
        with contextlib.suppress(OSError):
            socket.send_fds(self._link, [HOLD], [one.fileno() for one in (self._control, *self._sockets)])


def _allowed(chosen: Mapping[str, Any]) -> Settings:
    """What jobs may do: by default they read no files over HTTP and tell nobody."""
    workers = {"workers": chosen["workers"]} if chosen["workers"] else {}
    return Settings(folders=[Path(one) for one in chosen["folders"]], webhooks=chosen["webhooks"],
                    keep_s=chosen["keep_days"] * DAY_S, **workers)  # fmt: skip


class Ports:
    """Ports of the loopback at whose root single APIs answer: plainly, since nothing leaves the machine there."""

    def __init__(self, app: App, shared: Shared, gateway: Gateway, apis: Apis) -> None:
        apis.ports = self.wanted
        self._app = app
        self._shared = shared
        self._gateway = gateway
        self._sockets = {one.getsockname()[1]: one for one in gateway.extra}
        self._names: dict[int, str] = {}
        self._servers: dict[int, asyncio.Server] = {}
        self._sweeps: dict[int, asyncio.Task[None]] = {}
        self._others: dict[int, Shared] = {}
        self._is_open = False
        self._opening: set[asyncio.Task[None]] = set()

    def every(self) -> list[Shared]:
        """What connections share, of all ports."""
        return [self._shared, *self._others.values()]

    def wanted(self, ports: Mapping[int, str]) -> None:
        """From now on these APIs have these ports. Raises HandrailError for one that is taken; then nothing changes."""
        added = {port: listening_at("127.0.0.1", port) for port in ports if port not in self._sockets}
        for port in [port for port in self._sockets if port not in ports]:
            self._end(port)
        self._names = dict(ports)
        if added:
            self._sockets |= added
        self._gateway.hold(list(self._sockets.values()))
        if self._is_open:
            task = asyncio.create_task(self.open())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def open(self) -> None:
        """Lets clients come."""
        self._is_open = True
        loop = asyncio.get_running_loop()
        for port, name in self._names.items():
            if port in self._others:
                other, rooted = self._others[port], Rooted(self._app, name)
                other.app, other.admit = rooted, rooted.admit
            elif port in self._sockets:
                rooted = Rooted(self._app, name)
                own = replace(self._shared, app=rooted, admit=rooted.admit, connections=set())
                self._others[port] = own
                self._servers[port] = await loop.create_server(
                    partial(Connection, own), sock=self._sockets[port], backlog=BACKLOG
                )
                self._sweeps[port] = asyncio.create_task(sweeping(own))

    def close(self) -> None:
        """Lets no more clients come."""
        for server in self._servers.values():
            server.close()

    async def end(self) -> None:
        """After the last client left."""
        for sweep in self._sweeps.values():
            sweep.cancel()
        await asyncio.gather(*self._sweeps.values(), return_exceptions=True)

    def _end(self, port: int) -> None:
        server = self._servers.pop(port, None)
        if server is not None:
            server.close()
        other = self._others.pop(port, None)
        if other is not None:
            other.draining = True
        self._sockets.pop(port).close()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except HandrailError as error:
        sys.exit(f"{error.problem}: {error.mend}")
