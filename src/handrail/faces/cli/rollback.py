"""`handrail rollback`: an API as it was before."""

from __future__ import annotations

import click

from handrail.faces.cli.acting import put_act
from handrail.faces.cli.options import shared, whole


@click.command("rollback", epilog="Example: handrail rollback reviews")
@click.argument("name")
@click.argument("revision", required=False)
@shared
def command(name: str, revision: str | None, as_json: bool) -> None:
    """Serve NAME as it was served before its last change, or as in REVISION."""
    from handrail.deployments import rollback

    number = None if revision is None else whole(1, 999_999_999, "3")("revision", revision)
    put_act(
        name,
        lambda tell: rollback(name, number, tell=tell),
        "{name}: back, {state} at {url}",
        "{name}: at revision {revision} already",
        as_json=as_json,
    )
