"""Starts the engine where it does not run: sockets are opened here, so that a port that is taken is said here."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.core.events import Tell, quiet
from handrail.core.files import disk_errors
from handrail.core.sockets import LOOPBACK, bound, listening_at
from handrail.engines.local.client import ask, is_running
from handrail.engines.local.place import Place
from handrail.engines.local.settings import read_settings, write_settings
from handrail.engines.local.supervisor import detached

START_S: Final = 30.0


def ensure_running(
    place: Place, *, host: str | None = None, port: int | None = None,
    tls: tuple[Path, Path] | None = None, tell: Tell = quiet,
) -> dict[str, Any]:  # fmt: skip
    """What the engine says of itself (`url`, `pid`), once it runs. `host`, `port` and `tls` (the files of a certificate
    and its key) None: as it last was, else 127.0.0.1, 8080 and plain HTTP; port 0 picks a free one.

    Raises HandrailError for a port that is taken, a host that others reach while no key guards it, an engine that runs
    elsewhere already, and one that does not come up.
    """
    with place.locked("start.lock", wait_s=START_S):
        if is_running(place):
            return _as_asked(ask(place, {"do": "ping"}), host, port, tls)
        wanted = read_settings(place)
        host = host or wanted["host"]
        port = wanted["port"] if port is None else port
        if host not in LOOPBACK:
            _refuse_open(host, place)
        files = wanted["tls"] if tls is None else [str(path.resolve()) for path in tls]
        if files:
            _refuse_unreadable(files)
        place.forget_control()
        with listening_at(host, port) as listening, bound(place.control) as control:
            place.remember_control()
            write_settings(place, host=host, port=listening.getsockname()[1], tls=files)
            _detached(place, [control, listening])
        return _up(place)


def _as_asked(
    running: dict[str, Any], host: str | None, port: int | None, tls: tuple[Path, Path] | None
) -> dict[str, Any]:
    found = running.get("address", [host, port])
    is_other = (host is not None and host != found[0]) or (port and port != found[1])
    if is_other or (tls is not None and not running["url"].startswith("https:")):
        problem = f"the engine runs at {running['url']} already"
        raise HandrailError("conflict", problem, "leave the options out, or stop it first: handrail down")
    return running


def _refuse_unreadable(files: list[str]) -> None:
    from handrail.serve.certificates import tls_context  # noqa: PLC0415 - rarely needed

    tls_context(*map(Path, files))


def _refuse_open(host: str, place: Place) -> None:
    from handrail.serve.keys import keys_at  # noqa: PLC0415 - rarely needed, and it takes a while
    from handrail.serve.server import refuse_open_door  # noqa: PLC0415

    refuse_open_door(host, keys_at(None))


def _detached(place: Place, sockets: list[socket.socket]) -> None:
    with disk_errors(place.engine_log):
        place.logs.mkdir(parents=True, exist_ok=True)
        log = os.open(place.engine_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        detached(str(place.home.resolve()), None, sockets, log)
    finally:
        os.close(log)


def _up(place: Place) -> dict[str, Any]:
    """Waits for the gateway: its control socket takes the question before it is there."""
    size = place.engine_log.stat().st_size
    with contextlib.suppress(HandrailError):
        return ask(place, {"do": "ping"}, timeout_s=START_S)
    said = _last_words(place.engine_log, size)
    raise HandrailError("environment", f"the engine did not start{said}", f"see {place.engine_log}")


def _last_words(log: Path, since: int) -> str:
    with log.open("rb") as file:
        file.seek(max(since, log.stat().st_size - 2_000))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return f": {lines[-1][:200]}" if lines else ""
