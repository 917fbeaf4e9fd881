"""What the terminal shows: words to stderr, data to stdout, bars and tables where somebody looks."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from handrail.core.errors import clipped, printable
from handrail.core.events import Event, Planned, Progress, Said, Tell, Tried, Warned

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object to stdout, talk to stderr.")


def print_json(value: Any) -> None:
    """One JSON value on one line of stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def say(text: str = "") -> None:
    """A line to a person, on stderr."""
    click.echo(printable(text), err=True)


def table(rows: Sequence[Sequence[str]], *, header: bool = True, to_stdout: bool = True) -> None:
    """Rows in columns as wide as their widest cell; the first row is a header."""
    if not rows:
        return
    width = max(map(len, rows))
    cells = [
        [clipped(printable(str(cell)).replace("\n", " "), 60) for cell in [*row, *[""] * (width - len(row))]]
        for row in rows
    ]
    widths = [max(len(row[place]) for row in cells) for place in range(width)]
    for number, row in enumerate(cells):
        line = "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()
        click.secho(line, bold=header and number == 0, err=not to_stdout)


def show_lines(parts: Sequence[tuple[str, Sequence[Sequence[str]]]], *, to_stdout: bool = True) -> None:
    """The report as `report.terminal.lines` gives it."""
    for heading, rows in parts:
        if heading:
            click.echo("", err=not to_stdout)
            click.secho(heading, bold=True, err=not to_stdout)
        if all(len(row) == 1 for row in rows):
            for row in rows:
                mark = "" if not heading else "! " if heading == "warnings" else "· "
                click.secho(mark + printable(row[0]), bold=not heading, err=not to_stdout)
        else:
            table(rows, header=heading == "per label", to_stdout=to_stdout)


@contextlib.contextmanager
def drawn() -> Iterator[Tell]:
    """A `tell` that draws: a live bar on a terminal, plain lines elsewhere."""
    if not sys.stderr.isatty():
        yield plain_tell
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True, highlight=False)
    bar = Bar(TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[best]}"), TimeElapsedColumn(),
              console=console, transient=True)  # fmt: skip
    with bar:
        task = bar.add_task("reading", total=None, best="")

        def tell(event: Event) -> None:
            if isinstance(event, Progress):
                total = event.total or None
                bar.update(
                    task, description=printable(event.doing)[:44], completed=event.done, total=total, best=event.best
                )
            else:
                write_event(event, lambda text, style="": console.print(text, style=style, markup=False))

        yield tell


def plain_tell(event: Event) -> None:
    """Events as lines on stderr; progress is left out."""
    write_event(event, lambda text, style="": say(text))


def write_event(event: Event, write: Callable[..., None]) -> None:
    """One event in words. `write(text, style)` puts a line somewhere; styles are rich's."""
    if isinstance(event, Said):
        write(f"  {printable(event.text)}", "dim")
    elif isinstance(event, Warned):
        write(f"! {printable(event.text)}", "yellow")
    elif isinstance(event, Planned):
        write("plan", "bold")
        for word, text in event.lines:
            write(f"  {word:<10} {printable(text)}")
    elif isinstance(event, Tried):
        score = "failed" if event.score is None else f"{event.metric} {event.score:.4g}"
        mark = "*" if event.best else " "
        note = f"  {event.note}" if event.note else ""
        write(f"{mark} {event.name:<36} {score:<18} {event.seconds:>6.1f} s{note}", "bold" if event.best else "")
