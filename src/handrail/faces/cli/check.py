"""`handrail check`: every member hashed, every example answered again."""

from __future__ import annotations

import click

from handrail.faces.cli.options import opened, shared
from handrail.faces.cli.printing import put, put_json


@click.command("check", epilog="Example: handrail check reviews@3")
@click.argument("name")
@shared
def command(name: str, as_json: bool) -> None:
    """Verify the model NAME: its files are what it says, and it still gives the answers it gave when it was made."""
    model = opened(name)
    found = model.check()
    if as_json:
        put_json({"ok": True, **found})
        return
    put(f"✓ {found['members']} members are what the manifest says (SHA-256)")
    done = "foreseen" if model.writes else "answered"
    put(f"✓ {found['examples']} examples {done} again, largest difference {found['largest_difference']:.2g}")
    if not found["examples"]:
        put("  (this model carries no examples)")
