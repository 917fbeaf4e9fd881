"""handrail train: a model of what is in a file."""

from __future__ import annotations

import click

from handrail.faces.cli.asking import kinds, seconds
from handrail.faces.cli.drawing import drawn, json_option, print_json, say, show_lines


@click.command(
    "train",
    epilog="Example: handrail train churn.csv --target Churn --time 60s",
    short_help="Make a model of what is in a file",
)
@click.argument("file")
@click.option("--target", metavar="COLUMN", help="What to predict (guessed when not given).")
@click.option("--name", help="The model's name (default: the file's).")
@click.option(
    "--kind",
    "kind_words",
    multiple=True,
    metavar="COLUMN=KIND",
    help="Read a column as number, boolean, date, category, text or ignore.",
)
@click.option("--task", help="classification, regression or multilabel (recognised when not given).")
@click.option("--time", "time_words", metavar="DURATION", help="Stop after this long: 60s, 5m, 1h.")
@click.option("--effort", default="good", show_default=True, help="quick (8 s), good (60 s) or best (300 s).")
@click.option("--trials", type=int, help="Try exactly this many candidates; then a seed gives the same bytes again.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--test", "test_file", metavar="FILE", help="Score on the rows of this file.")
@click.option("--test-share", type=float, help="The share of rows kept for scoring; 0 scores by cross-validation.")
@click.option("--group", metavar="COLUMN", help="Keep rows with the same value together.")
@click.option("--time-column", metavar="COLUMN", help="Score on the latest rows by this column.")
@click.option("--missing", multiple=True, metavar="WORD", help="Take this word as missing.")
@click.option("--header/--no-header", default=None, help="Whether the first row names the columns.")
@click.option("--separator", metavar="MARK", help="What stands between cells.")
@click.option("--fresh", is_flag=True, help="Do not go on with a run that was cut off.")
@json_option
def command(
    file: str, target: str | None, name: str | None, kind_words: tuple[str, ...], task: str | None, time_words: str | None,
    effort: str, trials: int | None, seed: int, test_file: str | None, test_share: float | None, group: str | None,
    time_column: str | None, missing: tuple[str, ...], header: bool | None, separator: str | None, fresh: bool, as_json: bool,
) -> None:  # fmt: skip
    """Make a model of what is in FILE (CSV, JSON lines, Excel, Parquet): look, decide, say why, train, score, save."""
    time_s = seconds(time_words)
    kind_of = kinds(kind_words)
    with drawn() as tell:
        from handrail.training import train

        model = train(
            file, target=target, name=name, kinds=kind_of, task=task, effort=effort, time_s=time_s, trials=trials, seed=seed,
            test=test_file, test_share=test_share, group=group, time=time_column, missing=missing, header=header,
            separator=separator, tell=tell, resume=not fresh,
        )  # fmt: skip
    from handrail.report.terminal import lines

    if as_json:
        print_json({"name": model.name, "version": model.version, "task": model.manifest.task,
                    "path": str(model.bundle.path), "report": model.report})  # fmt: skip
        return
    shown = [part for part in lines(model.report) if part[0] != "warnings"]
    say()
    show_lines(shown)
    say()
    say(f"saved {model.name}@{model.version}")
    say(f"next: handrail predict {model.name} {_example(model.examples[0]['input'])}")
    say(f"      handrail report {model.name} --open")
    say(f"      handrail serve {model.name}")


def _example(row: dict[str, object]) -> str:
    """A real row as one would type it."""
    import json
    import shlex

    if len(row) == 1 and isinstance(next(iter(row.values())), str):
        text = str(next(iter(row.values())))
        return shlex.quote(" ".join(text.split())[:60])
    return shlex.quote(json.dumps(row, ensure_ascii=False))
