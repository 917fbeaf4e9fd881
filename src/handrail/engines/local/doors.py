"""What the engine adds to the application's routes: user code, splitters, jobs, feedback; and ports of single APIs."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from handrail.core.errors import HandrailError
from handrail.deploy.spec import ApiLimits
from handrail.deploy.traffic import Split
from handrail.engines.local.apis import Apis
from handrail.engines.local.running import Running
from handrail.jobs.batch import Target as JobTarget
from handrail.jobs.runner import Runner
from handrail.jobs.tasks import Task
from handrail.serve.app import App, aside
from handrail.serve.coded import coded_routes
from handrail.serve.guard import LOOK_S, Guard
from handrail.serve.http import Later, Request, Response
from handrail.serve.jobs import JobApi, job_routes
from handrail.serve.later import is_for_later, later
from handrail.serve.limits import Limits
from handrail.serve.openapi_engine import also_asked, code_asked, shared_out
from handrail.serve.routes import Endpoint, Route
from handrail.serve.user_metrics import UserMetrics
from handrail.serve.watching import Watcher, prometheus, saw_reply, watching_routes


class Doors:
    """Gives the routes of what runs, anew whenever the application asks."""

    def __init__(self, apis: Apis, limits: Limits, runner: Runner, told: UserMetrics) -> None:
        self._apis = apis
        self._limits = limits
        self._runner = runner
        self._told = told
        # Of APIs with keys of their own.
        self._guards: dict[tuple[str, Path], Guard] = {}
        self.app: App | None = None

    def routes(self) -> dict[str, Route]:
        """All routes beside those of models."""
        running = self._apis.running.values()
        app = self.app
        if app is None:
            return {}
        table = coded_routes(self._apis.coded, app.predict, self._saw, app.guard)
        for one in running:
            if one.spec.kind == "TrafficSplitter":
                ask = splitting(one, app)
                about = shared_out(one.name)
                table[f"/{one.name}"] = Route("caller", {"GET": _describing(one), "POST": ask}, about=about)
                table[f"/{one.name}/predict"] = Route("caller", {"POST": ask}, about=code_asked(one.name))
        for name in self._apis.models:
            # Cortex's clients ask at the name itself.
            table[f"/{name}"] = _also_posting(app, name)
        for name in {**self._apis.models, **self._apis.coded}:
            table[f"/{name}/predict"] = self._or_later(
                name, table.get(f"/{name}/predict") or app.routes[f"/{name}/predict"]
            )
        watched = {one.name: self._watchers(one) for one in running if one.current and one.current.watcher}
        jobs = {one.name: _job_api(one) for one in running}
        self._runner.schedule({one.name: _task(one) for one in running if one.spec.kind == "TaskAPI"})
        for path, route in job_routes(jobs, self._runner).items():
            before = table.get(path)
            table[path] = route if before is None else _joined(before, route)
        table |= watching_routes(watched, self._limits, aside)
        for one in running:
            guard = None if one.spec.keys is None else self._guard(one.name, Path(one.spec.keys))
            if one.api is not None:
                one.api.guard = guard
            if guard is not None:
                table |= _guarded(one.name, guard, {**app.routes, **table})
        return table

    async def look(self) -> None:
        """Keeps up with the keys of single APIs, once a second."""
        while True:
            await asyncio.sleep(LOOK_S)
            for guard in self._guards.values():
                guard.look()

    def _guard(self, name: str, keys: Path) -> Guard:
        return self._guards.setdefault((name, keys), Guard(keys, asks=True))

    def _or_later(self, name: str, route: Route) -> Route:
        """The same, for clients who would rather be answered later, too."""
        ask = route.methods["POST"]

        def either(request: Request) -> Response | Later:
            if b"prefer" in request.headers and is_for_later(request.headers):
                return later(request, name, self._runner)
            return ask(request)

        return replace(route, methods={**route.methods, "POST": either})

    def lines(self) -> list[str]:
        """Lines for /metrics of what is watched, and of what predictors tell of themselves."""
        running = self._apis.running
        watched = prometheus([one for found in running.values() if (one := _watcher(found)) is not None])
        return [*watched, *self._told.lines(running)]

    def _watchers(self, running: Running) -> Any:
        def watchers() -> list[Watcher]:
            return [one.watcher for one in running.served() if one.watcher is not None]

        return watchers

    def _saw(self, request: Request, response: Response) -> None:
        """Replies of user code, where they are watched."""
        name = request.path.strip("/").split("/")[0]
        running = self._apis.running.get(name)
        if running is not None and (watcher := _watcher(running)) is not None:
            saw_reply(watcher, request, response)


@dataclass(frozen=True)
class Rooted:
    """The application as one API sees it that has a port of its own: it answers at the root."""

    app: App
    name: str

    def admit(self, request: Request) -> Response | None:
        """Asks the application with the API's own path instead of the root."""
        if request.path in ("/", ""):
            request.path = f"/{self.name}/predict" if request.method == "POST" else f"/{self.name}"
        return self.app.admit(request)

    def __call__(self, request: Request) -> Response | Later:
        """What the application answers at the API's own path."""
        return self.admit(request) or self.app(request) if request.endpoint is None else self.app(request)

    def answered(self, request: Request, response: Response) -> None:
        """Told of every answer."""
        self.app.answered(request, response)


def splitting(running: Running, app: App) -> Endpoint:
    """Hands each request to one of the APIs that share its traffic; shadows get copies, whose answers nobody sees."""
    split = Split(running.spec.traffic, all_named=True)

    def ask(request: Request) -> Response | Later:
        name = split.chosen(request.headers)
        for shadow in split.copied():
            with contextlib.suppress(Exception):
                copied = _asked(app, shadow, replace(request, started=time.perf_counter()))
                if isinstance(copied, Later):
                    copied.future.add_done_callback(copied.finish)
        if name is None:
            raise HandrailError("not_found", f"'{running.name}' shares out to nobody", "give its APIs weights")
        return _asked(app, name, request)

    return ask


def _joined(one: Route, other: Route) -> Route:
    """Both at one path; the other wins."""
    return Route(
        other.policy, {**one.methods, **other.methods}, of=one.of or other.of, about={**one.about, **other.about}
    )


def _guarded(name: str, guard: Guard, routes: Mapping[str, Route]) -> dict[str, Route]:
    """The routes of an API with keys of its own: its name stands in the path, or they are its alone."""
    names = re.compile(rf"/(v[12]/models/)?{re.escape(name)}([/:].*)?")
    return {
        path: replace(route, guard=guard) for path, route in routes.items() if route.of == name or names.fullmatch(path)
    }


def _asked(app: App, name: str, request: Request) -> Response | Later:
    route = app.routes.get(f"/{name}/predict")
    if route is None:
        raise HandrailError("environment", f"'{name}' is not there", f"handrail status {name}")
    return route.methods["POST"](request)


def _also_posting(app: App, name: str) -> Route:
    described = app.described(name)
    asked = {"GET": described, "POST": lambda request: _asked(app, name, request)}
    return Route("caller", asked, about=also_asked(name))


def _describing(running: Running) -> Endpoint:
    shares = [{"name": share.name, "weight": share.weight, "shadow": share.shadow} for share in running.spec.traffic]
    return lambda request: Response(orjson.dumps({"name": running.name, "kind": running.spec.kind, "apis": shares}))


def _job_api(running: Running) -> JobApi:
    target = running.target
    if target is None or running.spec.kind == "TrafficSplitter":
        return JobApi(running.name, running.spec.kind)
    model = target.model
    if model is None:
        return JobApi(running.name, running.spec.kind, JobTarget("predictor", running.name, str(target.folder)))
    return JobApi(running.name, running.spec.kind, JobTarget("model", running.name, str(target.folder), model.version))


def _task(running: Running) -> Task:
    assert running.target is not None
    # What a client waits for an answer is no limit of a training; one that was chosen is.
    chosen = running.spec.limits.timeout_s
    timeout_s = None if chosen == ApiLimits().timeout_s else chosen
    return Task(running.name, str(running.target.folder), running.spec.schedule, timeout_s)


def _watcher(running: Running) -> Watcher | None:
    return None if running.current is None else running.current.watcher
