"""The gateway process: pools, application and HTTP server put together, run, drained."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import uvicorn

from handrail.model import Model
from handrail.serve.api import Api, api_of
from handrail.serve.app import App
from handrail.serve.batcher import Batcher
from handrail.serve.limits import Limits
from handrail.serve.metrics import Metrics
from handrail.serve.pool import Pool, Started
from handrail.serve.protocol import bounded, sweeping

DRAIN_S = 30


class Gateway:
    """Models, served. `run` returns when all is drained after SIGINT or SIGTERM."""

    def __init__(
        self, models: Mapping[str, Model], *, limits: Limits, hang_s: float, command: Sequence[str], access_log: bool
    ) -> None:
        self._models = models
        self._limits = limits
        self._hang_s = hang_s
        self._command = command
        self._access_log = access_log

    async def run(
        self, listening: socket.socket, started: Sequence[Sequence[Started]], ready: Callable[[str], None] | None
    ) -> None:
        apis = {
            model.name: self._api(model, len(first))
            for model, first in zip(self._models.values(), started, strict=True)
        }
        app = App(apis, limits=self._limits, access_log=_to_stderr if self._access_log else None)
        server = uvicorn.Server(self._config(app))
        stop = asyncio.Event()
        with _signals(server, stop):
            try:
                pools = [api.pool.open(first) for api, first in zip(apis.values(), started, strict=True)]
                if await _unless_stopped(asyncio.gather(*pools), stop):
                    sweeper = asyncio.create_task(sweeping(server.server_state.connections))
                    asyncio.get_running_loop().call_soon(_tell, ready, listening)
                    gc.collect()
                    gc.freeze()
                    await server.serve(sockets=[listening])
                    sweeper.cancel()
            finally:
                await asyncio.gather(*(api.pool.close() for api in apis.values()))

    def _api(self, model: Model, replicas: int) -> Api:
        metrics = Metrics()
        batcher = Batcher(model.name, metrics)
        pool = Pool(model.bundle.path, batcher, metrics, replicas=replicas, hang_s=self._hang_s, command=self._command)
        return api_of(model, batcher, pool, metrics)

    def _config(self, app: App) -> uvicorn.Config:
        return uvicorn.Config(
            app,
            http=bounded(self._limits),
            ws="none",
            loop="none",
            lifespan="off",
            log_config=None,
            # Below that uvicorn tells of every odd request, which would let strangers fill the log.
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=int(self._limits.keep_alive_s),
            timeout_graceful_shutdown=DRAIN_S,
            backlog=2048,
        )


async def _unless_stopped(opening: asyncio.Future[list[None]], stop: asyncio.Event) -> bool:
    """False when a signal came before all replicas were up."""
    stopped = asyncio.create_task(stop.wait())
    ends: list[asyncio.Future[Any]] = [opening, stopped]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if opening.done():
        opening.result()
        return not stop.is_set()
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    return False


def _tell(ready: Callable[[str], None] | None, listening: socket.socket) -> None:
    if ready is not None:
        host, port = listening.getsockname()[:2]
        ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")


@contextlib.contextmanager
def _signals(server: uvicorn.Server, stop: asyncio.Event) -> Iterator[None]:
    """SIGINT and SIGTERM drain; a second SIGINT does not wait for what is in flight.

    uvicorn raises the signal once more after it has drained, which would turn an exit of 0 into a death by signal;
    its own handlers are therefore not installed.
    """
    loop = asyncio.get_running_loop()

    def drain() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True
        stop.set()

    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment,method-assign]
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, drain)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _to_stderr(line: bytes) -> None:
    sys.stderr.buffer.write(line)
    sys.stderr.buffer.flush()
