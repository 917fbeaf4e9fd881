"""handrail evaluate: a model measured on other rows."""

from __future__ import annotations

import click

from handrail.faces.cli.drawing import json_option, print_json, show_lines


@click.command(
    "evaluate", epilog="Example: handrail evaluate reviews new-reviews.csv", short_help="Measure a model on other rows"
)
@click.argument("name")
@click.argument("file")
@json_option
def command(name: str, file: str, as_json: bool) -> None:
    """Measure a model on the rows of FILE, which has the right answers, next to a trivial model."""
    from handrail.model import load
    from handrail.report.terminal import lines

    model = load(name)
    score = model.evaluate(file)
    if as_json:
        print_json({"name": model.name, "version": model.version, "score": score})
        return
    rows = {"train": model.manifest.data.get("rows", 0), "test": score.get("rows", 0)}
    show_lines(lines({"task": model.manifest.task, "score": score, "rows": rows, "evaluated_on": "test rows"}))
