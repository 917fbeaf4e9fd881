"""`handrail serve`: the prediction API."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handrail.faces.cli.options import once, opened, reference_of, shared, whole
from handrail.faces.cli.printing import put, put_json, put_table, say

if TYPE_CHECKING:
    from handrail.model import Model

LONGEST_EXAMPLE = 300


@click.command("serve", epilog="Example: handrail serve reviews churn --port 8080")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@once("--host", metavar="HOST", help="The address to listen on (default 127.0.0.1).")
@once("--port", read=whole(0, 65_535, "8080"), metavar="PORT", help="The port (default 8080; 0: a free one).")
@once("--replicas", read=whole(1, 64, "2"), metavar="N", help="Processes that answer, for each model (default 1).")
@click.option("--access-log", is_flag=True, help="Log every request on stderr.")
@shared
def command(
    names: tuple[str, ...], host: str | None, port: int | None, replicas: int | None, access_log: bool, as_json: bool
) -> None:
    """Answer over HTTP with the models NAME..., until Ctrl-C; what is in flight then is answered first."""
    from handrail.serve import serve

    models = [opened(name) for name in names]

    def ready(url: str) -> None:
        if as_json:
            put_json({"url": url, "models": [model.name for model in models]})
        else:
            put_addresses(url.rstrip("/"), models)
        sys.stdout.flush()

    serve(
        [reference_of(name) for name in names],
        host="127.0.0.1" if host is None else host,
        port=8080 if port is None else port,
        replicas=replicas or 1,
        access_log=access_log,
        ready=ready,
    )


def put_addresses(url: str, models: list[Model]) -> None:
    """Where each model answers, and a request that works."""
    put(f"serving at {url}   (Ctrl-C stops)")
    put_table([(f"  {model.name}@{model.version or Path(model.bundle.path).name}", f"POST {url}/{model.name}/predict")
               for model in models])  # fmt: skip
    model = models[0]
    examples = [example["input"] for example in model.examples] or [model.signature.sample_row()]
    row = min((json.dumps(row, ensure_ascii=False) for row in examples), key=len)
    if len(row) <= LONGEST_EXAMPLE:
        say(f"try: curl {url}/{model.name}/predict --json {shlex.quote(row)}")
