"""`handrail status`: how deployed APIs stand: versions, replicas, requests, times, errors."""

from __future__ import annotations

import sys
import time

import click

from handrail.core.errors import HandrailError
from handrail.faces.cli.options import once, seconds, shared
from handrail.faces.cli.printing import put_json

EVERY_S = 1.0


@click.command("status", epilog="Example: handrail status reviews")
@click.argument("name", required=False)
@click.option("--watch", "-w", is_flag=True, help="Show it again and again, until Ctrl-C.")
@once("--every", read=seconds, metavar="TIME", help="How often with --watch (default 1s).")
@shared
def command(name: str | None, watch: bool, every: float | None, as_json: bool) -> None:
    """Show how all deployed APIs stand, or NAME in full."""
    from handrail.deployments import status
    from handrail.faces.cli.standing import put_all, put_one
    from handrail.store.home import default_home

    if watch and as_json:
        raise HandrailError("usage", "--watch draws, --json prints one object", "give one of the two", field="watch")
    if watch and sys.stdout.isatty():
        _watch(name, every or EVERY_S)
        return
    answer = status(name)
    if as_json:
        put_json(answer)
    elif name is None:
        put_all(answer)
    else:
        put_one(answer["apis"][0], default_home())


def _watch(name: str | None, every_s: float) -> None:
    """Standing after standing in the same place; an engine that goes away is waited for."""
    from rich.console import Console
    from rich.live import Live

    from handrail.deployments import status
    from handrail.faces.cli.standing import drawn

    answer, said = status(name), "Ctrl-C ends"
    try:
        with Live(console=Console(highlight=False), screen=True, auto_refresh=False) as live:
            while True:
                live.update(drawn(answer["url"], answer["apis"], said), refresh=True)
                time.sleep(every_s)
                try:
                    answer, said = status(name), "Ctrl-C ends"
                except HandrailError as error:
                    if error.code == "interrupted":
                        return
                    said = f"{error.problem}; trying again"
    except KeyboardInterrupt:
        return
