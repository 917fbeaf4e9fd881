"""handrail look: what train would decide, and why."""

from __future__ import annotations

import click

from handrail.faces.cli.asking import kinds
from handrail.faces.cli.drawing import json_option, print_json, say, table


@click.command("look", epilog="Example: handrail look churn.csv", short_help="Say what train would decide, and why")
@click.argument("file")
@click.option("--target", metavar="COLUMN", help="What to predict (guessed when not given).")
@click.option("--kind", "kind_words", multiple=True, metavar="COLUMN=KIND", help="Read a column as this kind.")
@click.option("--task", help="classification, regression or multilabel.")
@click.option("--header/--no-header", default=None, help="Whether the first row names the columns.")
@click.option("--separator", metavar="MARK", help="What stands between cells.")
@json_option
def command(
    file: str, target: str | None, kind_words: tuple[str, ...], task: str | None, header: bool | None,
    separator: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Say what train would decide about FILE, and why, without training."""
    from handrail.data.look import look_at
    from handrail.data.read import read_table
    from handrail.training.asked import problem_of

    rows = read_table(file, header=header, separator=separator)
    look = look_at(rows, target=target, kinds=kinds(kind_words), problem=problem_of(task))
    if as_json:
        print_json({**look.as_dict(), "reading": list(rows.notes)})
        return
    say(f"{len(rows):,} rows; predicts '{look.target}': {look.target_reason}")
    say(f"{look.problem}: {look.problem_reason}")
    say(f"test rows: {look.split.reason}")
    for note in [*rows.notes, *look.notes]:
        say(f"! {note}")
    say()
    cells = [("column", "kind", "used", "missing", "different", "why")]
    cells += [
        (one.name, one.kind, "yes" if one.used else "target" if one.name == look.target else "no", f"{one.missing:,}",
         f"{one.distinct:,}", one.reason)
        for one in look.columns
    ]  # fmt: skip
    table(cells)
