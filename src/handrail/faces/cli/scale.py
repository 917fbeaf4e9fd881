"""`handrail scale`: how many replicas an API has."""

from __future__ import annotations

import click

from handrail.faces.cli.acting import put_act
from handrail.faces.cli.options import once, shared, whole


@click.command("scale", epilog="Example: handrail scale reviews --min 1 --max 4")
@click.argument("name")
@click.argument("replicas", required=False, metavar="[N]")
@once("--min", "least", read=whole(0, 1000, "1"), metavar="N", help="At least so many (0: none while nobody asks).")
@once("--max", "most", read=whole(1, 1000, "4"), metavar="N", help="At most so many.")
@shared
def command(name: str, replicas: str | None, least: int | None, most: int | None, as_json: bool) -> None:
    """Give NAME always N replicas, or as many as requests want between --min and --max."""
    from handrail.deployments import scale

    exactly = None if replicas is None else whole(0, 1000, "2")("replicas", replicas)
    put_act(
        name,
        lambda tell: scale(name, exactly, min_replicas=least, max_replicas=most, tell=tell),
        "{name}: {wanted} wanted, {ready} ready",
        "{name}: so many already, {wanted} wanted, {ready} ready",
        as_json=as_json,
    )
