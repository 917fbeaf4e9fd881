"""`handrail predict`: answers, one a line."""

from __future__ import annotations

import sys
from typing import Any

import click

from handrail.core.errors import HandrailError, counted
from handrail.faces.cli.options import once, opened, shared, writable
from handrail.faces.cli.printing import put, put_json, put_table, say

BAR_COLUMNS = 24
MOST_LABELS_SHOWN = 10
MOST_PROBLEMS_SHOWN = 10
SOME_BAD = 3


@click.command("predict", epilog='Example: handrail predict reviews "I loved it"')
@click.argument("name")
@click.argument("rows", nargs=-1, metavar="[ROW|FILE|-]...")
@once("-o", "--output", metavar="FILE", help="Write rows with answers to a .csv, or answers to a .jsonl.")
@click.option("--raw", is_flag=True, help="Leave cells in a .csv that begin like a formula as they are.")
@shared
def command(name: str, rows: tuple[str, ...], output: str | None, raw: bool, as_json: bool) -> None:
    """Answer rows with the model NAME: texts, JSON rows, a file, or standard input.

    A file is CSV, JSON lines, Parquet or Excel. Answers come in the order of the rows; a row that is off is named,
    the others are answered, and the exit status is 3.
    """
    from handrail.faces.cli.answers import answered, json_line, refuse_ending, write_answers
    from handrail.faces.cli.rows import asked

    path = writable(output) if output is not None else None
    if path is not None:
        refuse_ending(path)
    model = opened(name)
    what = asked(rows, model.signature)
    found = answered(model, what)
    if path is not None:
        write_answers(path, model, what, found, raw=raw)
        say(f"wrote {counted(len(found.answers) - len(found.problems), 'answer')} to {path}")
    if what.single and found.problems:
        raise HandrailError("data", found.problems[0], f"send {model.signature.sample_text()}")
    if as_json:
        problems = [{"row": place + 1, "message": text} for place, text in sorted(found.problems.items())]
        put_json({"model": _full_name(model), "answers": found.answers, "errors": problems})
    elif what.single and sys.stdout.isatty() and not path:
        put_answer(found.answers[0] or {}, model.signature.output.name)
    elif not path:
        for place in range(len(found.answers)):
            print(json_line(found, place))
    if found.problems:
        for place in sorted(found.problems)[:MOST_PROBLEMS_SHOWN]:
            say(f"{found.where(place)}: {found.problems[place]}")
        raise (
            HandrailError(
                "data",
                f"{len(found.problems):,} of {counted(len(found.answers), 'row')} "
                f"{'was' if len(found.problems) == 1 else 'were'} not answered",
                "mend them, or leave them out",
            )
            if not as_json
            else click.exceptions.Exit(SOME_BAD)
        )


def put_answer(answer: dict[str, Any], target: str) -> None:
    """One answer for a person: the value with its interval, or each label with a bar."""
    if "text" in answer:
        put(answer["text"])
        return
    if "value" in answer:
        put(f"{target}: {answer['value']:,.6g}   (90 % of the time from {answer['low']:,.6g} to {answer['high']:,.6g})")
        return
    put(f"{target}: {answer['label'] if 'label' in answer else ', '.join(answer['labels']) or '(none)'}")
    likeliest = sorted(answer["probabilities"].items(), key=lambda item: -item[1])
    put_table(
        [
            (f"  {label}", f"{share:.3f}", "█" * round(BAR_COLUMNS * share))
            for label, share in likeliest[:MOST_LABELS_SHOWN]
        ]
    )
    if len(likeliest) > MOST_LABELS_SHOWN:
        put(f"  … and {len(likeliest) - MOST_LABELS_SHOWN} more")


def _full_name(model: Any) -> str:
    return f"{model.name}@{model.version}" if model.version else str(model.name)
