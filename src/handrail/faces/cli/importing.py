"""handrail import: a model from a file."""

from __future__ import annotations

from pathlib import Path

import click

from handrail.faces.cli.drawing import json_option, print_json, say


@click.command("import", epilog="Example: handrail import reviews.handrail", short_help="Take a model from a file")
@click.argument("file")
@click.option("--name", help="The model's name here (default: the one it had).")
@json_option
def command(file: str, name: str | None, as_json: bool) -> None:
    """Take a model from a file that handrail export wrote. Nothing in it is run; its examples must come out right."""
    from handrail.model import load
    from handrail.store import Store, check_name

    if name is not None:
        check_name(name)
    entry = Store().import_archive(Path(file), name, approve=lambda folder: load(folder).check())
    if as_json:
        print_json(entry.as_dict())
        return
    say(f"took in {entry.name}@{entry.version}; its hashes and examples are right")
