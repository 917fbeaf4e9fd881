"""`handrail explain`: what moved one answer."""

from __future__ import annotations

from typing import Any

import click

from handrail.core.errors import HandrailError
from handrail.faces.cli.options import opened, shared
from handrail.faces.cli.predict import put_answer
from handrail.faces.cli.printing import put, put_heading, put_json, put_table

MOST_SHOWN = 15


@click.command("explain", epilog='Example: handrail explain reviews "I loved the music"')
@click.argument("name")
@click.argument("row")
@shared
def command(name: str, row: str, as_json: bool) -> None:
    """Show how each word or column moved the answer of the model NAME to one ROW (a text, or a JSON object)."""
    from handrail.faces.cli.rows import row_of

    model = opened(name)
    asked = row_of(row, model.signature)
    if isinstance(asked, list):
        raise HandrailError("usage", "one row at a time", "give one row, not a list")
    found = model.explain(asked)
    if as_json:
        put_json(found)
        return
    put_answer(found["answer"], model.signature.output.name)
    put_heading("what moved it (+ towards this answer, − away from it)")
    put_table([(f"  {name}", value, signed(amount)) for name, value, amount in parts_of(found)[:MOST_SHOWN]])
    if "base" in found:
        put(f"  {found['base']:.3f} is where it starts, on average; the parts add up from there")


def parts_of(found: dict[str, Any]) -> list[tuple[str, str, float]]:
    """(what, its value, how far it moved the answer), the strongest first."""
    if "words" in found:
        parts = [(str(word["word"]), "", float(word["contribution"])) for word in found["words"]]
    else:
        parts = [(str(one["name"]), _shown(one["value"]), float(one["contribution"])) for one in found["contributions"]]
    return sorted(parts, key=lambda part: -abs(part[2]))


def signed(amount: float) -> str:
    """A number with its sign in front."""
    return f"{'+' if amount >= 0 else '−'}{abs(amount):,.{3 if abs(amount) < 1_000 else 0}f}"


def _shown(value: object) -> str:
    if value is None or value != value:  # noqa: PLR0124 - NaN is not itself
        return "(missing)"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)[:40]
