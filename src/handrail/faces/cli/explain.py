"""handrail explain: what moved one answer."""

from __future__ import annotations

import json

import click

from handrail.core.errors import HandrailError
from handrail.faces.cli.asking import row_from
from handrail.faces.cli.drawing import json_option, print_json, table

MOST_SHOWN = 15
BAR = 20


@click.command(
    "explain", epilog='Example: handrail explain reviews "I loved it"', short_help="Say what moved one answer"
)
@click.argument("name")
@click.argument("row")
@json_option
def command(name: str, row: str, as_json: bool) -> None:
    """Say how each input of ROW moved the answer."""
    from handrail.model import load

    model = load(name)
    asked = row_from(row, model.signature)
    if isinstance(asked, list):
        raise HandrailError("usage", "one row is explained at a time", f"for example '{model.signature.sample_text()}'")
    found = model.explain(asked)
    if as_json:
        print_json(found)
        return
    click.echo(json.dumps(found["answer"], ensure_ascii=False))
    parts = found.get("words") or found.get("contributions") or []
    parts = sorted(parts, key=lambda part: -abs(part["contribution"]))[:MOST_SHOWN]
    largest = max((abs(part["contribution"]) for part in parts), default=1.0) or 1.0
    rows = [("input", "value", "moves the answer by", "")]
    for part in parts:
        bar = ("+" if part["contribution"] > 0 else "-") * round(BAR * abs(part["contribution"]) / largest)
        rows.append((part.get("name") or part["word"], str(part.get("value", "")), f"{part['contribution']:+.4g}", bar))
    table(rows)
