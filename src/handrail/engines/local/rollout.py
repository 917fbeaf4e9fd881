"""A new version takes over from the one before, replica by replica, and goes again where it does not hold.

No request is lost on the way: each is answered by one of the two, and where neither can answer for a moment
(`max_surge` 0: the old ones stop first), requests wait in the queue of the new one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.core.failpoints import reached
from handrail.deploy.rolling import next_step
from handrail.deploy.spec import ApiSpec
from handrail.serve.api import Api, Version
from handrail.serve.http import Request

LOOK_S: Final = 0.02
Say = Callable[[str], None]


async def take_over(
    api: Api, new: Version, spec: ApiSpec, wanted: int, *, promote: Callable[[], None], say: Say
) -> None:
    """Returns when `new` answers alone and the version before is gone. `promote` is called once it has answered its
    examples right, before anybody is answered by it.

    Raises what kept it from becoming ready; then the version before serves as it did.
    """
    old = api.current
    before = max(1, old.pool.wanted)
    old.batcher.wanting = None
    try:
        await _rolled(api, old, new, spec, wanted, promote, say)
    except BaseException:
        await _rolled_back(api, old, new, before)
        raise
    api.choose = None
    reached("rollout.closing")
    await old.pool.close()
    reached("rollout.closed")


async def _rolled(
    api: Api, old: Version, new: Version, spec: ApiSpec, wanted: int, promote: Callable[[], None], say: Say
) -> None:
    strategy = spec.update_strategy
    opened = False
    since = time.monotonic()
    while True:
        starting = new.pool.wanted - new.pool.ready if opened else 0
        step = next_step(old.pool.ready, new.pool.ready, starting, wanted, strategy.max_surge, strategy.max_unavailable)
        if step.do == "done":
            return
        if step.do == "start" and not opened:
            new.pool.wanted = step.replicas
            if old.pool.ready == 0 and api.current is old:
                api.switch(new)
            reached("rollout.opening")
            await new.pool.open()
            reached("rollout.opened")
            promote()
            opened = True
            _share_out(api, old, new)
        elif step.do == "start":
            new.pool.resize(new.pool.wanted + step.replicas)
            reached("rollout.started")
        elif step.do == "stop":
            reached("rollout.stopping")
            await _stopped(api, old, new, step.replicas)
            reached("rollout.stopped")
        elif time.monotonic() - since > spec.limits.ready_s:
            raise HandrailError("environment", _why_not(new, wanted), f"see handrail logs {spec.name}")
        else:
            await asyncio.sleep(LOOK_S)
            continue
        since = time.monotonic()
        say(f"{_named(new)} takes over: {new.pool.ready} of {wanted} replicas ready, {old.pool.ready} of before left")


def _share_out(api: Api, old: Version, new: Version) -> None:
    """While both have replicas, each answers as many requests as it has replicas for."""
    if api.current is old and old.pool.ready:
        api.add(new)
        api.choose = _by_replicas(old, new)


def _by_replicas(old: Version, new: Version) -> Callable[[Request], Version]:
    debt = 0.0

    def choose(request: Request) -> Version:
        nonlocal debt
        debt += new.pool.ready / max(1, old.pool.ready + new.pool.ready)
        if debt < 1.0 and old.pool.ready:
            return old
        debt = max(0.0, debt - 1.0)
        return new

    return choose


async def _stopped(api: Api, old: Version, new: Version, replicas: int) -> None:
    """So many of the old replicas go; the last ones only when nothing waits for them any more."""
    left = max(0, old.pool.ready - replicas)
    if left == 0:
        api.choose = None
        if api.current is old:
            api.switch(new)
        while not old.batcher.is_quiet:
            await asyncio.sleep(LOOK_S)
    old.pool.resize(left)
    while old.pool.ready > left:
        await asyncio.sleep(LOOK_S)


async def _rolled_back(api: Api, old: Version, new: Version, replicas: int) -> None:
    reached("rollout.failed")
    old.batcher.wanting = old.pool.wake
    if old.pool.wanted < replicas:
        old.pool.resize(replicas)
    api.choose = None
    if api.current is not old:
        api.switch(old)
    api.remove(new)
    api.add(old)
    if _reads_alike(old, new):
        old.batcher.take_from(new.batcher)
        # Texts that are being written are written to their end, here or there.
        while new.pool.ready and not new.batcher.is_quiet:
            await asyncio.sleep(LOOK_S)
            old.batcher.take_from(new.batcher)
    await new.pool.close()
    reached("rollout.back")


def _reads_alike(old: Any, new: Any) -> bool:
    """Whether what waits for one can be answered by the other: rows are packed by a model's signature, user code gets
    requests as they came."""
    signatures = [getattr(one, "signature", None) for one in (old, new)]
    return signatures[0] == signatures[1]


def _why_not(new: Version, wanted: int) -> str:
    said = f": {new.pool.last_failure}" if new.pool.last_failure else ""
    return f"{new.pool.ready} of {wanted} replicas of {_named(new)} were ready in time{said}"


def _named(version: Version) -> str:
    return f"{version.name}@{version.number}"
