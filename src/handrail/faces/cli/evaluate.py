"""`handrail evaluate`: the same measures on other rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from handrail.core.errors import counted
from handrail.faces.cli.options import opened, shared
from handrail.faces.cli.printing import put, put_json, put_table


@click.command("evaluate", epilog="Example: handrail evaluate reviews january.csv")
@click.argument("name")
@click.argument("file")
@shared
def command(name: str, file: str, as_json: bool) -> None:
    """Measure the model NAME on the rows of FILE, which must hold the right answers. Of a model that writes it is
    measured how well it foresees the text in FILE."""
    model = opened(name)
    score = model.evaluate(Path(file) if model.writes else file)
    if as_json:
        put_json({"model": f"{model.name}@{model.version}" if model.version else model.name, **score})
        return
    if model.writes:
        put_table([
            (f"{model.name} on {counted(score['tokens'], 'token')} ({score['bytes']:,} bytes)", ""),
            ("  bits per byte", f"{score['bits_per_byte']:.4f}"),
            ("  perplexity", f"{score['perplexity']:.4g}"),
        ])  # fmt: skip
        return
    put(f"{model.name} on {counted(score['rows'], 'row')}")
    for warning in score["warnings"]:
        put(f"! {warning}")
    put()
    put_table(measures(score["metrics"]), header=True)


def measures(metrics: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Each measure with its interval, the trivial model's value, and what it means."""
    from handrail.report.words import measure_of, number, with_interval

    rows = [
        (measure_of(name).title, with_interval(metric), number(metric.get("baseline")), measure_of(name).meaning)
        for name, metric in metrics.items()
    ]
    return [("measure", "value (95 % interval)", "trivial", "what it says"), *rows]
