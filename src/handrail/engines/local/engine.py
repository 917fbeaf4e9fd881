"""Makes what is desired so, and keeps it so: deploys, scales, rolls back, restores after a restart."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.failpoints import reached
from handrail.deploy.plan import Actual, Desired, Step, plan
from handrail.deploy.spec import ApiSpec, Share, spec_from
from handrail.engines.local.control import Say, Verb
from handrail.engines.local.place import Place
from handrail.engines.local.rollout import take_over
from handrail.engines.local.running import Running
from handrail.engines.local.sharing import judged, let_go, shared, without
from handrail.engines.local.versions import Served, Target, first_replicas, refuse_other_kinds, served, target_of
from handrail.serve.api import Api
from handrail.serve.app import App, refuse_reserved
from handrail.serve.limits import Limits
from handrail.store.deployments import Deployments, Revision

TICK_S: Final = 0.25
RETRY_S: Final = 10.0
DONE: Final = {
    "create": "deployed", "update": "updated", "adjust": "adjusted", "delete": "deleted",
    "keep": "nothing to do: it is as asked",
}  # fmt: skip

log = logging.getLogger("handrail.engine")


class Engine:
    """What runs in a gateway. One change is made at a time; requests are answered all the while."""

    def __init__(self, place: Place, limits: Limits, url: str) -> None:
        self.apis: dict[str, Api] = {}
        self.running: dict[str, Running] = {}
        self.url = url
        self.app: App | None = None
        self.ended = asyncio.Event()
        self._place = place
        self._limits = limits
        self._kept = Deployments(place.home)
        self._changing = asyncio.Lock()

    def verbs(self) -> dict[str, Verb]:
        """What may be asked over the control socket."""
        return {
            "ping": self.ping, "status": self.status, "deploy": self.deploy, "delete": self.delete,
            "scale": self.scale, "rollback": self.rollback, "refresh": self.refresh, "down": self.down,
            "traffic": self.traffic, "promote": self.promote,
        }  # fmt: skip

    async def restore(self) -> None:
        """Serves what was promoted last, each API for itself: one that fails is tried again later."""
        async with self._changing:
            self._kept.sweep()
            reached("restore.begun")
            await asyncio.gather(*(self._restored(name) for name in self._kept.apis()))

    async def keep(self) -> None:
        """Scales, and tries again what failed; ends when it is cancelled."""
        tried = time.monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            for running in list(self.running.values()):
                self._scaled(running, now)
                await self._judged(running)
            if now - tried > RETRY_S:
                tried = now
                for name in [one.name for one in self.running.values() if one.current is None]:
                    await self._restored(name)

    async def close(self) -> None:
        """Ends all replicas."""
        pools = [one.version.pool for running in self.running.values() for one in running.served()]
        await asyncio.gather(*(pool.close() for pool in pools))

    async def ping(self, request: Mapping[str, Any], say: Say) -> dict[str, Any]:
        host, port = self.url.split("://")[1].rsplit(":", 1)
        return {"url": self.url, "address": [host.strip("[]"), int(port)]}

    async def status(self, request: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """How one API, or all of them, stand."""
        wanted = request.get("api")
        found = [self._known(wanted)] if wanted is not None else sorted(self.running.values(), key=lambda one: one.name)
        return {"url": self.url, "apis": [one.status(self.url) for one in found]}

    async def deploy(self, request: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """Makes APIs what these specs say. One that fails keeps what it had, and does not keep others from theirs."""
        specs = [spec_from(plain) for plain in request["apis"]]
        async with self._changing:
            reached("deploy.begun")
            targets = await asyncio.gather(*(self._target(spec) for spec in specs))
            reached("deploy.resolved")
            steps = self._steps(specs, targets, prune=bool(request.get("prune")))
            if request.get("dry_run"):
                return {"steps": [asdict(step) for step in steps], "apis": []}
            by_name = {spec.name: (spec, target) for spec, target in zip(specs, targets, strict=True)}
            failed = [await self._taken(step, by_name, say) for step in steps]
        for error in failed:
            if error is not None:
                raise error
        return {
            "steps": [asdict(step) for step in steps],
            "apis": [self.running[spec.name].status(self.url) for spec in specs],
        }

    async def delete(self, request: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """Serves an API no more; what is in flight is answered first."""
        async with self._changing:
            running = self._known(request.get("api"))
            await self._removed(running)
        return {"deleted": running.name}

    async def scale(self, request: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """Other bounds for the number of replicas; a spec of its own, so that it lasts."""
        async with self._changing:
            running = self._known(request.get("api"))
            given = {key: request[key] for key in ("min_replicas", "max_replicas") if request.get(key) is not None}
            if request.get("replicas") is not None:
                given = dict.fromkeys(("min_replicas", "max_replicas"), request["replicas"])
            scaling = _rescaled(running.spec, given)
            await self._adjusted(running, replace(running.spec, autoscaling=scaling))
        return running.status(self.url)

    async def rollback(self, request: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """Back to the revision that was promoted before, or to that one."""
        async with self._changing:
            running = self._known(request.get("api"))
            number = request.get("revision") or self._kept.before(running.name)
            if number is None:
                raise HandrailError("not_found", f"'{running.name}' has no revision before this one", "deploy one")
            revision = self._kept.revision(running.name, int(number))
            reached("rollback.begun")
            if revision.number != running.revision:
                spec = spec_from(revision.spec)
                await self._updated(running, spec, self._target_again(revision), revision, say)
        return running.status(self.url)

    async def traffic(self, request: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """Other shares of the traffic: canaries and shadows come, change and go."""
        async with self._changing:
            running = self._known(request.get("api"))
            shares = tuple(Share(**one) for one in request["shares"])
            await self._adjusted(running, replace(running.spec, traffic=shares))
        return running.status(self.url)

    async def promote(self, request: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """The canary, or the share of that name, becomes the current version."""
        async with self._changing:
            running = self._known(request.get("api"))
            share = _promoted(running.spec, request.get("version"))
            spec = replace(without(running.spec, share.name), model=share.name)
            target = await self._target(spec)
            await self._updated(running, spec, target, self._proposed(spec, target), say)
        return running.status(self.url)

    async def refresh(self, request: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """Replaces the replicas of an API by new ones, one after the other."""
        async with self._changing:
            running = self._known(request.get("api"))
            for one in running.served():
                one.version.pool.refresh()
        return running.status(self.url)

    async def down(self, request: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """Ends the engine; what is deployed is served again when it is started again."""
        asyncio.get_running_loop().call_later(0.05, self.ended.set)
        return {"down": True}

    def _known(self, name: object) -> Running:
        if name not in self.running:
            mend = did_you_mean(str(name), self.running).strip() or f"deployed: {listed(self.running) or 'nothing'}"
            raise HandrailError("not_found", f"no API called '{name}' is deployed", mend)
        return self.running[str(name)]

    async def _target(self, spec: ApiSpec) -> Target:
        refuse_reserved(spec.name)
        refuse_other_kinds(spec)
        return await asyncio.to_thread(target_of, str(spec.model), self._place.home)

    def _target_again(self, revision: Revision) -> Target:
        return target_of(str(revision.spec["model"]), self._place.home)

    def _steps(self, specs: list[ApiSpec], targets: list[Target], *, prune: bool) -> list[Step]:
        desired = [Desired(spec, target.digest) for spec, target in zip(specs, targets, strict=True)]
        actual = [Actual(one.spec, one.digest, one.state()) for one in self.running.values()]
        return plan(desired, actual, prune)

    async def _taken(self, step: Step, wanted: Mapping[str, tuple[ApiSpec, Target]], say: Say) -> HandrailError | None:
        """One step; the error it ended with."""
        name = step.api
        try:
            if step.do == "delete":
                await self._removed(self.running[name])
            elif step.do == "create":
                await self._created(*wanted[name], say)
            elif step.do == "adjust":
                await self._adjusted(self.running[name], wanted[name][0])
            elif step.do == "update":
                spec, target = wanted[name]
                await self._updated(self.running[name], spec, target, self._proposed(spec, target), say)
            say(name, DONE[step.do])
        except HandrailError as error:
            if name in self.running:
                self.running[name].last_error = error.problem
            return HandrailError(error.code, f"{name}: {error.problem}", error.mend, where=error.where)
        return None

    def _proposed(self, spec: ApiSpec, target: Target) -> Revision:
        return self._kept.propose(spec.name, spec.as_dict(), str(target.folder), target.digest)

    async def _created(self, spec: ApiSpec, target: Target, say: Say) -> None:
        """An API that was not there. Nothing of it stays where it does not become ready."""
        revision = self._proposed(spec, target)
        running = Running(spec, revision.number, target.digest)
        try:
            await self._opened(running, target)
            reached("create.opened")
        except BaseException:
            if not self._kept.promoted(spec.name):
                self._kept.remove(spec.name)
            raise
        self._kept.promote(spec.name, revision.number)
        reached("create.promoted")
        self._show(running)
        reached("create.shown")

    async def _opened(self, running: Running, target: Target) -> None:
        first = await self._ready(target, running.spec, "current")
        running.current, running.api, running.last_error = first, Api([first.version]), None
        await self._shared(running, running.spec)

    async def _ready(self, target: Target, spec: ApiSpec, role: str) -> Served:
        """A version that has answered its examples right."""
        one = self._served(target, spec, role, first_replicas(spec))
        try:
            await one.version.pool.open()
        except BaseException:
            await one.version.pool.close()
            raise
        return one

    def _served(self, target: Target, spec: ApiSpec, role: str, replicas: int) -> Served:
        return served(target, spec, limits=self._limits, logs=self._place.logs, replicas=replicas,
                      now=time.monotonic(), role=role)  # fmt: skip

    async def _shared(self, running: Running, spec: ApiSpec) -> None:
        """Makes the versions beside the current one what `spec.traffic` says."""
        assert self.app is not None
        missing = [share.name for share in spec.traffic if share.name not in running.others]
        found = await asyncio.gather(*(asyncio.to_thread(target_of, name, self._place.home) for name in missing))
        targets = dict(zip(missing, found, strict=True))
        await let_go(await shared(self.app, running, spec, targets, self._ready))

    def _show(self, running: Running) -> None:
        """Lets requests come to an API."""
        assert running.api is not None
        self.running[running.name] = running
        self.apis[running.name] = running.api
        self._routes_changed()

    def _routes_changed(self) -> None:
        if self.app is not None:
            self.app.changed()

    async def _updated(self, running: Running, spec: ApiSpec, target: Target, revision: Revision, say: Say) -> None:
        if running.current is None or running.api is None:
            running.spec, running.digest = spec, target.digest
            await self._opened(running, target)
            self._kept.promote(spec.name, revision.number)
            running.revision = revision.number
            self._show(running)
            return
        wanted = max(first_replicas(spec), min(running.current.version.pool.wanted, spec.autoscaling.max_replicas))
        new = self._served(target, spec, "current", wanted)
        before = running.revision
        running.changing, running.current.role = True, "leaving"
        running.coming = new
        try:
            await take_over(
                running.api, new.version, spec, wanted, say=lambda text: say(spec.name, text),
                promote=lambda: self._kept.promote(spec.name, revision.number),
            )  # fmt: skip
        except BaseException:
            running.current.role = "current"
            if self._kept.promoted(spec.name)[-1:] != [before]:
                self._kept.promote(spec.name, before)
            raise
        else:
            running.current, running.spec, running.digest = new, spec, target.digest
            running.revision, running.updated, running.last_error = revision.number, time.time(), None
            reached("update.sharing")
            await self._shared(running, spec)
            reached("update.done")
        finally:
            running.changing = False
            running.coming = None
            self._routes_changed()

    async def _adjusted(self, running: Running, spec: ApiSpec) -> None:
        """Takes over what needs no new processes."""
        reached("adjust.begun")
        await self._shared(running, spec)
        reached("adjust.shared")
        kept = self._kept.propose(spec.name, spec.as_dict(), "", running.digest)
        self._kept.promote(spec.name, kept.number)
        running.spec, running.revision, running.updated = spec, kept.number, time.time()
        for one in running.served():
            one.adjust(spec, self._limits)
            low, high = spec.autoscaling.min_replicas, spec.autoscaling.max_replicas
            pool = one.version.pool
            pool.resize(max(low, min(high, pool.wanted)))

    async def _removed(self, running: Running) -> None:
        self._kept.remove(running.name)
        reached("delete.forgotten")
        self.running.pop(running.name, None)
        self.apis.pop(running.name, None)
        self._routes_changed()
        reached("delete.hidden")
        await let_go(running.served())
        reached("delete.done")

    async def _restored(self, name: str) -> None:
        try:
            revision = self._kept.served(name)
            if revision is None:
                return
            spec = spec_from(revision.spec)
            running = self.running.setdefault(name, Running(spec, revision.number, revision.digest))
            target = await asyncio.to_thread(self._target_again, revision)
            reached("restore.resolved")
            await self._opened(running, target)
            reached("restore.opened")
            self._show(running)
        except HandrailError as error:
            log.error("%s is not served: %s", name, error)
            if name in self.running:
                self.running[name].last_error = error.problem

    async def _judged(self, running: Running) -> None:
        """A canary that does worse than the current version goes again."""
        for name, verdict in judged(running).items():
            if verdict.found == "worse" and not self._changing.locked():
                async with self._changing:
                    log.warning("%s: canary %s was rolled back: %s", running.name, name, verdict.why)
                    await self._adjusted(running, without(running.spec, name))
                    running.last_error = f"canary {name} was rolled back: {verdict.why}"
                return

    def _scaled(self, running: Running, now: float) -> None:
        for one in running.served():
            one.sample(now)
            pool = one.version.pool
            if running.changing or running.current is None:
                continue
            decision = one.scaler.wanted(now, pool.wanted)
            if decision.replicas != pool.wanted:
                log.warning(
                    "%s: %d replicas instead of %d: %s", running.name, decision.replicas, pool.wanted, decision.why
                )
                pool.resize(decision.replicas)


def _rescaled(spec: ApiSpec, given: Mapping[str, int]) -> Any:
    scaling = spec.autoscaling
    low = given.get("min_replicas", min(scaling.min_replicas, given.get("max_replicas", scaling.max_replicas)))
    high = given.get("max_replicas", max(scaling.max_replicas, low))
    if not 0 <= low <= high <= 1000 or high < 1:
        raise HandrailError("usage", f"min_replicas {low} and max_replicas {high} do not go together", "min ≤ max")
    return replace(scaling, min_replicas=low, max_replicas=high, init_replicas=None)


def _promoted(spec: ApiSpec, name: object) -> Share:
    """The share that is to become the current version."""
    canaries = [share for share in spec.traffic if (not share.shadow if name is None else share.name == name)]
    if not canaries:
        known = listed([share.name for share in spec.traffic]) or "none"
        raise HandrailError("not_found", f"'{spec.name}' has no such canary", f"beside the current version: {known}")
    return max(canaries, key=lambda share: share.weight)
