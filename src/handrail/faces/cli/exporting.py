"""handrail export: a model as one file."""

from __future__ import annotations

from pathlib import Path

import click

from handrail.core.errors import HandrailError
from handrail.faces.cli.drawing import json_option, print_json, say


@click.command(
    "export", epilog="Example: handrail export reviews@3 reviews.handrail", short_help="Write a model as one file"
)
@click.argument("name")
@click.argument("file", required=False)
@click.option("--force", is_flag=True, help="Replace FILE when it exists.")
@json_option
def command(name: str, file: str | None, force: bool, as_json: bool) -> None:
    """Write a model as one file that handrail import reads. Equal models give equal files."""
    from handrail.store import Store

    store = Store()
    path = Path(file) if file else Path(f"{name.split('@', 1)[0]}-{store.find(name).name}.handrail")
    if path.exists() and not force:
        raise HandrailError("conflict", "the file exists already", "give another name, or --force", where=str(path))
    store.export(name, path)
    if as_json:
        print_json({"file": str(path), "bytes": path.stat().st_size})
        return
    say(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
