"""`handrail serve`: the prediction API."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handrail.faces.cli.options import moments, once, opened, reference_of, shared, tls_files, whole
from handrail.faces.cli.printing import put, put_json, put_table, say

if TYPE_CHECKING:
    from handrail.model import Model

LONGEST_EXAMPLE = 300


@click.command("serve", epilog="Example: handrail serve reviews churn --port 8080")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@once("--host", metavar="HOST", help="The address to listen on (default 127.0.0.1).")
@once("--port", read=whole(0, 65_535, "8080"), metavar="PORT", help="The port (default 8080; 0: a free one).")
@once("--grpc-port", read=whole(1, 65_535, "8001"), metavar="PORT", help="Speak Open Inference over gRPC there, too.")
@once("--replicas", read=whole(1, 64, "2"), metavar="N", help="Processes that answer, for each model (default 1).")
@once(
    "--keys", metavar="FILE", help="Ask for a key of this file (default: of HANDRAIL_HOME, if handrail keys made one)."
)
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME", help="A name that others reach this server by.")
@once("--tls-cert", metavar="FILE", help="Speak HTTPS with this certificate and its chain (PEM).")
@once("--tls-key", metavar="FILE", help="The certificate's private key (PEM).")
@once("--max-batch-size", read=whole(1, 512, "64"), metavar="N", help="Rows answered together at most (default 512).")
@once("--batch-interval", read=moments, metavar="TIME", help="How long a row waits for others (default 0ms).")
@once("--timeout", read=moments, metavar="TIME", help="How long a client waits for an answer (default 30s).")
@click.option("--traces", is_flag=True, help="Send a span of OpenTelemetry for each answer (OTEL_* say where).")
@click.option("--access-log", is_flag=True, help="Log every request on stderr.")
@shared
def command(
    names: tuple[str, ...], host: str | None, port: int | None, grpc_port: int | None, replicas: int | None,
    keys: str | None, hosts: tuple[str, ...], tls_cert: str | None, tls_key: str | None,
    max_batch_size: int | None, batch_interval: float | None, timeout: float | None, traces: bool, access_log: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Answer over HTTP with the models NAME..., until Ctrl-C; what is in flight then is answered first. A file that
    `handrail export` wrote is imported first."""
    from handrail.core.sockets import LOOPBACK
    from handrail.faces.cli.imports import model_of
    from handrail.serve import serve
    from handrail.serve.keys import keys_at, read_keys

    tls = tls_files(tls_cert, tls_key)
    path = keys_at(keys)
    asks = path is not None and bool(read_keys(path))
    names = tuple(model_of(name) for name in names)
    models = [opened(name) for name in names]

    def ready(url: str) -> None:
        if as_json:
            put_json({"url": url, "models": [model.name for model in models]})
        else:
            put_addresses(url.rstrip("/"), models, asks=asks)
            if host is not None and host not in LOOPBACK and tls is None:
                say("note: keys travel unencrypted; --tls-cert and --tls-key, or a proxy that speaks HTTPS, hide them")
        sys.stdout.flush()

    serve(
        [reference_of(name) for name in names],
        host="127.0.0.1" if host is None else host,
        port=8080 if port is None else port,
        replicas=replicas or 1,
        access_log=access_log,
        ready=ready,
        keys=keys,
        hosts=hosts,
        tls=tls,
        grpc_port=grpc_port,
        max_batch_size=max_batch_size or 512,
        batch_interval_s=batch_interval or 0.0,
        timeout_s=timeout or None,
        traces=traces,
    )


def put_addresses(url: str, models: list[Model], *, asks: bool) -> None:
    """Where each model answers, and a request that works."""
    put(f"serving at {url}   (Ctrl-C stops)")
    names = [f"{model.name}@{model.version or Path(model.bundle.path).name}" for model in models]
    ways = [f"POST {url}/{model.name}/{_verb(model)}" for model in models]
    put_table([(f"  {name}", way) for name, way in zip(names, ways, strict=True)])
    if any(model.writes for model in models):
        put(f"  OpenAI's clients: base_url {url}/v1")
    model = models[0]
    row = min((json.dumps(row, ensure_ascii=False) for row in _asked(model)), key=len)
    if len(row) <= LONGEST_EXAMPLE:
        key = " -H 'authorization: Bearer KEY'" if asks else ""
        say(f"try: curl {url}/{model.name}/{_verb(model)}{key} --json {shlex.quote(row)}")


def _verb(model: Model) -> str:
    """The last part of the path that a person asks first."""
    return {"search": "search", "generation": "generate"}.get(model.manifest.task, "predict")


def _asked(model: Model) -> list[Any]:
    """Bodies of requests to that path."""
    rows: list[Any] = [example["input"] for example in model.examples] or [model.signature.sample_row()]
    if model.manifest.task != "search":
        return rows
    (name,) = model.signature.names()
    return [{"question": row[name], "k": 3} for row in rows]
