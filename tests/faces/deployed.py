"""A stand-in for the engine with APIs that are deployed, for tests of what the command line asks and says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handrail.core.errors import HandrailError
from handrail.deploy.spec import ApiSpec, spec_from
from handrail.store.deployments import Deployments
from tests.engines.fake import standing

STEP = {"event": "step", "api": "churn", "text": "churn@1: 1 of 1 replicas ready"}


class Apis:
    """What the stand-in serves: the standings by name, and how it answers."""

    def __init__(self, home: Path) -> None:
        self.kept = Deployments(home)
        self.standings: dict[str, dict[str, Any]] = {}
        self.steps: list[dict[str, Any]] = [{"do": "create", "api": "churn", "why": ["model churn"]}]
        self.changes: dict[str, Any] = {}

    def serve(self, spec: ApiSpec, **changes: Any) -> None:
        """An API that is deployed."""
        self.standings[spec.name] = standing(spec.name, **changes)
        self.promote(spec)

    def promote(self, spec: ApiSpec, folder: str = "") -> None:
        self.kept.promote(spec.name, self.kept.propose(spec.name, spec.as_dict(), folder, "").number)

    def answers(self, request: Mapping[str, Any]) -> list[Any]:
        do, api = request["do"], request.get("api")
        if do == "ping":
            return [{"result": {"url": "http://127.0.0.1:8080", "address": ["127.0.0.1", 8080]}}]
        if do == "deploy":
            apis = [standing(spec["name"]) for spec in request["apis"]]
            for spec in [] if request["dry_run"] else request["apis"]:
                self.promote(spec_from(spec), request["folders"].get(spec["name"], ""))
            return [STEP, {"result": {"steps": self.steps, "apis": [] if request["dry_run"] else apis}}]
        if api is not None and api not in self.standings:
            return [HandrailError("not_found", f"no API called '{api}' is deployed", "deployed: churn").as_dict()]
        if do == "status":
            found = [self.standings[api]] if api else list(self.standings.values())
            return [{"result": {"url": "http://127.0.0.1:8080", "apis": found}}]
        if do == "delete":
            return [{"result": {"deleted": api}}]
        return [self._changed(request)]

    def _changed(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """An act whose effect is a label, so that the same act again changes nothing."""
        wanted = ApiSpec(request["api"], model="churn@1", env={"as": json.dumps(dict(request))})
        served = self.kept.served(wanted.name)
        if served is None or served.spec["env"] != wanted.env:
            self.promote(wanted)
        return {"result": {**self.standings[request["api"]], **self.changes}}
