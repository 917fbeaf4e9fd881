"""`handrail delete`: ends APIs."""

from __future__ import annotations

import sys

import click

from handrail.core.errors import HandrailError
from handrail.faces.cli.options import shared
from handrail.faces.cli.printing import put, put_json


@click.command("delete", epilog="Example: handrail delete reviews --yes")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@shared
def command(name: str, yes: bool, as_json: bool) -> None:
    """End the API NAME and forget its revisions; requests in flight are answered, and its model stays."""
    from handrail.deployments import delete
    from handrail.faces.cli.drawing import tell_plainly

    if not yes and not (sys.stdin.isatty() and click.confirm(f"Delete the API '{name}'?", err=True)):
        raise HandrailError("usage", f"'{name}' was not deleted", f"handrail delete {name} --yes")
    deleted = delete(name, tell=tell_plainly)
    if as_json:
        put_json({"name": name, "changed": deleted})
    else:
        put(f"deleted '{name}'" if deleted else f"there is no API '{name}': nothing to delete")
