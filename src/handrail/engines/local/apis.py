"""The APIs of this engine: one comes, changes, shares its traffic, goes. Each act leaves the old state or the new."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.failpoints import reached
from handrail.core.files import remove_folder
from handrail.core.sockets import is_free
from handrail.deploy.schedule import schedule_of
from handrail.deploy.spec import ApiSpec, spec_from
from handrail.engines.local.rollout import take_over
from handrail.engines.local.running import WITH_REPLICAS, Running
from handrail.engines.local.sharing import let_go, shared
from handrail.engines.local.versions import (
    Served,
    Site,
    Target,
    code_target,
    first_replicas,
    model_target,
    served,
    target_at,
    watch,
)
from handrail.predictors.environment import sweep_environments
from handrail.serve.api import Api
from handrail.serve.app import App, refuse_reserved
from handrail.store.deployments import Deployments, Revision
from handrail.watch import forget

log = logging.getLogger("handrail.engine")

Say = Callable[[str], None]
# Beside the spec: the port that an API really has.
BOUND: Final = "bound_port"
# A copy of a project that nobody deployed for so long is in nobody's way.
KEPT_S: Final = 24 * 3600.0


class Apis:
    """What runs. `models` and `coded` are what the application serves; `changed` is called when they are others."""

    def __init__(self, site: Site, kept: Deployments) -> None:
        self.running: dict[str, Running] = {}
        self.models: dict[str, Api] = {}
        self.coded: dict[str, Api] = {}
        self.changed: Callable[[], None] = lambda: None
        self.ports: Callable[[Mapping[int, str]], None] = lambda ports: None
        self.app: App | None = None
        self._site = site
        self._kept = kept

    def known(self, name: object) -> Running:
        """Raises HandrailError ("not_found") for an API that is not deployed."""
        if name not in self.running:
            mend = did_you_mean(str(name), self.running).strip() or f"deployed: {listed(self.running) or 'nothing'}"
            raise HandrailError("not_found", f"no API called '{name}' is deployed", mend)
        return self.running[str(name)]

    async def target(self, spec: ApiSpec, folder: str | None, say: Say) -> Target:
        """What a spec serves. `folder` is the copy of its project, where it runs code."""
        refuse_reserved(spec.name)
        if spec.schedule is not None:
            schedule_of(spec.schedule)
        if spec.kind == "TrafficSplitter":
            self._refuse_unknown_shares(spec)
            return Target(Path(), "")
        if spec.predictor is None:
            return await asyncio.to_thread(model_target, str(spec.model), self._site.home)
        if not folder:
            mend = "deploy the file that names it: handrail deploy handrail.yaml"
            raise HandrailError("usage", f"'{spec.name}' runs code, and no project came with it", mend)
        target = await asyncio.to_thread(code_target, Path(folder), self._site.home, _from_thread(say))
        for note in target.notes:
            say(note)
        return target

    async def target_again(self, revision: Revision, say: Say) -> Target:
        """What a revision served."""
        if not revision.folder:
            return Target(Path(), revision.digest)
        return await asyncio.to_thread(target_at, Path(revision.folder), self._site.home, _from_thread(say))

    def propose(self, spec: ApiSpec, target: Target) -> Revision:
        """Writes down what is to be tried."""
        folder = "" if spec.kind == "TrafficSplitter" else str(target.folder.resolve())
        plain = {**spec.as_dict(), BOUND: self._port_for(spec)}
        return self._kept.propose(spec.name, plain, folder, target.digest)

    async def create(self, spec: ApiSpec, target: Target, revision: Revision) -> None:
        """An API that is not there. Nothing of it stays where it does not become ready."""
        running = Running(spec, revision.number, target, port=revision.spec.get(BOUND, revision.spec.get("port")))
        try:
            self.ports({**self._ports_without(spec.name), **_at(running)})
            await self.open(running)
            reached("create.opened")
        except BaseException:
            self.ports(self._ports_without(spec.name))
            if not self._kept.promoted(spec.name):
                self._kept.remove(spec.name)
            raise
        self._kept.promote(spec.name, revision.number)
        reached("create.promoted")
        self.show(running)
        reached("create.shown")

    async def restore(self, name: str, say: Say) -> None:
        """An API as it was promoted last."""
        revision = self._kept.served(name)
        if revision is None:
            return
        spec = spec_from(revision.spec)
        running = self.running.setdefault(name, Running(spec, revision.number, None))
        running.updated, running.port = revision.created, revision.spec.get(BOUND, revision.spec.get("port"))
        running.target = await self.target_again(revision, say)
        reached("restore.resolved")
        await self.open(running)
        reached("restore.opened")
        self.show(running)

    async def open(self, running: Running) -> None:
        """Starts its replicas, where its kind has some."""
        if running.spec.kind in WITH_REPLICAS:
            assert running.target is not None
            first = await self._ready(running.target, running.spec, "current", running.revision)
            running.current, running.api = first, Api([first.version])
            await self._share(running, running.spec)
        running.last_error = None

    def show(self, running: Running) -> None:
        """Lets requests come to it."""
        self.running[running.name] = running
        if running.api is not None:
            assert running.target is not None
            (self.coded if running.target.model is None else self.models)[running.name] = running.api
        self.ports({**self._ports_without(running.name), **_at(running)})
        self.changed()

    async def update(self, running: Running, spec: ApiSpec, target: Target, revision: Revision, say: Say) -> None:
        """Another version takes over. Where that fails, all is as it was."""
        if spec.kind not in WITH_REPLICAS or running.api is None or running.spec.kind not in WITH_REPLICAS:
            await self._replace(running, spec, target, revision)
            return
        assert running.current is not None
        before, current = running.revision, running.current
        wanted = max(first_replicas(spec), min(current.replicas, spec.autoscaling.max_replicas))
        new = self._served(target, spec, "coming", wanted, revision.number)
        running.changing, running.coming, current.role = True, new, "leaving"
        try:
            await take_over(
                running.api, new.version, spec, wanted * new.processes, say=say,
                promote=lambda: self._kept.promote(spec.name, revision.number),
            )  # fmt: skip
        except BaseException:
            current.role = "current"
            if self._kept.promoted(spec.name)[-1:] != [before]:
                self._kept.promote(spec.name, before)
            raise
        else:
            new.role = "current"
            running.became(new, spec, target, revision.number)
            running.port = revision.spec.get(BOUND, revision.spec.get("port"))
            current.end()
            reached("update.sharing")
            await self._share(running, spec)
            reached("update.done")
        finally:
            running.changing, running.coming = False, None
            self._move(running)
            self.show(running)

    async def adjust(self, running: Running, spec: ApiSpec, revision: Revision | None = None) -> None:
        """Takes over what needs no new processes. `revision` is one of before that says so (None: a new one)."""
        if spec == running.spec:
            return
        reached("adjust.begun")
        port = self._port_for(spec)
        self.ports({**self._ports_without(spec.name), **({} if port is None else {port: spec.name})})
        await self._share(running, spec)
        reached("adjust.shared")
        assert running.target is not None
        revision = revision or self.propose(spec, running.target)
        self._kept.promote(spec.name, revision.number)
        watched_anew = running.spec.monitoring != spec.monitoring
        running.spec, running.revision, running.updated = spec, revision.number, time.time()
        running.port = port
        for one in running.served():
            one.adjust(spec, self._site.limits)
            low, high = spec.autoscaling.min_replicas, spec.autoscaling.max_replicas
            one.resize(max(low, min(high, one.replicas)))
        if watched_anew and running.current is not None:
            watch(running.current, running.target, spec, self._site)
        self.show(running)

    async def remove(self, running: Running) -> None:
        """Serves it no more; what is in flight is answered first."""
        self._kept.remove(running.name)
        reached("delete.forgotten")
        for table in (self.running, self.models, self.coded):
            table.pop(running.name, None)
        self.ports(self._ports_without(running.name))
        self.changed()
        reached("delete.hidden")
        await let_go(running.served())
        await asyncio.to_thread(forget, self._site.home, running.name)
        reached("delete.done")

    def sweep(self) -> None:
        """Copies of projects that no revision names go, unless somebody may be about to deploy them; so do
        environments of packages that none of them asks for."""
        copies = self._site.home / "projects"
        wanted = {
            self._kept.revision(name, number).folder
            for name in self._kept.apis()
            for number in self._kept.numbers(name)
        }
        for copy in copies.iterdir() if copies.is_dir() else ():
            if str(copy.resolve()) not in wanted and time.time() - copy.lstat().st_mtime > KEPT_S:
                remove_folder(copy)
        for name in sweep_environments(self._site.home, [Path(folder) for folder in wanted if folder]):
            log.info("removed the environment %s: nobody has used it in a month", name)

    async def close(self) -> None:
        """Ends all replicas."""
        served = [one for running in self.running.values() for one in running.served()]
        await asyncio.gather(*(one.version.pool.close() for one in served))
        for one in served:
            one.end()

    async def _replace(self, running: Running, spec: ApiSpec, target: Target, revision: Revision) -> None:
        """For kinds without replicas, and for one that never became ready: the new instead of the old."""
        fresh = Running(spec, revision.number, target, port=revision.spec.get(BOUND, revision.spec.get("port")))
        await self.open(fresh)
        self._kept.promote(spec.name, revision.number)
        self._move(running)
        self.show(fresh)
        await let_go(running.served())

    def _move(self, running: Running) -> None:
        """Before it is shown again: it may have become another kind."""
        self.models.pop(running.name, None)
        self.coded.pop(running.name, None)

    async def _ready(self, target: Target, spec: ApiSpec, role: str, number: int) -> Served:
        """A version that has answered its examples right."""
        one = self._served(target, spec, role, first_replicas(spec), number)
        try:
            await one.version.pool.open()
        except BaseException:
            await one.version.pool.close()
            one.end()
            raise
        return one

    def _served(self, target: Target, spec: ApiSpec, role: str, replicas: int, number: int) -> Served:
        return served(target, spec, number, site=self._site, replicas=replicas, now=time.monotonic(), role=role)

    async def _share(self, running: Running, spec: ApiSpec) -> None:
        """Makes the versions beside the current one what `spec.traffic` says."""
        if spec.kind not in WITH_REPLICAS:
            return
        assert self.app is not None
        missing = [share.name for share in spec.traffic if share.name not in running.others]
        found = await asyncio.gather(*(asyncio.to_thread(model_target, name, self._site.home) for name in missing))

        for target in found:
            _refuse_other_rows(running, target)

        async def ready(target: Target, role: str) -> Served:
            return await self._ready(target, replace(spec, predictor=None), role, 0)

        await let_go(await shared(self.app, running, spec, dict(zip(missing, found, strict=True)), ready))

    def _refuse_unknown_shares(self, spec: ApiSpec) -> None:
        for share in spec.traffic:
            if share.name not in self.running:
                mend = did_you_mean(share.name, self.running).strip() or "deploy that one first, or in the same file"
                raise HandrailError(
                    "not_found", f"'{spec.name}' shares out to '{share.name}', which is not there", mend
                )

    def _ports_without(self, name: str) -> dict[int, str]:
        return {one.port: one.name for one in self.running.values() if one.port and one.name != name}

    def _port_for(self, spec: ApiSpec) -> int | None:
        """The port that was asked for, or, where any is as good, the first free one from there."""
        running, taken = self.running.get(spec.name), self._ports_without(spec.name)
        if spec.port is None or (running is not None and running.spec.port == spec.port and running.port):
            return None if running is None or spec.port is None else running.port
        if spec.any_port:
            return next(port for port in range(spec.port, 65_536) if port not in taken and is_free("127.0.0.1", port))
        if spec.port in taken:
            mend = f"choose another port for '{spec.name}'"
            raise HandrailError("conflict", f"port {spec.port} is that of '{taken[spec.port]}'", mend)
        return spec.port


def _refuse_other_rows(running: Running, target: Target) -> None:
    """A version beside the current one gets the same requests, so it has to read the same rows."""
    current = running.target.model if running.target is not None else None
    beside = target.model
    if current is None or beside is None:
        raise HandrailError("usage", "only models can share an API", "use a TrafficSplitter for code")
    ours, theirs = ([(one.name, one.kind) for one in model.signature.inputs] for model in (current, beside))
    if ours != theirs:
        problem = f"{beside.name}@{beside.version} reads other rows than {current.name}@{current.version}"
        raise HandrailError("usage", problem, "deploy it as an API of its own, and a TrafficSplitter over both")


def _at(running: Running) -> dict[int, str]:
    return {running.port: running.name} if running.port else {}


def _from_thread(say: Say) -> Say:
    """`say`, called from another thread."""
    loop = asyncio.get_running_loop()

    def later(text: str) -> None:
        loop.call_soon_threadsafe(say, text)

    return later
