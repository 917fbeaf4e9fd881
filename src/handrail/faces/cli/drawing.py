"""What a training tells, drawn: with a live bar on a terminal, as plain lines anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from handrail.core.errors import clipped
from handrail.core.events import Event, Planned, Progress, Said, Tell, Tried, Warned
from handrail.faces.cli.printing import one_line, table_lines, width_of_terminal
from handrail.report.words import measure_of

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

NAME_COLUMNS = 26


@contextmanager
def drawn() -> Iterator[Tell]:
    """A `tell` that draws on stderr while the block runs."""
    if not sys.stderr.isatty():
        yield tell_plainly
        return
    bar = _bar()
    with bar:
        yield _teller(bar)


def tell_plainly(event: Event) -> None:
    """Lines without control characters; steps inside a candidate are left out."""
    for line in lines_of(event, width=100):
        print(line, file=sys.stderr, flush=True)


def lines_of(event: Event, width: int) -> list[str]:
    """An event as lines of text."""
    if isinstance(event, Planned):
        return ["", *table_lines([(f"  {word}", text) for word, text in event.lines], width), ""]
    if isinstance(event, Said):
        return table_lines([("·", event.text)], width)
    if isinstance(event, Warned):
        return table_lines([("!", event.text)], width)
    if isinstance(event, Tried):
        return [_tried(event, width)]
    return []


def _tried(event: Tried, width: int) -> str:
    name, note = one_line(event.name), one_line(event.note)
    if event.score is None:
        return clipped(f"✗ {name}: {note or 'failed'}", width)
    measure = measure_of(event.metric)
    title = measure.title.lower() if measure.meaning else event.metric
    best = "  best so far" if event.best else ""
    rest = f"{title} {event.score:<8.4g} {event.seconds:6.1f} s{best}"
    room = max(8, min(NAME_COLUMNS, width - len(rest) - 4))
    return clipped(f"✓ {clipped(name, room):<{room}}  {rest}{'  ' + note if note else ''}", width)


def _bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True, highlight=False, width=width_of_terminal())
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("{task.fields[best]}", markup=False),
    )
    return Bar(*columns, console=console, transient=True)


def _teller(bar: Bar) -> Tell:
    from rich.text import Text

    width = width_of_terminal()
    styles = {Warned: "yellow", Tried: "", Said: "", Planned: ""}
    task = bar.add_task("reading", total=None, best="")

    def tell(event: Event) -> None:
        if isinstance(event, Progress):
            total = event.total or None
            best = f"best {one_line(event.best)}" if event.best else ""
            bar.update(task, description=one_line(event.doing), completed=event.done, total=total, best=best)
            return
        style = "green" if isinstance(event, Tried) and event.best else styles[type(event)]
        for line in lines_of(event, width):
            bar.console.print(Text(line, style=style), soft_wrap=True)

    return tell
