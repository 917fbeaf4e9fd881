"""`handrail report`: how good a model is, and how that is known."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handrail.core.errors import HandrailError
from handrail.faces.cli.options import once, opened, shared, writable
from handrail.faces.cli.printing import put, put_heading, put_json, put_table, say

if TYPE_CHECKING:
    from handrail.model import Model


@click.command("report", epilog="Example: handrail report reviews --open")
@click.argument("name")
@click.option("--open", "show", is_flag=True, help="Show the whole report, with pictures, in the browser.")
@once("-o", "--output", metavar="FILE", help="Write the report as one HTML file.")
@shared
def command(name: str, show: bool, output: str | None, as_json: bool) -> None:
    """Show how good the model NAME is, how that is known, and what to mind."""
    from handrail.store import Store

    page = writable(output) if output is not None else None
    model = opened(name)
    if page is not None:
        say(f"wrote {write_page(model, page)}")
    if as_json:
        put_json(model.report)
    else:
        put(f"{model.name}@{model.version}" if model.version else model.name)
        with _damage_named(model):
            put_report(model.report)
        if not model.report:
            put("it was made elsewhere: how good it is was not measured here")
    if show:
        folder = Store().home / "pages"
        show_page(write_page(model, folder / f"{model.name}-{model.version or 0}.html"))
    elif model.report and not as_json and not page:
        put()
        put(f"pictures: handrail report {name} --open")


def write_page(model: Model, page: Path) -> Path:
    """Draws the report from its numbers. The page inside a bundle is not used: a stranger may have written it."""
    from handrail.core.files import write_text
    from handrail.report.html import draw

    with _damage_named(model):
        drawn = draw(model.report)
    write_text(page, drawn)
    return page


@contextlib.contextmanager
def _damage_named(model: Model) -> Iterator[None]:
    """A report.json of another shape than ours is the bundle's fault, not a bug."""
    from handrail.core.bundle import damaged

    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
        raise damaged(model.bundle.path, f"report.json is not a report: {error}") from error


def put_saved(model: Model, took_s: float, *, leave_out: Sequence[str], example: str) -> None:
    """What stands at the end of a training: the report in short, and what to type next."""
    put()
    put(f"{model.name}@{model.version} saved after {took_s:.1f} s")
    put_report(model.report, leave_out)
    put()
    put(f"next: {example}")


def put_report(report: Mapping[str, Any], leave_out: Sequence[str] = ()) -> None:
    """The report in words and small tables."""
    from handrail.report import terminal

    for heading, rows in terminal.lines(report):
        if heading in leave_out:
            continue
        if not heading:
            put_table(rows)
        else:
            put_heading(heading)
            put_table(_marked(rows), header=heading == "per label")


def _marked(rows: Sequence[tuple[str, ...]]) -> Sequence[tuple[str, ...]]:
    """Sentences get a mark, so that it can be seen where one ends."""
    return [("·", *row) for row in rows] if rows and len(rows[0]) == 1 else rows


def show_page(page: Path) -> None:
    """Opens a file in the browser. Raises HandrailError ("environment") where there is none."""
    import webbrowser

    if not webbrowser.open(page.absolute().as_uri()):
        raise HandrailError("environment", "no browser can be opened here", f"open it yourself: {page}")
    say(f"opened {page}")
