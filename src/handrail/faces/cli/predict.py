"""handrail predict: answers to a text, a row, a file or stdin."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import click

from handrail.core.errors import HandrailError, clipped
from handrail.faces.cli.asking import rows_or_table
from handrail.faces.cli.drawing import json_option, print_json, say

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
MOST_SHOWN = 10


@click.command(
    "predict",
    epilog='Example: handrail predict reviews "I loved it"',
    short_help="Answer a text, a row, a file or stdin",
)
@click.argument("name")
@click.argument("rows", nargs=-1)
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write answers to this .csv or .jsonl file.")
@click.option("--raw", is_flag=True, help="Leave text in a CSV as it is, also where a spreadsheet would run it.")
@json_option
@click.pass_context
def command(
    context: click.Context, name: str, rows: tuple[str, ...], output: str | None, raw: bool, as_json: bool
) -> None:
    """Answer ROWS with a model: texts, JSON rows, or a file of rows; stdin when there are none."""
    from handrail.data.table import Table
    from handrail.model import load

    model = load(name)
    asked = rows_or_table(rows, model.signature)
    if isinstance(asked, Table):
        answers, bad = answered_table(model, asked)
    else:
        answers, bad = model.predict(asked), []
    if output:
        write_answers(Path(output), answers, raw)
        say(f"wrote {len(answers):,} answers to {output}")
    elif as_json:
        print_json({"answers": answers, "bad": bad} if isinstance(asked, Table) or len(answers) != 1 else answers[0])
    else:
        for answer in answers:
            click.echo(json.dumps(answer, ensure_ascii=False))
    for one in bad[:MOST_SHOWN]:
        say(f"row {one['row']:,}: {one['problem']}")
    if bad:
        say(
            f"error: {len(bad):,} of {len(answers):,} rows could not be answered\nhint: mend them; the others are answered"
        )
        context.exit(3)


def answered_table(model: Any, table: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Answers in the order of the rows; a bad row gets {"error": …} and is listed, the others are answered."""
    try:
        return model.predict_table(table), []
    except HandrailError as error:
        if error.where is None and error.field is not None and error.field not in table.columns:
            raise
    bad = _bad_rows(model.signature, table)
    good = [row for row in range(len(table)) if row not in bad]
    answers = iter(model.predict_table(table.select(good)) if good else [])
    listed = [{"row": row + 1, "problem": problem} for row, problem in sorted(bad.items())]
    return [{"error": bad[row]} if row in bad else next(answers) for row in range(len(table))], listed


def _bad_rows(signature: Any, table: Any) -> dict[int, str]:
    bad: dict[int, str] = {}
    for field in signature.inputs:
        for row, cell in enumerate(table.columns[field.name]):
            try:
                field.parse(cell)
            except ValueError as error:
                bad.setdefault(row, f"column '{field.name}': {error}")
    return bad


def write_answers(path: Path, answers: list[dict[str, Any]], raw: bool) -> None:
    """A line an answer: JSON, or CSV with a column for each value. Appears whole or not at all."""
    from handrail.core.files import write_text

    if path.suffix.lower() in (".jsonl", ".ndjson"):
        write_text(path, "".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers))
        return
    if path.suffix.lower() != ".csv":
        raise HandrailError(
            "usage", f"cannot write '{clipped(path.suffix or path.name)}'", "end the name in .csv or .jsonl"
        )
    flat = [_flat(answer) for answer in answers]
    names = list(dict.fromkeys(name for row in flat for name in row))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([_cell(name, raw) for name in names])
    writer.writerows([[_cell(row.get(name, ""), raw) for name in names] for row in flat])
    write_text(path, text.getvalue())


def _flat(answer: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in answer.items():
        if isinstance(value, dict):
            found |= {f"{name}.{part}": number for part, number in value.items()}
        else:
            found[name] = "|".join(value) if isinstance(value, list) else value
    return found


def _cell(value: Any, raw: bool) -> Any:
    """Text that a spreadsheet would take for a formula gets a mark in front (CSV injection); numbers stay."""
    return f"'{value}" if isinstance(value, str) and not raw and value.startswith(FORMULA_STARTS) else value
