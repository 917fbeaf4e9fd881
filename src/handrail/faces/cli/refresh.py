"""`handrail refresh`: new replicas for old ones."""

from __future__ import annotations

import click

from handrail.faces.cli.drawing import tell_plainly
from handrail.faces.cli.options import shared
from handrail.faces.cli.printing import put, put_json


@click.command("refresh", epilog="Example: handrail refresh reviews")
@click.argument("name")
@shared
def command(name: str, as_json: bool) -> None:
    """Replace the replicas of NAME by new ones, one after the other; no request is lost."""
    from handrail.deployments import refresh

    api = refresh(name, tell=tell_plainly)
    if as_json:
        put_json({"api": api})
    else:
        put(f"{name}: its replicas are being replaced, {api['ready']} of {api['wanted']} ready")
