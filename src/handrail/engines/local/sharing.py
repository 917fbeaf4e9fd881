"""Canaries and shadows: versions beside the current one, what they get of the traffic, and when a canary goes again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.deploy.judge import Counts, Verdict, judge
from handrail.deploy.spec import ApiSpec, Share
from handrail.deploy.traffic import Split
from handrail.engines.local.running import Running
from handrail.engines.local.versions import Served, Target
from handrail.serve.api import Version
from handrail.serve.app import App
from handrail.serve.http import Request

# A shadow that cannot keep up gets no more copies until it has caught up: nobody waits for it.
MOST_WAITING_COPIES: Final = 100

Open = Callable[[Target, str], Awaitable[Served]]


@dataclass(eq=False)
class Trial:
    """What both had answered when a canary began, so that they are compared over the same time."""

    stable: Counts
    canary: Counts


def refuse_unshareable(shares: tuple[Share, ...]) -> None:
    """Raises HandrailError for shares that do not go together."""
    weights = sum(share.weight for share in shares if not share.shadow)
    if weights > 100:
        raise HandrailError("usage", f"the weights make {weights:g} %", "give canaries less than 100 % together")
    if sum(share.shadow for share in shares) > 1:
        raise HandrailError("usage", "there is more than one shadow", "keep one")


async def shared(
    app: App, running: Running, spec: ApiSpec, targets: Mapping[str, Target], open_version: Open
) -> list[Served]:
    """Makes the versions beside the current one those of `spec.traffic`, and shares out requests anew. Gives those
    that have no share any more: they are to be drained and closed.

    Raises what kept a new one from becoming ready; then nothing has changed.
    """
    refuse_unshareable(spec.traffic)
    wanted = {share.name: share for share in spec.traffic}
    opened: dict[str, Served] = {}
    try:
        for name, share in wanted.items():
            if name not in running.others:
                role = "shadow" if share.shadow else "canary"
                opened[name] = await open_version(targets[name], role)
    except BaseException:
        await asyncio.gather(*(one.version.pool.close() for one in opened.values()))
        raise
    dropped = [one for name, one in running.others.items() if name not in wanted]
    running.others = {name: running.others.get(name) or opened[name] for name in wanted}
    for name, share in wanted.items():
        running.others[name].role = "shadow" if share.shadow else "canary"
    for one in dropped:
        assert running.api is not None
        running.api.remove(one.version)
    share_out(app, running, spec.traffic)
    return dropped


def share_out(app: App, running: Running, shares: tuple[Share, ...]) -> None:
    """Shares out the requests among the current version and the others, which must be there."""
    if running.api is None or running.current is None:
        return
    here = tuple(share for share in shares if share.name in running.others)
    versions = {name: one.version for name, one in running.others.items()}
    split, current = Split(here), running.current.version
    for share in here:
        if not share.shadow:
            running.api.add(versions[share.name])
    running.api.choose = _chooser(split, current, versions) if any(not share.shadow for share in here) else None
    copy = _copier(app, split, versions) if any(share.shadow for share in here) else None
    shadows = {share.name for share in here if share.shadow}
    for name, version in [("", current), *versions.items()]:
        version.copy = None if name in shadows else copy
    running.trials = {
        share.name: Trial(current.recent.counts(), versions[share.name].recent.counts())
        for share in here
        if not share.shadow
    }


def judged(running: Running) -> dict[str, Verdict]:
    """How each canary does beside the current version, since it began."""
    if running.current is None:
        return {}
    stable = running.current.version.recent.counts()
    return {
        name: judge(stable.since(trial.stable), running.others[name].version.recent.counts().since(trial.canary))
        for name, trial in running.trials.items()
    }


def without(spec: ApiSpec, name: str) -> ApiSpec:
    """The same with one share less."""
    return replace(spec, traffic=tuple(share for share in spec.traffic if share.name != name))


async def let_go(served: list[Served]) -> None:
    """Ends versions that get no requests any more, once they have answered what they had."""
    for one in served:
        while not one.version.batcher.is_quiet:
            await asyncio.sleep(0.02)
        await one.version.pool.close()
        one.end()


def _chooser(split: Split, current: Version, others: Mapping[str, Version]) -> Callable[[Request], Version]:
    def choose(request: Request) -> Version:
        name = split.chosen(request.headers)
        return current if name is None else others[name]

    return choose


def _copier(app: App, split: Split, others: Mapping[str, Version]) -> Callable[[Request, Any], None]:
    """Sends copies to shadows. Whatever becomes of them, the caller does not learn of it."""

    def copy(request: Request, read: Any) -> None:
        for name in split.copied():
            shadow = others[name]
            if shadow.batcher.waiting < MOST_WAITING_COPIES:
                with contextlib.suppress(Exception):
                    later = app.predict(replace(request, started=time.perf_counter()), shadow, read)
                    later.future.add_done_callback(later.finish)

    return copy
