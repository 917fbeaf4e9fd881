"""Serves models until it is told to stop: socket, replicas, gateway, drain."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from handrail.core.errors import HandrailError
from handrail.model import Model, load
from handrail.serve.limits import Limits
from handrail.serve.processes import ADOPTABLE_S, REPLICA, Started, start_forkserver

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
BACKLOG: Final = 2048


def serve(
    models: Sequence[str | Path | Model],
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    ready: Callable[[str], None] | None = None,
    replicas: int = 1,
    access_log: bool = False,
    limits: Limits | None = None,
    hang_s: float = 8.0,
    adoptable_s: float = ADOPTABLE_S,
    reload_s: float = 1.0,
    command: Sequence[str] = REPLICA,
) -> None:
    """Serves models (names, folders or opened ones) until SIGINT or SIGTERM, then answers what is in flight.

    `ready` is called with the address once every replica has answered its examples right. Port 0 picks a free one.
    A model given by name without a version is followed: a newer version takes over, without a request lost, within
    about `reload_s` after it was saved (0: never). When this process is killed, what it had loaded waits `adoptable_s`
    for the next one.
    Raises HandrailError for a taken port, an address others could reach, or a model that does not open.
    """
    opened = _opened(models)
    listening = _listening(host, port)

    def start(folder: Path) -> Started:
        return start_forkserver(folder, command, adoptable_s)

    # They start first: they open their models while this process imports the HTTP stack.
    started = [start(model.bundle.path) for model in opened.values()]
    try:
        import uvloop  # noqa: PLC0415 - imported while the replicas start

        from handrail.serve.gateway import Gateway  # noqa: PLC0415

        followed = [str(reference) for reference in models if _is_followed(reference)] if reload_s > 0 else []
        gateway = Gateway(
            opened, start, replicas=replicas, limits=limits or Limits(), hang_s=hang_s, access_log=access_log
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(gateway.run(listening, started, ready, followed, reload_s))
    finally:
        listening.close()
        for one in started:
            one.close()


def _is_followed(reference: str | Path | Model) -> bool:
    """True for a name that may come to mean another version: `reviews`, `reviews@prod`; not `reviews@3` or a path."""
    if not isinstance(reference, str) or "/" in reference or reference.startswith("."):
        return False
    return not reference.partition("@")[2].isdigit()


def _opened(models: Sequence[str | Path | Model]) -> dict[str, Model]:
    opened: dict[str, Model] = {}
    for reference in models:
        model = reference if isinstance(reference, Model) else load(reference)
        if model.name in opened:
            raise HandrailError("usage", f"'{model.name}' is given twice", "give each model once")
        opened[model.name] = model
    if not opened:
        raise HandrailError("usage", "no model to serve", "handrail serve NAME")
    return opened


def _listening(host: str, port: int) -> socket.socket:
    if host not in LOOPBACK:
        raise HandrailError(
            "usage",
            f"others could reach {host}, and this version has no keys to keep them out",
            "leave --host out, and put a proxy that asks for a password in front",
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listening.close()
        raise _not_bound(port, error) from None
    return listening


def _not_bound(port: int, error: Exception) -> HandrailError:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return HandrailError("environment", f"port {port} is taken", "choose another, or let one be picked: --port 0")
    if number == errno.EACCES:
        return HandrailError(
            "environment", f"port {port} needs more rights", "choose one above 1023, such as --port 8080"
        )
    return HandrailError(
        "usage", f"port {port} cannot be used: {error}", "choose another, or let one be picked: --port 0"
    )
