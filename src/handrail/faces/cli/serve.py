"""handrail serve: answers over HTTP."""

from __future__ import annotations

import click

from handrail.core.errors import HandrailError
from handrail.faces.cli.drawing import json_option, print_json, say


@click.command(
    "serve",
    epilog="Example: handrail serve reviews --port 8080",
    short_help="Answer over HTTP, with docs and a page to try",
)
@click.argument("names", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=int, default=8080, show_default=True, help="0 picks a free one.")
@click.option("--access-log", is_flag=True, help="Write a JSON line to stderr for each request.")
@json_option
def command(names: tuple[str, ...], host: str, port: int, access_log: bool, as_json: bool) -> None:
    """Answer over HTTP with one or more models: POST /NAME/predict, docs, and a page to try."""
    if not 0 <= port <= 65535:
        raise HandrailError("usage", f"--port must be 0 to 65535, received {port}", "for example --port 8080")
    from handrail.serve import serve

    def ready(url: str) -> None:
        if as_json:
            print_json({"url": url, "models": list(names)})
        else:
            for name in names:
                say(f"{url.rstrip('/')}/{name.split('@')[0]}   POST …/predict answers; open it in a browser to try")
            say(f"{url.rstrip('/')}/docs   stop with Ctrl-C")

    serve(names, host=host, port=port, ready=ready, access_log=access_log)
