"""`handrail export`: a model as one file."""

from __future__ import annotations

from pathlib import Path

import click

from handrail.faces.cli.options import once, shared, writable
from handrail.faces.cli.printing import put, put_json, size_words


@click.command("export", epilog="Example: handrail export reviews -o reviews.handrail")
@click.argument("name")
@once("-o", "--output", metavar="FILE", help="Where to (default: NAME.handrail).")
@shared
def command(name: str, output: str | None, as_json: bool) -> None:
    """Write the model NAME as one file that `handrail import` reads; the same model gives the same bytes."""
    from handrail.store import Store, split_reference

    archive = writable(output) if output is not None else Path(f"{split_reference(name)[0]}.handrail")
    Store().export(name, archive)
    size = archive.stat().st_size
    if as_json:
        put_json({"file": str(archive), "bytes": size})
    else:
        put(f"wrote {archive} ({size_words(size)})")
