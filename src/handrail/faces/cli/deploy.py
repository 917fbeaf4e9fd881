"""`handrail deploy`: from a model's name or a file to an API that answers."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handrail.core.errors import HandrailError, listed
from handrail.faces.cli.acting import percent
from handrail.faces.cli.options import once, shared, whole
from handrail.faces.cli.printing import put, put_json, put_table, say

if TYPE_CHECKING:
    from handrail.deployments import Deployed

DOES = {"create": "create", "update": "update", "adjust": "adjust", "delete": "delete", "keep": "leave as it is"}


@click.command("deploy", epilog="Example: handrail deploy reviews --min-replicas 1 --max-replicas 4")
@click.argument("what", nargs=-1, metavar="[WHAT]...")
@click.option("--dry-run", is_flag=True, help="Show the steps and do nothing.")
@click.option("--wait/--no-wait", default=True, help="Come back when it answers (default), or at once.")
@click.option("--yes", is_flag=True, help="Do not ask before a folder's code runs.")
@click.option("--prune", is_flag=True, help="Delete the APIs that the file does not name.")
@once("--replicas", read=whole(0, 1000, "2"), metavar="N", help="Always so many processes that answer.")
@once("--min-replicas", read=whole(0, 1000, "1"), metavar="N", help="At least so many (0: none while nobody asks).")
@once("--max-replicas", read=whole(1, 1000, "4"), metavar="N", help="At most so many.")
@once("--canary", read=percent, metavar="PERCENT", help="Give this version a part of its API's requests, on trial.")
@click.option("--shadow", is_flag=True, help="Give this version copies of its API's requests; nobody sees its answers.")
@once("--host", metavar="HOST", help="The engine's address, where it does not run yet (default 127.0.0.1).")
@once("--port", read=whole(0, 65_535, "8080"), metavar="PORT", help="The engine's port (default 8080; 0: a free one).")
@shared
def command(
    what: tuple[str, ...], dry_run: bool, wait: bool, yes: bool, prune: bool, replicas: int | None,
    min_replicas: int | None, max_replicas: int | None, canary: float | None, shadow: bool, host: str | None,
    port: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Deploy WHAT: models by name or as exported files, a handrail.yaml or cortex.yaml, or a folder with one; left out:
    this folder.

    It runs in the background and survives the terminal: handrail status shows it, handrail down ends it.
    """
    from handrail.deployments import deploy
    from handrail.faces.cli.drawing import tell_plainly
    from handrail.faces.cli.imports import model_of

    what = tuple(model_of(one, dry_run=dry_run) for one in what)
    if canary is not None or shadow:
        others = (dry_run, prune, replicas, min_replicas, max_replicas, host, port)
        _try_out(what, canary, shadow, any(one not in (None, False) for one in others), as_json)
        return
    done = deploy(
        *what, replicas=replicas, min_replicas=min_replicas, max_replicas=max_replicas, prune=prune, dry_run=dry_run,
        wait=wait, trust=yes or _is_agreed, host=host, port=port, tell=tell_plainly,
    )  # fmt: skip
    if as_json:
        put_json(asdict(done))
    elif dry_run:
        put_steps(done)
    elif wait:
        put_end(done)
    else:
        put("the engine goes on with it; handrail status shows how far it is")


def put_steps(done: Deployed) -> None:
    """What a deploy would do."""
    rows = [(str(step["api"]), DOES.get(step["do"], step["do"]), listed(step.get("why", ()))) for step in done.steps]
    put_table([("api", "step", "why"), *rows], header=True)


def put_end(done: Deployed) -> None:
    """Where each API answers, and a request that works."""
    from handrail.faces.cli.standing import at_port, request_for
    from handrail.store.home import default_home

    width = max((len(api["name"]) for api in done.apis), default=0)
    for api in done.apis:
        more = f"  and {at_port(api)}" if api.get("port") else ""
        where = f"handrail run {api['name']}" if api["kind"] == "TaskAPI" else f"POST {api['url']}{more}"
        put(f"{api['name']:<{width}}  {api['state']}  {where}")
    line = next(filter(None, (request_for(api, default_home()) for api in done.apis)), None)
    if line:
        say(f"try: {line}")


def _is_agreed(folder: Path) -> bool:
    """Asks whoever sits at the terminal; where nobody does, the answer is no."""
    if not sys.stdin.isatty():
        return False
    say(f"to deploy '{folder}' is to run the code in it, with your rights")
    return click.confirm("Run it?", err=True)


def _try_out(what: tuple[str, ...], canary: float | None, shadow: bool, more: bool, as_json: bool) -> None:
    from handrail.deployments.deploying import try_out
    from handrail.faces.cli.drawing import tell_plainly

    if canary is not None and shadow:
        mend = "--canary 10 answers some requests, --shadow gets copies of all"
        raise HandrailError("usage", "a version is tried as a canary or as a shadow, not as both", mend)
    option = "--shadow" if shadow else f"--canary {canary:g}"
    if len(what) != 1 or more:
        problem = f"{option.split(maxsplit=1)[0]} stands with one version of a model and no other option"
        raise HandrailError("usage", problem, f"handrail deploy NAME@4 {option}")
    version, api = try_out(what[0], 100.0 if canary is None else canary, shadow=shadow, tell=tell_plainly)
    if as_json:
        put_json({"api": api})
        return
    name = api["name"]
    does = "gets copies of the requests" if shadow else f"answers {canary:g} % of the requests"
    put(f"{name}: {version} {does}")
    then = f"deploy {version}" if shadow else f"promote {name}"
    say(f"next: handrail status {name}, then handrail {then} or handrail rollback {name}")
