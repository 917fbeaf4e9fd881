"""Versions as they are served here: what a spec asks for becomes a queue, a pool of replicas and their processes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.deploy.autoscaling import Autoscaler
from handrail.deploy.spec import ApiSpec, Compute
from handrail.model import Model, load
from handrail.predictors.environment import environment_of
from handrail.predictors.exchange import what_is_asked
from handrail.serve.api import Version, version_of
from handrail.serve.batcher import Batcher, Batching
from handrail.serve.coded import CodeVersion
from handrail.serve.formats.predictor import packed_rows
from handrail.serve.limits import Limits
from handrail.serve.metrics import Metrics
from handrail.serve.pool import Pool
from handrail.serve.predictor_replica import command_of
from handrail.serve.processes import ADOPTABLE_S, THREADS, Started, program_of, start_forkserver
from handrail.serve.queues import queue_for
from handrail.serve.streams import LONGER_STEPS, LONGEST_START_S, Streams
from handrail.serve.user_metrics import UserMetrics
from handrail.serve.watching import Watcher, watch_of
from handrail.watch.profile import profile_in

# A model answers what waits together, so several in flight for each replica are no reason for another one.
MODEL_TARGET_IN_FLIGHT: Final = 8.0
# A model that writes has all cores, so that another replica of it would only take them away from the first; where it
# has fewer, one replica continues so many texts.
WRITING_ALONE, WRITING_TARGET_IN_FLIGHT = 1e6, 32.0
# User code that has not answered so long after its clients gave up hangs.
HANG_AFTER_S: Final = 5.0
# A replica of user code says by itself that it was not ready in time, and where it was then.
LONGER_S: Final = 2.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Target:
    """What a revision serves: a model, or code with the Python that runs it; and what tells it from others."""

    folder: Path
    digest: str
    model: Model | None = None
    python: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Site:
    """Where versions of this engine live, and what bounds all of them."""

    home: Path
    logs: Path
    limits: Limits
    told: UserMetrics = field(default_factory=UserMetrics)


@dataclass(eq=False)
class Served:
    """A version that has replicas here, what decides how many, and what watches its answers."""

    version: Any  # Version | CodeVersion
    scaler: Autoscaler
    role: str
    processes: int = 1
    # `reviews@3`, or the folder of a model that is in no store; empty for code.
    model: str = ""
    watcher: Watcher | None = None
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

    def end(self) -> None:
        """Nothing is watched any more."""
        if self.watcher is not None:
            self.watcher.close()
            self.watcher = None

    @property
    def replicas(self) -> int:
        """How many are wanted."""
        wanted: int = self.version.pool.wanted
        return -(-wanted // self.processes)

    def resize(self, replicas: int) -> None:
        """Wants so many."""
        self.version.pool.resize(replicas * self.processes)

    def status(self, weight: float) -> dict[str, Any]:
        """A version as `handrail status` shows it."""
        pool, version = self.version.pool, self.version
        return {
            "version": version.number, "model": self.model, "role": self.role, "weight": weight,
            "ready": pool.ready // self.processes,
            "wanted": self.replicas, "in_flight": version.metrics.in_flight, "waiting": version.batcher.waiting,
            "memory_bytes": pool.memory_bytes(), "restarts": version.metrics.restarts,
            "last_failure": pool.last_failure, "pids": pool.pids(),
        }  # fmt: skip


def model_target(reference: str | Path, home: Path) -> Target:
    """The model that a spec names. Raises HandrailError where it is not to be had."""
    model = load(reference, home=home)
    manifest = (model.bundle.path / "manifest.json").read_bytes()
    return Target(model.bundle.path, hashlib.sha256(manifest).hexdigest(), model)


def code_target(folder: Path, home: Path, say: Say) -> Target:
    """The snapshot of a project, with its packages installed. Raises HandrailError where that cannot be done."""
    if not folder.is_dir():
        raise HandrailError("not_found", "the copy of the project is gone", "deploy it again", where=str(folder))
    environment = environment_of(folder, home, say)
    return Target(folder, folder.name, None, environment.python, environment.notes)


def target_at(folder: Path, home: Path, say: Say) -> Target:
    """What a revision served: the same version, whatever its name means by now."""
    if not (folder / "manifest.json").is_file():
        return code_target(folder, home, say)
    models = home.resolve() / "models"
    inside = folder.resolve().is_relative_to(models)
    return model_target(f"{folder.parent.name}@{folder.name}" if inside else folder, home)


def served(target: Target, spec: ApiSpec, number: int, *, site: Site, replicas: int, now: float, role: str) -> Served:
    """A version of this target; its pool is not open yet. `number` is the revision's: it names versions of code."""
    predictor = spec.predictor
    processes = predictor.processes_per_replica if predictor else 1
    name = str(number) if target.model is None else str(target.model.version or 0)
    start = _starting(target, spec, site.logs / spec.name / f"{name}.log")
    if target.model is None:
        version: Version | CodeVersion = _code_version(spec, name, start, replicas * processes, site)
    else:
        version = _model_version(target.model, spec, start, replicas)
    version.limits = replace(site.limits, answer_timeout_s=spec.limits.timeout_s)
    scaler = Autoscaler(spec.autoscaling, _target_in_flight(spec, version), now)
    one = Served(version, scaler, role, processes, _model_of(target))
    if role != "shadow":
        watch(one, target, spec, site)
    return one


def _starting(target: Target, spec: ApiSpec, log_file: Path) -> Callable[[], Started]:
    task = None if target.model is None else target.model.manifest.task
    command = command_of(target.python) if task is None else program_of(task)
    environment = {} if task is None else _environment(spec)
    return lambda: start_forkserver(target.folder, command, ADOPTABLE_S, environment, log_file)


def _code_version(spec: ApiSpec, name: str, start: Callable[[], Started], processes: int, site: Site) -> CodeVersion:
    assert spec.predictor is not None
    metrics, bounds = Metrics(), spec.limits
    batcher = Batcher(metrics, batching_of(spec), packed_rows, lambda rows: b"\0".join(map(what_is_asked, rows)))
    hang_s = max(bounds.hang_s, bounds.timeout_s + HANG_AFTER_S)
    pool = Pool(start, batcher, metrics, replicas=processes, hang_s=hang_s,
                threads=spec.predictor.threads_per_process, ready_s=bounds.ready_s + LONGER_S)  # fmt: skip
    coded = CodeVersion(spec.name, name, batcher, pool, metrics)
    coded.hear(site.told)
    return coded


def _model_version(model: Model, spec: ApiSpec, start: Callable[[], Started], replicas: int) -> Version:
    metrics, bounds = Metrics(), spec.limits
    batcher = queue_for(model, metrics, batching_of(spec))
    hang_s, ready_s = bounds.hang_s, bounds.ready_s
    if isinstance(batcher, Streams):
        hang_s, ready_s = hang_s * LONGER_STEPS, max(ready_s, LONGEST_START_S)
    pool = Pool(start, batcher, metrics, replicas=replicas, hang_s=hang_s, ready_s=ready_s)
    return version_of(model, batcher, pool, metrics, spec.name)


def _model_of(target: Target) -> str:
    model = target.model
    if model is None:
        return ""
    return f"{model.name}@{model.version}" if model.version else str(target.folder)


def watch(one: Served, target: Target, spec: ApiSpec, site: Site) -> None:
    """Lets its answers be watched as `spec.monitoring` says; gives up what watched them so far."""
    before, one.watcher = one.watcher, None
    one.version.watch = None
    if before is not None:
        before.close()
    if spec.monitoring is None:
        return
    model = target.model
    signature, profile = (None, None) if model is None else (model.signature, profile_in(model.bundle))
    name = one.model if model is not None and model.version else ""
    one.watcher = Watcher(site.home, spec.name, spec.monitoring, signature, profile, version=name)
    if model is not None:
        one.version.watch = watch_of(one.watcher)


def first_replicas(spec: ApiSpec) -> int:
    """How many replicas there are before anything is known of the traffic."""
    scaling = spec.autoscaling
    return scaling.init_replicas or max(1, scaling.min_replicas)


def batching_of(spec: ApiSpec) -> Batching:
    """The bounds of an API's queue. One request is one call of user code, unless it asks for lists of them."""
    most = spec.autoscaling.max_in_flight * max(1, spec.autoscaling.max_replicas)
    batching = spec.batching
    if spec.predictor is not None:
        lists = spec.predictor.server_side_batching
        batching = replace(batching, max_batch_size=1, batch_interval_s=0.0) if lists is None else lists
    return Batching(batching.max_batch_size, batching.batch_interval_s, max_waiting=most, max_in_flight=most)


def _target_in_flight(spec: ApiSpec, version: Version | CodeVersion) -> float:
    """How many requests in flight keep one replica busy."""
    if spec.predictor is not None:
        return spec.predictor.processes_per_replica * spec.predictor.threads_per_process
    if not isinstance(version.batcher, Streams):
        return MODEL_TARGET_IN_FLIGHT
    return WRITING_ALONE if spec.compute.cpu == Compute().cpu else WRITING_TARGET_IN_FLIGHT


def _environment(spec: ApiSpec) -> dict[str, str]:
    threads = str(max(1, int(spec.compute.cpu)))
    # Where nobody said how many, a model that writes has all: one core is what a row needs, and a text takes any.
    writing = {} if spec.compute.cpu == Compute().cpu else {THREADS: threads}
    return {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, **writing, **spec.env}
