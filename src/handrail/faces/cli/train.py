"""`handrail train`: from a file to a scored, saved model."""

from __future__ import annotations

import importlib.util
import json
import shlex
import time
from typing import TYPE_CHECKING, Any, Final

import click

from handrail.core.errors import HandrailError, closest, listed
from handrail.faces.cli.options import Decorated, once, seconds, share, shared, whole
from handrail.faces.cli.outcome import TRAINING_PACKAGES, missing_extra
from handrail.faces.cli.printing import one_line, put_json
from handrail.faces.cli.report import put_saved

if TYPE_CHECKING:
    from handrail.model import Model

KINDS = ("number", "boolean", "date", "category", "text", "ignore")
EFFORTS = ("quick", "good", "best")
LONGEST_EXAMPLE = 200


def effort_of(option: str, text: str) -> str:
    """One of the efforts."""
    if text not in EFFORTS:
        near = closest(text, EFFORTS)
        said = f"; did you mean '{near}'?" if near else ""
        problem = f"{option} must be one of {', '.join(EFFORTS)}, received '{text[:60]}'{said}"
        raise HandrailError("usage", problem, f"for example {option} good", field="effort")
    return text


def rows_read(function: Decorated) -> Decorated:
    """The options about how rows are read and set aside, which `look` has, too."""
    for option in reversed(_ROWS):
        function = option(function)
    return function


_ROWS: Final = (
    once("--group", metavar="COLUMN", help="Rows with the same value stay on one side of the split."),
    once("--time-column", metavar="COLUMN", help="Test on what is later in this column."),
    click.option("--missing", multiple=True, metavar="WORD", help="A word that means: no value. May be repeated."),
    click.option("--header/--no-header", default=None, help="Whether the first row names the columns."),
    once("--separator", metavar="CHARACTER", help="What stands between cells: ',' ';' tab."),
)


@click.command("train", epilog="Example: handrail train churn.csv --target Churn --time 5m")
@click.argument("file", required=False)
@once("--target", metavar="COLUMN", help="The column to predict; chosen for you when left out.")
@once("--name", metavar="NAME", help="What the model is called; made of the file's name when left out.")
@click.option("--kind", "kinds", multiple=True, metavar="COLUMN=KIND", help=f"Take a column as {', '.join(KINDS)}.")
@once("--task", metavar="TASK", help="classification, regression or multilabel, when the guess is wrong.")
@once("--effort", read=effort_of, metavar="EFFORT", help="quick, good (default) or best.")
@once("--time", read=seconds, metavar="TIME", help="How long it may take: 60s, 5m, 1h.")
@once("--trials", read=whole(1, 1_000, "8"), metavar="N", help="Try N candidates, however long: repeatable bit by bit.")
@once("--seed", read=whole(0, 2**31 - 1, "1"), metavar="N", help="Another draw of everything random (default 0).")
@once("--test", "test", metavar="FILE", help="Rows to score with, instead of rows set aside.")
@once("--test-share", read=share, metavar="SHARE", help="Share of the rows set aside (default 0.2; 0: none).")
@rows_read
@once("--from-feedback", metavar="NAME", help="Learn from an API's kept inputs and right answers, alone or after FILE.")
@click.option("--fresh", is_flag=True, help="Begin anew where a run was cut off.")
@shared
def command(file: str | None, kinds: tuple[str, ...], fresh: bool, as_json: bool, **given: Any) -> None:
    """Learn from a CSV, JSON lines, Parquet or Excel FILE and save a scored model.

    Column kinds, target, task and an honest test are decided from the rows and told with their reasons. The first
    Ctrl-C keeps the best so far.
    """
    if file is None and given["from_feedback"] is None:
        raise HandrailError("usage", "FILE is missing", "handrail train --help", field="file")
    refuse_missing_packages()
    import handrail
    from handrail.faces.cli.drawing import drawn

    started = time.monotonic()
    options = {name: value for name, value in given.items() if value is not None}
    options |= {"kinds": kinds_of(kinds), "resume": not fresh}
    with drawn() as tell:
        model = handrail.train(file, tell=tell, **options)
    if as_json:
        put_json(summary(model, time.monotonic() - started))
    else:
        put_saved(model, time.monotonic() - started, leave_out=("warnings", "per label"), example=example_of(model))


def refuse_missing_packages() -> None:
    """Raises HandrailError before anything is read when what trains is not installed."""
    for package in TRAINING_PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise missing_extra("train", package)


def kinds_of(given: tuple[str, ...]) -> dict[str, str]:
    """`age=category` → column and kind; the last '=' parts them, since columns may have one in their name."""
    found: dict[str, str] = {}
    for text in given:
        column, equals, kind = text.rpartition("=")
        if not equals or not column:
            raise HandrailError(
                "usage",
                f"--kind must be COLUMN=KIND, received '{text[:60]}'",
                f"the kinds: {listed(KINDS)}",
                field="kind",
            )
        if found.get(column, kind) != kind:
            raise HandrailError("usage", f"--kind says two things of '{column[:60]}'", "say one", field="kind")
        found[column] = kind
    return found


def summary(model: Model, took_s: float) -> dict[str, Any]:
    """What `--json` prints: where the model is and how good it is."""
    score = model.report["score"]
    return {
        "model": f"{model.name}@{model.version}",
        "name": model.name,
        "version": model.version,
        "task": model.manifest.task,
        "target": model.signature.output.name,
        "metric": score["metric"],
        "score": score["metrics"][score["metric"]],
        "warnings": model.report["warnings"],
        "seconds": round(took_s, 2),
        "path": str(model.bundle.path),
        "next": example_of(model),
    }


def example_of(model: Model) -> str:
    """A `predict` command that works, made of a row that the model has answered."""
    inputs = [example["input"] for example in model.examples] or [model.signature.sample_row()]
    if len(model.signature.inputs) == 1:
        texts = [str(value) for row in inputs for value in row.values() if value is not None]
        row = " ".join(min(texts, key=len, default="some text").split())[:LONGEST_EXAMPLE]
    else:
        row = min((json.dumps(row, ensure_ascii=False) for row in inputs), key=len)
    if len(row) > LONGEST_EXAMPLE or row.startswith("-") or not row.isprintable():
        return f"handrail predict {model.name} rows.csv -o answers.csv"
    return f"handrail predict {model.name} {shlex.quote(one_line(row))}"
