"""What is done to APIs that are deployed: each act is one request to the engine, and comes back with its answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.core.events import Said, Tell, Warned, quiet
from handrail.core.sockets import listening_at
from handrail.deploy.spec import Share
from handrail.engines.local.client import ask, is_running
from handrail.engines.local.place import Place
from handrail.engines.local.settings import read_settings
from handrail.engines.local.start import ensure_running
from handrail.store.deployments import Deployments
from handrail.store.home import default_home

# How long a question that changes nothing waits for its answer, and `down` for what is in flight.
ANSWER_S: Final = 10.0
DOWN_S: Final = 60.0
LOOK_S: Final = 0.02


def status(api: str | None = None, *, home: Path | None = None) -> dict[str, Any]:
    """How one API or all stand: `url` of the server, `apis` by name."""
    return ask(place_of(home), {"do": "status", **({} if api is None else {"api": api})}, timeout_s=ANSWER_S)


def scale(
    api: str, replicas: int | None = None, *, min_replicas: int | None = None, max_replicas: int | None = None,
    home: Path | None = None, tell: Tell = quiet,
) -> dict[str, Any]:  # fmt: skip
    """As many replicas as `replicas`, or as many as requests want between two bounds. Says how the API stands then."""
    wanted = {"replicas": replicas, "min_replicas": min_replicas, "max_replicas": max_replicas}
    given = {name: count for name, count in wanted.items() if count is not None}
    if not given or ("replicas" in given and len(given) > 1):
        mend = f"handrail scale {api} 2, or handrail scale {api} --min 1 --max 4"
        raise HandrailError("usage", "say how many replicas, or a range", mend, field="replicas")
    # None at all is what an API sleeps with: the first request wakes it.
    given = {"min_replicas": 0} if replicas == 0 else given
    return acted({"do": "scale", "api": api, **given}, home, tell)


def rollback(api: str, revision: int | None = None, *, home: Path | None = None, tell: Tell = quiet) -> dict[str, Any]:
    """Back to the revision that was served before, or to the one with this number. Says how the API stands then."""
    return acted({"do": "rollback", "api": api, **({} if revision is None else {"revision": revision})}, home, tell)


def promote(api: str, *, home: Path | None = None, tell: Tell = quiet) -> dict[str, Any]:
    """The canary takes over. Says how the API stands then."""
    return acted({"do": "promote", "api": api}, home, tell)


def traffic(api: str, shares: Sequence[Share], *, home: Path | None = None, tell: Tell = quiet) -> dict[str, Any]:
    """Who gets which part of an API's requests; its own model gets what is left. Says how the API stands then."""
    return acted({"do": "traffic", "api": api, "shares": [asdict(share) for share in shares]}, home, tell)


def refresh(api: str, *, home: Path | None = None, tell: Tell = quiet) -> dict[str, Any]:
    """New replicas for old ones, one by one, without a request lost. Says how the API stands then."""
    return acted({"do": "refresh", "api": api}, home, tell)


def delete(api: str, *, home: Path | None = None, tell: Tell = quiet) -> bool:
    """Ends an API and forgets its revisions; the model stays. False where there is no such API."""
    place = place_of(home)
    if not is_running(place) and api in Deployments(place.home).apis():
        Deployments(place.home).remove(api)
        return True
    try:
        acted({"do": "delete", "api": api}, home, tell)
    except HandrailError as error:
        if error.code != "not_found":
            raise
        return False
    return True


def up(
    *, host: str | None = None, port: int | None = None, tls: tuple[Path, Path] | None = None,
    home: Path | None = None, tell: Tell = quiet,
) -> tuple[dict[str, Any], bool]:  # fmt: skip
    """Starts the engine, and with it what is deployed. How that stands, and whether the engine ran already. `tls`: the
    files of a certificate and its key."""
    place = place_of(home)
    ran = is_running(place)
    ensure_running(place, host=host, port=port, tls=tls, tell=tell)
    return status(home=home), ran


def down(*, home: Path | None = None, tell: Tell = quiet) -> bool:
    """Ends the engine and all that runs in it, until it is started again. False where it did not run."""
    place = place_of(home)
    if not is_running(place):
        return False
    acted({"do": "down"}, home, tell)
    end = time.monotonic() + DOWN_S
    while place.control.exists() or not _is_left(place):
        if time.monotonic() > end:
            mend = f"what it does is in {place.engine_log}"
            raise HandrailError("timeout", f"the engine is still at work after {DOWN_S:g} seconds", mend)
        time.sleep(LOOK_S)
    return True


def _is_left(place: Place) -> bool:
    """Whether nobody holds the engine's port any more: then another one can start there."""
    settings = read_settings(place)
    try:
        listening_at(settings["host"], settings["port"]).close()
    except HandrailError:
        return False
    return True


def place_of(home: Path | None) -> Place:
    """Where the engine of a home is found."""
    return Place(default_home() if home is None else home)


def acted(request: Mapping[str, Any], home: Path | None, tell: Tell) -> dict[str, Any]:
    """The engine's answer to a request, its steps told on the way."""

    def hear(event: Mapping[str, Any]) -> None:
        api, text = str(event.get("api", "")), str(event.get("text", ""))
        said = Warned if event.get("event") == "warning" else Said
        tell(said(text if text.startswith(api) else f"{api}: {text}"))

    return ask(place_of(home), request, hear)
