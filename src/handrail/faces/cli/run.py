"""`handrail run`: a task that is deployed, run now, in a process of its own."""

from __future__ import annotations

from typing import Any

import click

from handrail.core.errors import HandrailError
from handrail.faces.cli.options import once, seconds, shared
from handrail.faces.cli.printing import put, put_json, say

CODES = {"timed out": "timeout", "stopped": "interrupted"}


@click.command("run", epilog="Example: handrail run retrain --config budget=5m")
@click.argument("name")
@click.option("--config", "configs", multiple=True, metavar="KEY=VALUE", help="A value for the task; JSON is read.")
@once("--timeout", read=seconds, metavar="TIME", help="End it after that long: 30m, 12h (default: never).")
@shared
def command(name: str, configs: tuple[str, ...], timeout: float | None, as_json: bool) -> None:
    """Run the task NAME now, and record the run. What it prints is shown and kept.

    A task runs once at a time. One with a schedule runs by itself, too, while the engine is up.
    """
    from handrail.jobs.status import described
    from handrail.jobs.tasks import deployed_task, run_here
    from handrail.store.home import default_home

    home, config = default_home(), config_of(configs)
    print_line = None if as_json else say
    job = run_here(home, deployed_task(home, name), config, timeout_s=timeout, print_line=print_line)
    if job.state != "succeeded":
        code = CODES.get(job.state, "environment")
        problem = f"{job.state}: {job.detail}" if job.detail else job.state
        raise HandrailError(code, problem, f"handrail jobs logs {job.id} shows what it printed")
    if as_json:
        put_json(described(job))
    else:
        put(f"'{name}' has run (job {job.id})")


def config_of(given: tuple[str, ...]) -> dict[str, Any]:
    """`budget=5m` → name and value. A value that is JSON is read as that, another one is a text."""
    from handrail.faces.cli.rows import json_value

    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            problem = f"--config must be KEY=VALUE, received '{text[:60]}'"
            raise HandrailError("usage", problem, "for example --config budget=5m", field="config")
        if name in found:
            raise HandrailError("usage", f"--config says two things of '{name[:60]}'", "say one", field="config")
        try:
            found[name] = json_value(value)
        except ValueError:
            found[name] = value
    return found
