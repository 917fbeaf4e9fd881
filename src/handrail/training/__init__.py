"""From a file to a trained, scored and saved model, in one straight line."""

from __future__ import annotations

import time as clocks
from collections.abc import Mapping, Sequence
from pathlib import Path

from handrail.core.bundle import to_json, write_bundle
from handrail.core.events import Planned, Progress, Said, Tell, Warned, quiet
from handrail.core.registry import task_part
from handrail.data.cleaning import answered, without_words
from handrail.data.look import Look, look_at
from handrail.data.read import read_table
from handrail.data.table import Table
from handrail.model import Model, load
from handrail.store import Store
from handrail.store.runs import held
from handrail.tasks import Fitted, Job, Plan
from handrail.training.asked import (
    checked_order,
    machine,
    options_asked,
    plan_lines,
    problem_of,
    recognised,
    refuse_too_large,
    without_gaps,
)
from handrail.training.findings import drawn, findings, profiled
from handrail.training.parts import set_apart
from handrail.training.publishing import example_rows, manifest_of, replayed
from handrail.training.rows import Question, rows_of
from handrail.training.run import Deadline, run_key, stopping_on_interrupt

__all__ = ["train"]


def train(
    source: object = None,
    *,
    target: str | None = None,
    name: str | None = None,
    kinds: Mapping[str, str] | None = None,
    task: str | None = None,
    effort: str = "good",
    time: float | str | None = None,
    trials: int | None = None,
    seed: int = 0,
    test: object = None,
    test_share: float | None = None,
    group: str | None = None,
    time_column: str | None = None,
    missing: Sequence[str] = (),
    header: bool | None = None,
    separator: str | None = None,
    home: Path | None = None,
    tell: Tell = quiet,
    resume: bool = True,
    time_s: float | str | None = None,
    from_feedback: str | None = None,
) -> Model:
    """A model of `target`, learnt from a file, a DataFrame or rows, scored on rows it never saw, saved as `name@N`.

    What is not given is decided from the data and told with its reason. `time` ("60s", "5m", or seconds; `time_s` is
    the same) limits the whole act; `trials` fits that many candidates instead, and then the same seed gives the same
    bytes. `test` is a file of its own to score with; `test_share=0` learns from all rows and scores by
    cross-validation; `time_column` tests on what is later there. `from_feedback` names an API: its inputs
    that were kept, with the right answers that came later, are learnt from alone, or after the rows of `source`. The
    first Ctrl-C keeps the best so far.

    Raises:
        HandrailError: in one sentence, with what to type; nothing is left behind.
    """
    started = clocks.monotonic()
    order = checked_order(effort, time, trials, seed, time_s=time_s)
    store = Store(home, tell=tell)
    table, called, question = rows_of(
        source, from_feedback, Question(target, kinds, task), store.home,
        name=name, header=header, separator=separator,
    )  # fmt: skip
    look = look_at(
        table, target=question.target, kinds=question.kinds, problem=problem_of(question.task), group=group,
        time=time_column, missing=missing,
    )  # fmt: skip
    table = answered(without_words(table, missing), look)
    if test is not None:
        test = answered(without_words(read_table(test, header=header, separator=separator), missing), look)
        test = without_gaps(test, look, tell)
    doing = recognised(look)
    plan = task_part(doing, "plan").plan(look, order, machine())
    refuse_too_large(plan)
    store.refuse_unwritable()
    _tell_what_was_seen(look, table, plan, tell)
    parts = set_apart(table, look, test, test_share, seed, header=header, separator=separator)
    for note in parts.notes:
        tell(Warned(note))
    asked = options_asked(order, kinds=kinds, task=task, test=test, test_share=test_share, group=group,
                          time_column=time_column, missing=missing, header=header, separator=separator,
                          from_feedback=from_feedback)  # fmt: skip
    deadline = Deadline(plan.time_s, started)
    with held(store.run(run_key(look, parts, order, plan))) as run:
        if not resume:
            run.clear()
        elif run.keys():
            pieces = f"its finished pieces ({len(run.keys())}) are used again where they fit"
            tell(Said(f"going on with a run that was cut off: {pieces}"))
        with stopping_on_interrupt(deadline.clock_for_fit(), tell) as clock:
            job = Job(plan, order, parts.look, parts.train, parts.replay, clock, run, tell)
            fitted: Fitted = task_part(doing, "fit").fit(job)
        tell(Progress("scoring the exported model", 0, 0))
        with store.draft() as draft:
            manifest = manifest_of(called, doing, fitted, parts, order, plan)
            write_bundle(draft, manifest, fitted.files)
            model = load(draft, threads=machine().cores)
            scores = replayed(model, parts.replay, fitted)
            files = {**fitted.files, "examples.json": to_json(example_rows(model, parts.replay, scores))}
            report = findings(model, parts, scores, fitted, table.notes, deadline, asked=asked)
            files |= profiled(model, parts, scores, fitted)
            write_bundle(draft, manifest, {**files, **drawn(report)})
            model.check()
            published = store.publish(draft, called)
    store.record_run(called, int(published.name), clocks.monotonic() - started)
    return load(f"{called}@{published.name}", home=store.home)


def _tell_what_was_seen(look: Look, table: Table, plan: Plan, tell: Tell) -> None:
    for note in table.notes:
        tell(Said(note))
    for note in look.notes:
        tell(Warned(note))
    tell(Planned(plan_lines(look, plan), plan.as_dict()))
