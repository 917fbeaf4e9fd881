"""`handrail look`: what training would decide, and why, without training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from handrail.faces.cli.options import once, shared
from handrail.faces.cli.printing import put, put_heading, put_json, put_table
from handrail.faces.cli.train import KINDS, effort_of, kinds_of, rows_read

if TYPE_CHECKING:
    from handrail.data.look import Look
    from handrail.data.table import Table
    from handrail.tasks import Plan


@click.command("look", epilog="Example: handrail look churn.csv --target Churn")
@click.argument("file")
@once("--target", metavar="COLUMN", help="The column to predict; chosen for you when left out.")
@click.option("--kind", "kinds", multiple=True, metavar="COLUMN=KIND", help=f"Take a column as {', '.join(KINDS)}.")
@once("--task", metavar="TASK", help="classification, regression or multilabel, when the guess is wrong.")
@once("--effort", read=effort_of, metavar="EFFORT", help="quick, good (default) or best.")
@rows_read
@shared
def command(
    file: str, kinds: tuple[str, ...], header: bool | None, separator: str | None, as_json: bool, **given: Any
) -> None:
    """Show what `handrail train FILE` would decide: columns, target, task, split, plan, each with its reason."""
    from handrail.core.registry import task_part
    from handrail.data.look import look_at
    from handrail.data.read import read_table
    from handrail.training.asked import checked_order, machine, problem_of, recognised

    table = read_table(file, header=header, separator=separator)
    look = look_at(
        table, target=given["target"], kinds=kinds_of(kinds), problem=problem_of(given["task"]), group=given["group"],
        time=given["time_column"], missing=given["missing"],
    )  # fmt: skip
    order = checked_order(given["effort"] or "good", None, None, 0)
    plan = task_part(recognised(look), "plan").plan(look, order, machine())
    if as_json:
        put_json({"file": file, "reading_notes": list(table.notes), **look.as_dict(), "plan": plan.as_dict()})
    else:
        put_look(table, look, plan)


def put_look(table: Table, look: Look, plan: Plan) -> None:
    """Columns, plan and what was noticed."""
    from handrail.training.asked import plan_lines

    put(f"{table.source}: {look.rows:,} rows, {len(look.columns):,} columns")
    put_heading("columns")
    rows = [
        (f"  {one.name}", "target" if one.name == look.target else one.kind if one.used else f"({one.kind})",
         f"{one.missing:,}", f"{one.distinct:,}", _seen(one.reason, one.examples, one.used))
        for one in look.columns
    ]  # fmt: skip
    put_table([("  name", "kind", "missing", "distinct", "why"), *rows], header=True)
    put_heading("plan")
    put_table([(f"  {word}", text) for word, text in plan_lines(look, plan)])
    notes = [*table.notes, *look.notes]
    if notes:
        put_heading("noticed")
        put_table([("  ·", note) for note in notes])


def _seen(reason: str, examples: tuple[str, ...], used: bool) -> str:
    """Why, and what such cells look like."""
    shown = ", ".join(example[:20] for example in examples)
    return f"{reason} ({shown})" if used and shown and examples[0] not in reason else reason
