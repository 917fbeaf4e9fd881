"""Makes what is desired so, and keeps it so: what is asked over the control socket, one change at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from handrail.core.errors import HandrailError, listed
from handrail.core.failpoints import reached
from handrail.deploy.plan import Actual, Desired, Step, plan
from handrail.deploy.rules import refuse_broken
from handrail.deploy.spec import ApiSpec, Autoscaling, Share, spec_from
from handrail.engines.local.apis import Apis
from handrail.engines.local.control import Say, Verb
from handrail.engines.local.running import WITH_REPLICAS, Running
from handrail.engines.local.sharing import judged, without
from handrail.engines.local.versions import Target
from handrail.store.deployments import Deployments

TICK_S: Final = 0.25
RETRY_S: Final = 10.0
DONE: Final = {
    "create": "deployed", "update": "updated", "adjust": "adjusted", "delete": "deleted",
    "keep": "nothing to do: it is as asked",
}  # fmt: skip

log = logging.getLogger("handrail.engine")


class Engine:
    """The verbs of the control socket over the APIs. Requests are answered all the while."""

    def __init__(self, apis: Apis, kept: Deployments, url: str) -> None:
        self.apis = apis
        self.url = url
        self.ended = asyncio.Event()
        self._kept = kept
        self._changing = asyncio.Lock()
        self._going_on: set[asyncio.Task[Any]] = set()

    def verbs(self) -> dict[str, Verb]:
        """What may be asked over the control socket."""
        return {
            "ping": self.ping, "status": self.status, "deploy": self.deploy, "delete": self.delete,
            "scale": self.scale, "rollback": self.rollback, "refresh": self.refresh, "traffic": self.traffic,
            "promote": self.promote, "down": self.down,
        }  # fmt: skip

    async def restore(self) -> None:
        """Serves what was promoted last, each API for itself: one that fails is tried again later."""
        async with self._changing:
            self._kept.sweep()
            with contextlib.suppress(HandrailError):
                await asyncio.to_thread(self.apis.sweep)
            reached("restore.begun")
            await asyncio.gather(*(self._restored(name) for name in self._kept.apis()))

    async def keep(self) -> None:
        """Scales, judges canaries, and tries again what failed; ends when it is cancelled."""
        tried = time.monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            for running in list(self.apis.running.values()):
                _scaled(running, now)
                await self._judged(running)
            if now - tried > RETRY_S and not self._changing.locked():
                tried = now
                async with self._changing:
                    for running in list(self.apis.running.values()):
                        if running.state() == "failed" and running.current is None:
                            await self._restored(running.name)

    async def ping(self, request: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """Where it answers."""
        host, port = self.url.split("://")[1].rsplit(":", 1)
        return {"url": self.url, "address": [host.strip("[]"), int(port)]}

    async def status(self, request: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """How one API, or all of them, stand."""
        wanted = request.get("api")
        every = sorted(self.apis.running.values(), key=lambda one: one.name)
        found = every if wanted is None else [self.apis.known(wanted)]
        return {"url": self.url, "apis": [one.status(self.url) for one in found]}

    async def deploy(self, request: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """Makes APIs what these specs say. One that fails keeps what it had, and does not keep others from theirs."""
        specs = [spec_from(plain) for plain in request["apis"]]
        refuse_broken(specs)
        folders = request.get("folders") or {}
        if request.get("dry_run"):
            targets = [await self.apis.target(spec, folders.get(spec.name), _silent) for spec in specs]
            return {"steps": [asdict(one) for one in self._steps(specs, targets, request)], "apis": []}
        planned: asyncio.Future[list[Step]] = asyncio.get_running_loop().create_future()
        deploying = asyncio.create_task(self._deployed(specs, folders, request, say, planned))
        if request.get("wait", True):
            return await deploying
        ends: list[asyncio.Future[Any]] = [planned, deploying]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not planned.done():
            return await deploying
        self._going_on.add(deploying)
        deploying.add_done_callback(self._let_go_on)
        return {"steps": [asdict(step) for step in planned.result()], "apis": []}

    async def delete(self, request: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """Serves an API no more."""
        async with self._changing:
            running = self.apis.known(request.get("api"))
            for one in self.apis.running.values():
                if one.spec.kind == "TrafficSplitter" and any(s.name == running.name for s in one.spec.traffic):
                    mend = f"take it out of '{one.name}' first, or delete that one"
                    raise HandrailError("conflict", f"'{one.name}' shares out requests to '{running.name}'", mend)
            await self.apis.remove(running)
        return {"deleted": running.name}

    async def scale(self, request: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """Other bounds for the number of replicas; a revision of its own, so that it lasts."""
        async with self._changing:
            running = self.apis.known(request.get("api"))
            if running.spec.kind not in WITH_REPLICAS:
                mend = (
                    f"scale the APIs that '{running.name}' names" if running.spec.traffic else "set workers of its jobs"
                )
                raise HandrailError("usage", f"a {running.spec.kind} has no replicas of its own", mend)
            given = {key: request[key] for key in ("min_replicas", "max_replicas") if request.get(key) is not None}
            if request.get("replicas") == 0:
                given = {"min_replicas": 0}
            elif request.get("replicas") is not None:
                given = dict.fromkeys(("min_replicas", "max_replicas"), request["replicas"])
            scaling = rescaled(running.spec.autoscaling, given)
            await self.apis.adjust(running, replace(running.spec, autoscaling=scaling))
        return running.status(self.url)

    async def rollback(self, request: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """Back to the revision that was promoted before, or to that one."""
        async with self._changing:
            running = self.apis.known(request.get("api"))
            number = request.get("revision") or self._kept.before(running.name)
            if number is None:
                raise HandrailError("not_found", f"'{running.name}' has no revision before this one", "deploy one")
            revision = self._kept.revision(running.name, int(number))
            reached("rollback.begun")
            if revision.number != running.revision:
                target = await self.apis.target_again(revision, _of(say, running.name))
                spec = spec_from(revision.spec)
                (step,) = self._steps([spec], [target], {})
                if step.do in ("adjust", "keep"):
                    await self.apis.adjust(running, spec, revision)
                else:
                    await self.apis.update(running, spec, target, revision, _of(say, running.name))
        return self.apis.known(running.name).status(self.url)

    async def traffic(self, request: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """Other shares of the traffic: canaries and shadows come, change and go."""
        async with self._changing:
            running = self.apis.known(request.get("api"))
            spec = replace(running.spec, traffic=tuple(Share(**one) for one in request["shares"]))
            refuse_broken([spec])
            await self.apis.adjust(running, spec)
        return running.status(self.url)

    async def promote(self, request: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """The canary, or the share of that name, becomes the current version."""
        async with self._changing:
            running = self.apis.known(request.get("api"))
            share = _promoted(running.spec, request.get("version"))
            spec = replace(without(running.spec, share.name), model=share.name)
            target = await self.apis.target(spec, None, _of(say, running.name))
            await self.apis.update(running, spec, target, self.apis.propose(spec, target), _of(say, running.name))
        return running.status(self.url)

    async def refresh(self, request: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """Replaces the replicas of an API by new ones, one after the other."""
        async with self._changing:
            running = self.apis.known(request.get("api"))
            for one in running.served():
                one.version.pool.refresh()
        return running.status(self.url)

    async def down(self, request: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """Ends the engine; what is deployed is served again when it is started again."""
        asyncio.get_running_loop().call_later(0.05, self.ended.set)
        return {"down": True}

    async def _deployed(
        self,
        specs: list[ApiSpec],
        folders: Mapping[str, str],
        request: Mapping[str, Any],
        say: Say,
        planned: asyncio.Future[list[Step]],
    ) -> dict[str, Any]:
        async with self._changing:
            reached("deploy.begun")
            # A splitter shares out to others, which may come with it.
            ordered = sorted(specs, key=lambda spec: spec.kind == "TrafficSplitter")
            found = [spec for spec in ordered if spec.kind != "TrafficSplitter"]
            targets = list(
                await asyncio.gather(
                    *(self.apis.target(spec, folders.get(spec.name), _of(say, spec.name)) for spec in found)
                )
            )
            reached("deploy.resolved")
            targets += [Target(Path(), "") for _ in ordered[len(found) :]]
            steps = self._steps(ordered, targets, request)
            planned.set_result(steps)
            wanted = {spec.name: (spec, target) for spec, target in zip(ordered, targets, strict=True)}
            failed = [await self._taken(step, wanted, say) for step in steps]
        for error in failed:
            if error is not None:
                raise error
        return {
            "steps": [asdict(step) for step in steps],
            "apis": [self.apis.running[spec.name].status(self.url) for spec in specs],
        }

    def _steps(self, specs: list[ApiSpec], targets: list[Target], request: Mapping[str, Any]) -> list[Step]:
        desired = [Desired(spec, target.digest) for spec, target in zip(specs, targets, strict=True)]
        actual = [Actual(one.spec, one.digest, one.state()) for one in self.apis.running.values()]
        return plan(desired, actual, bool(request.get("prune")))

    async def _taken(self, step: Step, wanted: Mapping[str, tuple[ApiSpec, Target]], say: Say) -> HandrailError | None:
        """One step; the error it ended with."""
        name = step.api
        try:
            if step.do == "delete":
                await self.apis.remove(self.apis.running[name])
            elif step.do == "adjust":
                await self.apis.adjust(self.apis.running[name], wanted[name][0])
            elif step.do in ("create", "update"):
                await self._made(*wanted[name], _of(say, name))
            say(name, DONE[step.do])
        except HandrailError as error:
            if name in self.apis.running:
                self.apis.running[name].last_error = error.problem
            return HandrailError(error.code, f"{name}: {error.problem}", error.mend, where=error.where)
        return None

    async def _made(self, spec: ApiSpec, target: Target, say: Any) -> None:
        if spec.kind == "TrafficSplitter":
            await self.apis.target(spec, None, say)
        revision = self.apis.propose(spec, target)
        running = self.apis.running.get(spec.name)
        if running is None:
            await self.apis.create(spec, target, revision)
        else:
            await self.apis.update(running, spec, target, revision, say)

    async def _restored(self, name: str) -> None:
        try:
            await self.apis.restore(name, lambda text: log.info("%s: %s", name, text))
        except HandrailError as error:
            log.error("%s is not served: %s", name, error)
            if name in self.apis.running:
                self.apis.running[name].last_error = error.problem

    async def _judged(self, running: Running) -> None:
        """A canary that does worse than the current version goes again."""
        for name, verdict in judged(running).items():
            if verdict.found == "worse" and not self._changing.locked():
                async with self._changing:
                    log.warning("%s: canary %s was rolled back: %s", running.name, name, verdict.why)
                    await self.apis.adjust(running, without(running.spec, name))
                    running.last_error = f"canary {name} was rolled back: {verdict.why}"
                return

    def _let_go_on(self, done: asyncio.Task[Any]) -> None:
        self._going_on.discard(done)
        if not done.cancelled() and (error := done.exception()) is not None:
            log.error("a deployment that nobody waited for failed: %s", error)


def rescaled(scaling: Autoscaling, given: Mapping[str, int]) -> Autoscaling:
    """The same with other bounds. Raises HandrailError for bounds that do not go together."""
    low = given.get("min_replicas", min(scaling.min_replicas, given.get("max_replicas", scaling.max_replicas)))
    high = given.get("max_replicas", max(scaling.max_replicas, low))
    if not 0 <= low <= high <= 1000 or high < 1:
        raise HandrailError("usage", f"min_replicas {low} and max_replicas {high} do not go together", "min ≤ max")
    return replace(scaling, min_replicas=low, max_replicas=high, init_replicas=None)


def _scaled(running: Running, now: float) -> None:
    for one in running.served():
        one.sample(now)
        if running.changing or running.spec.kind not in WITH_REPLICAS:
            continue
        decision = one.scaler.wanted(now, one.replicas)
        if decision.replicas != one.replicas:
            log.info("%s: %d replicas instead of %d: %s", running.name, decision.replicas, one.replicas, decision.why)
            one.resize(decision.replicas)


def _promoted(spec: ApiSpec, name: object) -> Share:
    """The share that is to become the current version."""
    canaries = [share for share in spec.traffic if (not share.shadow if name is None else share.name == name)]
    if not canaries:
        known = listed([share.name for share in spec.traffic]) or "none"
        raise HandrailError("not_found", f"'{spec.name}' has no such canary", f"beside the current version: {known}")
    return max(canaries, key=lambda share: share.weight)


def _of(say: Say, api: str) -> Any:
    return lambda text: say(api, text)


def _silent(text: str) -> None:
    """For what nobody listens to."""
