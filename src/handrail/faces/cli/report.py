"""handrail report: how good a model is, and how that is known."""

from __future__ import annotations

import click

from handrail.faces.cli.drawing import json_option, print_json, say, show_lines


@click.command(
    "report",
    epilog="Example: handrail report reviews --open",
    short_help="Say how good a model is, and how that is known",
)
@click.argument("name")
@click.option("--open", "opened", is_flag=True, help="Show report.html in the browser.")
@json_option
def command(name: str, opened: bool, as_json: bool) -> None:
    """Say how good a model is on rows it never saw, next to a trivial one, and what was noticed in the data."""
    from handrail.model import load
    from handrail.report.terminal import lines

    model = load(name)
    if as_json:
        print_json(model.report)
    else:
        show_lines(lines(model.report))
    page = model.bundle.path / "report.html"
    model.bundle.read("report.html")
    if opened:
        import webbrowser

        webbrowser.open(page.as_uri())
    say(f"pictures: {page}")
