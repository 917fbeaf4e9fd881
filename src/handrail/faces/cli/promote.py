"""`handrail promote`: a canary takes over."""

from __future__ import annotations

import click

from handrail.faces.cli.acting import put_act
from handrail.faces.cli.options import shared


@click.command("promote", epilog="Example: handrail promote reviews")
@click.argument("name")
@shared
def command(name: str, as_json: bool) -> None:
    """Let the canary of NAME answer all its requests."""
    from handrail.deployments import promote, status

    api = status(name)["apis"][0]
    has_canary = any(version["role"] == "canary" for version in api["versions"])
    put_act(
        name,
        lambda tell: promote(name, tell=tell) if has_canary else api,
        "{name}: what was the canary answers all requests",
        "{name}: there is no canary, one version answers all requests already",
        as_json=as_json,
    )
