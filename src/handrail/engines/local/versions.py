"""Versions as they are served here: what a spec asks for becomes a queue, a pool of replicas and their processes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.deploy.autoscaling import Autoscaler
from handrail.deploy.spec import ApiSpec
from handrail.model import Model, load
from handrail.serve.api import Version, version_of
from handrail.serve.batcher import Batcher, Batching
from handrail.serve.limits import Limits
from handrail.serve.metrics import Metrics
from handrail.serve.packing import pack_for
from handrail.serve.pool import Pool
from handrail.serve.processes import ADOPTABLE_S, REPLICA, Started, start_forkserver

# A model answers what waits together, so several in flight for each replica are no reason for another one.
MODEL_TARGET_IN_FLIGHT: Final = 8.0


@dataclass(frozen=True)
class Target:
    """What a revision serves: a model, its folder, and what tells it from others."""

    model: Model
    folder: Path
    digest: str


@dataclass(eq=False)
class Served:
    """A version that has replicas here, and what decides how many."""

    version: Version
    scaler: Autoscaler
    role: str
    came: int = 0

    def sample(self, now: float) -> None:
        """Tells the autoscaler how things are."""
        metrics = self.version.metrics
        came = sum(metrics.outcomes.values()) + metrics.in_flight
        self.scaler.observe(now, metrics.in_flight, came - self.came)
        self.came = came

    def adjust(self, spec: ApiSpec, limits: Limits) -> None:
        """Takes over what needs no new processes."""
        self.scaler.settings = spec.autoscaling
        self.version.batcher.batching = batching_of(spec)
        self.version.limits = replace(limits, answer_timeout_s=spec.limits.timeout_s)

    def status(self, weight: float) -> dict[str, Any]:
        """A version as `handrail status` shows it."""
        pool, version = self.version.pool, self.version
        return {
            "version": version.number, "role": self.role, "weight": weight, "ready": pool.ready, "wanted": pool.wanted,
            "in_flight": version.metrics.in_flight, "waiting": version.batcher.waiting,
            "memory_bytes": pool.memory_bytes(), "restarts": version.metrics.restarts,
            "last_failure": pool.last_failure, "pids": pool.pids(),
        }  # fmt: skip


def target_of(reference: str, home: Path) -> Target:
    """The model that a spec names. Raises HandrailError where it is not to be had."""
    model = load(reference, home=home)
    manifest = (model.bundle.path / "manifest.json").read_bytes()
    return Target(model, model.bundle.path, hashlib.sha256(manifest).hexdigest())


def served(
    target: Target, spec: ApiSpec, *, limits: Limits, logs: Path, replicas: int, now: float, role: str
) -> Served:
    """A version of this target; its pool is not open yet."""
    return Served(_version(target, spec, limits, logs, replicas), _scaler(spec, now), role)


def first_replicas(spec: ApiSpec) -> int:
    """How many replicas there are before anything is known of the traffic."""
    scaling = spec.autoscaling
    return scaling.init_replicas or max(1, scaling.min_replicas)


def _scaler(spec: ApiSpec, now: float) -> Autoscaler:
    return Autoscaler(spec.autoscaling, MODEL_TARGET_IN_FLIGHT, now)


def _version(target: Target, spec: ApiSpec, limits: Limits, logs: Path, replicas: int) -> Version:
    metrics = Metrics()
    log_file = logs / spec.name / f"{target.model.version or 0}.log"
    batcher = Batcher(metrics, batching_of(spec), pack=pack_for(target.model.signature))

    def start() -> Started:
        return start_forkserver(target.folder, REPLICA, ADOPTABLE_S, _environment(spec), log_file)

    pool = Pool(start, batcher, metrics, replicas=replicas, hang_s=spec.limits.hang_s, ready_s=spec.limits.ready_s)
    version = version_of(target.model, batcher, pool, metrics, spec.name)
    version.limits = replace(limits, answer_timeout_s=spec.limits.timeout_s)
    return version


def batching_of(spec: ApiSpec) -> Batching:
    """The bounds of an API's queue."""
    most = spec.autoscaling.max_in_flight * max(1, spec.autoscaling.max_replicas)
    batching = spec.batching
    return Batching(batching.max_batch_size, batching.batch_interval_s, max_waiting=most, max_in_flight=most)


def _environment(spec: ApiSpec) -> dict[str, str]:
    threads = str(max(1, int(spec.compute.cpu)))
    return {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, **spec.env}


def refuse_other_kinds(spec: ApiSpec) -> None:
    """Raises HandrailError for what this engine cannot run yet."""
    if spec.model is None:
        raise HandrailError("usage", f"'{spec.name}' names no model", f"write model: NAME under - name: {spec.name}")
