"""handrail check: a model's hashes, and its examples answered again."""

from __future__ import annotations

import click

from handrail.faces.cli.drawing import json_option, print_json, say


@click.command(
    "check", epilog="Example: handrail check reviews", short_help="Check a model's hashes and answer its examples again"
)
@click.argument("name")
@json_option
def command(name: str, as_json: bool) -> None:
    """Check that every file of a model is what it was, and that it answers its examples as it did."""
    from handrail.model import load

    found = load(name).check()
    if as_json:
        print_json({**found, "ok": True})
        return
    say(f"ok: {found['members']} files have their hashes")
    say(
        f"ok: {found['examples']} examples are answered as before (largest difference {found['largest_difference']:.1g})"
    )
