"""`handrail down`: ends the engine."""

from __future__ import annotations

import click

from handrail.faces.cli.options import shared
from handrail.faces.cli.printing import put, put_json


@click.command("down", epilog="Example: handrail down")
@shared
def command(as_json: bool) -> None:
    """End the engine and all APIs, after what is in flight; handrail up brings them back."""
    from handrail.deployments import down
    from handrail.faces.cli.drawing import tell_plainly

    ended = down(tell=tell_plainly)
    if as_json:
        put_json({"changed": ended})
    else:
        put("the engine has ended; handrail up brings back what is deployed" if ended else "the engine is down already")
