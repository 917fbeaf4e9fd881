"""Kills the engine at each named place of a change, again and again, and looks whether the same command then converges.

`python -m tests.rig.failpoints [KILLS]`: one JSON object. Every time: the same is asked again until it is done; what is
served is a version that was promoted; no process, no draft and no lock of before is left.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from handrail.core.errors import HandrailError
from handrail.deploy.spec import ApiSpec, Share, UpdateStrategy
from handrail.engines.local.start import ensure_running
from handrail.store.deployments import Deployments
from tests.engines.engine import Engine, answers_of, engine_at, until

Act = Callable[[Engine], object]


def passed_by(engine: Engine, folder: Path, act: Act) -> list[str]:
    """The places that an act passes."""
    passed = folder / "passed"
    passed.touch()
    act(engine)
    settled(engine)
    found = sorted(set(passed.read_text().split()))
    passed.unlink()
    return found


def acts() -> dict[str, Act]:
    """Changes of one API, each from a state in which it changes something."""

    def one(model: str, **options: object) -> ApiSpec:
        return ApiSpec("churn", model=model, **options)  # type: ignore[arg-type]

    return {
        "create": lambda engine: engine.deploy(one("churn@1")),
        "update": lambda engine: engine.deploy(one("churn@2")),
        "in place": lambda engine: engine.deploy(one("churn@1", update_strategy=UpdateStrategy(0, 1))),
        "rollback": lambda engine: engine.ask("rollback", api="churn"),
        "scale": lambda engine: engine.ask("scale", api="churn", replicas=2),
        "canary": lambda engine: engine.ask("traffic", api="churn", shares=[_share()]),
        "promote": lambda engine: engine.ask("promote", api="churn"),
        "delete": lambda engine: engine.ask("delete", api="churn"),
    }


def _share() -> dict[str, object]:
    share = Share("churn@1", weight=10)
    return {"name": share.name, "weight": share.weight}


def killed_at(engine: Engine, folder: Path, name: str, act: Act) -> bool:
    """Does the act with a kill at that place; True when it was passed there. Then the same again, until it is done."""
    point = folder / name
    point.touch()
    for _ in range(5):
        try:
            act(engine)
        except HandrailError as error:
            # What was deleted before the kill is not there to be deleted again; what was promoted is no canary.
            if error.code == "not_found" and not point.exists():
                break
        else:
            break
        ensure_running(engine.place)
        settled(engine)
    hit = not point.exists()
    point.unlink(missing_ok=True)
    return hit


def settled(engine: Engine) -> None:
    """Waits until the engine answers and what it has is there."""
    until(lambda: all(one["state"] in ("live", "asleep") for one in engine.ask("status")["apis"]), engine)


def leftovers(engine: Engine) -> list[str]:
    """What should not be there: drafts, processes that nobody wants, a version served that was never promoted."""
    found = [str(path) for path in (engine.place.home / "deployments").rglob(".*") if path.name.startswith(".draft")]
    status = engine.ask("status")["apis"]
    wanted = sum(one["wanted"] for one in status)
    holders = sum(len(one["versions"]) for one in status)
    begun = time.monotonic()
    while (there := len(engine.pids("serve.replica"))) > wanted + holders and time.monotonic() - begun < 20:
        time.sleep(0.05)
    if there > wanted + holders:
        found.append(f"{there} replica processes instead of {wanted + holders}")
    for what, most in (("local.gateway", 1), ("local.supervisor", 1)):
        if len(engine.pids(what)) > most:
            found.append(f"{len(engine.pids(what))} processes of {what}")
    return found


def served_is_promoted(engine: Engine, answers: list[object]) -> bool:
    """What answers is the version that the last promoted revision names."""
    served = Deployments(engine.place.home).served("churn")
    if served is None:
        return engine.predict("churn")[0] == 404
    number = int(str(served.spec["model"]).partition("@")[2])
    if served.spec["traffic"]:
        return engine.predict("churn")[1] in answers
    return bool(engine.predict("churn")[1] == answers[number - 1])


def run(home: Path, folder: Path, kills: int, seed: int = 0) -> dict[str, object]:
    """So many kills, spread over all places and acts."""
    os.environ["HANDRAIL_FAILPOINTS"] = str(folder)
    folder.mkdir()
    draw = random.Random(seed)
    hits: Counter[tuple[str, str]] = Counter()
    problems: list[str] = []
    with engine_at(home) as engine:
        answers = answers_of(home)
        passed = {act_name: passed_by(engine, folder, act) for act_name, act in acts().items()}
        while sum(hits.values()) < kills:
            for act_name, act in acts().items():
                fewest = min(hits[act_name, place] for place in passed[act_name])
                name = draw.choice([place for place in passed[act_name] if hits[act_name, place] == fewest])
                try:
                    killed_at(engine, folder, name, act)
                    settled(engine)
                    if not served_is_promoted(engine, answers):
                        problems.append(f"{act_name} killed at {name}: another version is served")
                except (HandrailError, OSError, AssertionError) as error:
                    problems.append(f"{act_name} killed at {name}: {error!r}")
                hits[act_name, name] += 1
            # What a killed gateway held waits a while for the next one, so this is looked at once in a round.
            problems += [f"after {sum(hits.values())} kills: {one}" for one in leftovers(engine)]
    places = {name for _, name in hits}
    return {"kills": sum(hits.values()), "places": len(places), "pairs": len(hits), "problems": problems}


def main() -> int:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder) / "home", Path(folder) / "failpoints", kills)
    sys.stdout.write(json.dumps({**found, "seconds": round(time.monotonic() - begun)}) + "\n")
    return 1 if found["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
