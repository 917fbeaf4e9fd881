"""Serves models until it is told to stop: socket, replicas, gateway, drain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from handrail.core.errors import HandrailError
from handrail.core.sockets import LOOPBACK, listening_at
from handrail.model import Model, load
from handrail.serve.certificates import Certificate
from handrail.serve.keys import keys_at, read_keys
from handrail.serve.limits import Limits, hosts_of
from handrail.serve.processes import ADOPTABLE_S, Started, program_of, start_forkserver


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
    command: Sequence[str] | None = None,
    keys: str | Path | None = None,
    hosts: Sequence[str] = (),
    tls: tuple[str | Path, str | Path] | None = None,
    grpc_port: int | None = None,
    max_batch_size: int = 512,
    batch_interval_s: float = 0.0,
    timeout_s: float | None = None,
    traces: bool = False,
) -> None:
    """Serves models (names, folders or opened ones) until SIGINT or SIGTERM, then answers what is in flight.

    `ready` is called with the address once every replica has answered its examples right. Port 0 picks a free one.
    A model given by name without a version is followed: a newer version takes over, without a request lost, within
    about `reload_s` after it was saved (0: never). When this process is killed, what it had loaded waits `adoptable_s`
    for the next one.
    `keys` is a file that `handrail keys` has written (None: the store's); while it holds keys, every route but health
    asks for one. `hosts` are names this server is asked by, beside `host` and those of the loopback. `tls` are the
    files of a certificate with its chain and of its private key: then it speaks HTTPS. With `grpc_port` it speaks the
    Open Inference Protocol over gRPC there, too, on the same host, with the same keys and limits.
    A batch holds what waited while the one before was answered, as many rows as pay by what batches took so far and no
    more than `max_batch_size`; with `batch_interval_s` the first of them waits that long for others. `timeout_s` is how
    long a client waits when it sets no shorter `X-Deadline-Ms` (30 s). With `traces` each answer is a span of
    OpenTelemetry, sent where its environment variables say.
    Raises HandrailError for a taken port, an address others could reach without a key, or a model that does not open.
    """
    limits = with_hosts(limits or Limits(), host, hosts)
    if timeout_s is not None:
        limits = replace(limits, answer_timeout_s=timeout_s)
    guarded_by = keys_at(keys)
    refuse_open_door(host, guarded_by)
    files = None if tls is None else (Path(tls[0]), Path(tls[1]))
    certificate = None if files is None else Certificate(*files)
    if grpc_port is not None and find_spec("grpc") is None:
        raise HandrailError("environment", "gRPC is not installed", "pip install 'handrail[grpc]'", field="grpc-port")
    opened = _opened(models)
    listening = listening_at(host, port)

    def start(model: Model) -> Started:
        return start_forkserver(model.bundle.path, command or program_of(model.manifest.task), adoptable_s)

    # They start first: they open their models while this process imports the HTTP stack.
    started = [start(model) for model in opened.values()]
    try:
        import uvloop  # noqa: PLC0415 - imported while the replicas start

        from handrail.serve.batcher import Batching  # noqa: PLC0415
        from handrail.serve.gateway import Gateway, Settings  # noqa: PLC0415
        from handrail.serve.guard import Guard  # noqa: PLC0415
        from handrail.serve.tracing import tracing_by_environment  # noqa: PLC0415

        settings = Settings(
            limits=limits,
            guard=Guard(guarded_by, asks=host not in LOOPBACK),
            replicas=replicas,
            batching=Batching(max_batch_size, batch_interval_s),
            hang_s=hang_s,
            access_log=access_log,
            tls=certificate,
            tracing=tracing_by_environment() if traces else None,
            grpc=None if grpc_port is None else (_address(host, grpc_port), files),
            followed=tuple(str(reference) for reference in models if _is_followed(reference)) if reload_s > 0 else (),
            reload_s=reload_s,
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(Gateway(opened, start, settings).run(listening, started, ready))
    finally:
        listening.close()
        for one in started:
            one.close()


def _is_followed(reference: str | Path | Model) -> bool:
    """True for a name that may come to mean another version: `reviews`, `reviews@prod`; not `reviews@3` or a path."""
    if not isinstance(reference, str) or "/" in reference or reference.startswith("."):
        return False
    return not reference.partition("@")[2].isdigit()


def with_hosts(limits: Limits, host: str, hosts: Sequence[str]) -> Limits:
    """The limits, with the names that this server is asked by."""
    return replace(limits, hosts=limits.hosts | hosts_of([host, *hosts]))


def refuse_open_door(host: str, keys: Path | None) -> None:
    """Raises HandrailError where others could reach this address without a key."""
    if host not in LOOPBACK and (keys is None or not read_keys(keys)):
        raise HandrailError(
            "usage",
            f"others could reach {host}, and there is no key that keeps them out",
            "make one: handrail keys add NAME; or leave --host out",
        )


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


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
