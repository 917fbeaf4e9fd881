"""`handrail finetune`: from texts to a model that writes like them."""

from __future__ import annotations

import re
import shlex
import time
from typing import TYPE_CHECKING, Any

import click

from handrail.core.errors import HandrailError
from handrail.faces.cli.imports import bits
from handrail.faces.cli.options import once, seconds, shared, whole
from handrail.faces.cli.printing import one_line, put, put_json
from handrail.faces.cli.report import put_saved

if TYPE_CHECKING:
    from handrail.finetuning.plan_values import Plan
    from handrail.model import Model

LONGEST_EXAMPLE = 60


def number(low: float, high: float, example: str) -> Any:
    """A reader of numbers in a range."""

    def read(option: str, text: str) -> float:
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?(e-?\d)?", text.strip(), re.ASCII) and low <= float(text) <= high:
            return float(text)
        problem = f"{option} must be a number from {low:g} to {high:g}, received '{text[:60]}'"
        raise HandrailError("usage", problem, f"for example {option} {example}", field=option.strip("-"))

    return read


@click.command("finetune", epilog="Example: handrail finetune shakespeare.txt --time 5m")
@click.argument("data", nargs=-1)
@once("--base", metavar="BASE", help="What is taught: smollm2 (default), a folder, a .gguf file, or a model of yours.")
@once("--name", metavar="NAME", help="What the model is called; made of the file's name when left out.")
@once("--time", read=seconds, metavar="TIME", help="How long it may take, all in all: 60s, 5m, 1h.")
@once("--steps", read=whole(1, 10_000_000, "200"), metavar="N", help="End after N steps: repeatable bit by bit.")
@once("--epochs", read=number(0.01, 10_000, "2"), metavar="N", help="Go through the text N times.")
@once("--method", metavar="METHOD", help="lora, blocks or full; chosen for you when left out.")
@click.option("--from-scratch", is_flag=True, help="Begin with no base: a tokenizer and a small network of its own.")
@click.option("--characters", is_flag=True, help="From scratch, with a token for each character.")
@once("--column", metavar="COLUMN", help="The column with the text, where rows have several.")
@once("--encoding", metavar="ENCODING", help="How files are written, when the guess is wrong: cp1251, shift_jis, …")
@once("--test", metavar="FILE", help="Text to score with, instead of a part that is held out.")
@click.option("--balance", is_flag=True, help="Give each of several DATA the same weight.")
@once("--length", read=whole(8, 8_192, "256"), metavar="N", help="How many tokens are looked at together.")
@once("--rate", read=number(1e-7, 1.0, "0.0005"), metavar="RATE", help="How large the steps are; rarely needed.")
@once("--bits", read=bits, metavar="8|4|32", help="How the saved model keeps each weight (default: 8).")
@once("--samples", read=whole(0, 100, "1"), metavar="N", help="Texts to show on the way; 0 for none.")
@once("--seed", read=whole(0, 2**31 - 1, "1"), metavar="N", help="Another draw of everything random (default 0).")
@click.option("--fresh", is_flag=True, help="Begin anew where a run was cut off.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@shared
def command(data: tuple[str, ...], fresh: bool, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Teach a model to write like DATA: texts, folders, patterns, CSV or JSON lines.

    Rows with a prompt and an answer, or with messages, teach it to answer. What is trained and how long that takes is
    decided from the text, the base and this machine, and told with its reasons. The first Ctrl-C keeps the best so
    far; the same command goes on with it.
    """
    if not data:
        raise HandrailError("usage", "DATA is missing", "handrail finetune story.txt", field="data")
    from handrail.faces.cli.drawing import drawn
    from handrail.finetuning import finetune, planned

    started = time.monotonic()
    options = {name: value for name, value in given.items() if value not in (None, False)}
    with drawn() as tell:
        if dry_run:
            plan = planned(*data, tell=tell, **options)
        else:
            model = finetune(*data, tell=tell, resume=not fresh, **options)
    if dry_run:
        _put_plan(plan, as_json=as_json)
    elif as_json:
        put_json(summary(model, time.monotonic() - started))
    else:
        put_saved(model, time.monotonic() - started, leave_out=("warnings",), example=example_of(model))


def _put_plan(plan: Plan, *, as_json: bool) -> None:
    if as_json:
        put_json(plan.as_dict())
    else:
        put("nothing was trained: leave --dry-run out to begin")


def summary(model: Model, took_s: float) -> dict[str, Any]:
    """What `--json` prints: where the model is and how good it is."""
    report = model.report
    training = report["training"]
    return {
        "model": f"{model.name}@{model.version}",
        "name": model.name,
        "version": model.version,
        "task": model.manifest.task,
        "base": report["base"].get("name"),
        "method": report["plan"]["settings"]["method"],
        "before": training["before"],
        "after": training["after"],
        "exported": report.get("exported"),
        "steps": training["steps"],
        "tokens": training["tokens"],
        "ended": training["ended"],
        "recitation": report.get("recitation"),
        "warnings": report["warnings"],
        "seconds": round(took_s, 2),
        "path": str(model.bundle.path),
        "next": example_of(model),
    }


def example_of(model: Model) -> str:
    """A command that works, with a beginning that the model was tried with."""
    if model.manifest.plan.get("dialogue"):
        return f"handrail chat {model.name}"
    samples = model.report.get("samples") or [{"prompt": "Once upon a time"}]
    prompt = one_line(" ".join(str(samples[0]["prompt"]).split()))[:LONGEST_EXAMPLE]
    return f"handrail generate {model.name} --prompt {shlex.quote(prompt)}"
