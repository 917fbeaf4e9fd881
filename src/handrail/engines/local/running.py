"""One API as it runs: what was asked for, its versions, and how it stands in words."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Final

from handrail.deploy.spec import ApiSpec
from handrail.engines.local.versions import Served, Target
from handrail.serve.api import Api

# Kinds that answer requests with replicas of their own.
WITH_REPLICAS: Final = ("RealtimeAPI", "AsyncAPI")
ENDS: Final = {"RealtimeAPI": "/predict", "TrafficSplitter": "/predict"}


@dataclass(eq=False)
class Running:
    """`api` is None where no version could be opened so far; then `last_error` says why."""

    spec: ApiSpec
    revision: int
    target: Target | None
    api: Api | None = None
    current: Served | None = None
    # Canaries and shadows by the name of their share.
    others: dict[str, Served] = field(default_factory=dict)
    # The next current version, while it takes over.
    coming: Served | None = None
    # How canaries began: see `sharing`.
    trials: dict[str, Any] = field(default_factory=dict)
    # The port of its own that it answers at.
    port: int | None = None
    changing: bool = False
    last_error: str | None = None
    updated: float = field(default_factory=time.time)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def digest(self) -> str:
        return "" if self.target is None else self.target.digest

    def became(self, current: Served, spec: ApiSpec, target: Target, revision: int) -> None:
        """Another version has taken over."""
        self.current, self.spec, self.target = current, spec, target
        self.revision, self.updated, self.last_error = revision, time.time(), None

    def served(self) -> list[Served]:
        """All that has replicas."""
        return [one for _, one in self._named()]

    def state(self) -> str:
        if self.last_error and self.current is None:
            return "failed"
        if self.current is None:
            return "starting" if self.spec.kind in WITH_REPLICAS else "live"
        if self.changing:
            return "updating"
        pool = self.current.version.pool
        if pool.is_asleep:
            return "asleep"
        if pool.ready >= pool.wanted:
            return "live"
        return "degraded" if pool.ready else "failed" if pool.last_failure else "starting"

    def status(self, url: str) -> dict[str, Any]:
        """What `handrail status` shows of it."""
        weights = {share.name: share.weight for share in self.spec.traffic}
        left = 100 - sum(share.weight for share in self.spec.traffic if not share.shadow)
        versions = [one.status(weights.get(name, left if one is self.current else 0.0)) for name, one in self._named()]
        watcher = None if self.current is None else self.current.watcher
        watched = {} if watcher is None else {"monitoring": watcher.status()}
        return {
            **watched, "name": self.name, "kind": self.spec.kind, "state": self.state(), "revision": self.revision,
            "url": f"{url}/{self.name}{ENDS.get(self.spec.kind, '')}", "port": self.port, "versions": versions,
            "ready": sum(one["ready"] for one in versions), "wanted": sum(one["wanted"] for one in versions),
            "in_flight": sum(one["in_flight"] for one in versions),
            "latency_ms": self._latency_ms(), "codes": self._codes(), "last_error": self.last_error,
            "why_not_ready": self._why_not_ready(), "updated": self.updated,
        }  # fmt: skip

    def _latency_ms(self) -> dict[str, float] | None:
        """Of the current version: what most of those who ask find."""
        found = self.current.version.recent.quantiles() if self.current is not None else None
        return None if found is None else {name: round(seconds * 1000, 3) for name, seconds in found.items()}

    def _codes(self) -> dict[str, int]:
        total = {"2xx": 0, "4xx": 0, "5xx": 0}
        for one in self.served():
            for code, count in one.version.recent.codes().items():
                total[code] = total.get(code, 0) + count
        return total

    def _named(self) -> list[tuple[str, Served]]:
        mine = [("", one) for one in (self.current, self.coming) if one is not None]
        return [*mine, *self.others.items()]

    def _why_not_ready(self) -> str | None:
        if self.current is None:
            return self.last_error
        pool = self.current.version.pool
        if pool.ready >= max(1, pool.wanted):
            return None
        if pool.is_asleep:
            return "asleep: the first request wakes it"
        return pool.last_failure or "its replicas are starting"
