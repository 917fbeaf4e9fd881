"""What an API is asked to be: plain values, the same in YAML, in Python, over the control socket and in the store.

Keys in files are the names of these fields, without `_s` where a duration is written with its unit (`window: 10s`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal, get_args

Kind = Literal["RealtimeAPI", "BatchAPI", "AsyncAPI", "TaskAPI", "TrafficSplitter"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
PredictorType = Literal["python", "onnx", "tensorflow"]


@dataclass(frozen=True)
class Autoscaling:
    """How many replicas there are, in Cortex's words. Periods are seconds; counts are totals over all replicas.

    `init_replicas` None: as many as `min_replicas`, but at least one. `target_in_flight` None: as many requests as one
    replica answers at once. `max_in_flight` is how many may be in flight for each replica that may be started;
    beyond `max_in_flight * max_replicas` a request is refused with 503.
    """

    min_replicas: int = 1
    max_replicas: int = field(default_factory=lambda: max(1, os.cpu_count() or 1))
    init_replicas: int | None = None
    target_in_flight: float | None = None
    max_in_flight: int = 1024
    window_s: float = 10.0
    downscale_stabilization_period_s: float = 60.0
    upscale_stabilization_period_s: float = 0.0
    max_downscale_factor: float = 0.75
    max_upscale_factor: float = 1.5
    downscale_tolerance: float = 0.05
    upscale_tolerance: float = 0.05


@dataclass(frozen=True)
class Batching:
    """Rows answered together at most, and how long the first of a batch waits for others."""

    max_batch_size: int = 512
    batch_interval_s: float = 0.0


@dataclass(frozen=True)
class ApiLimits:
    """`timeout_s`: how long a client waits when it sets no shorter deadline. `hang_s`: how long a batch may take."""

    timeout_s: float = 30.0
    hang_s: float = 8.0
    ready_s: float = 60.0


@dataclass(frozen=True)
class Compute:
    """What one replica may have. `cpu` in cores (its threads), `mem` in bytes (None: no limit), `gpu` a share of 1."""

    cpu: float = 1.0
    mem: int | None = None
    gpu: float = 0.0


@dataclass(frozen=True)
class UpdateStrategy:
    """Replicas above and below the wanted number while a new version takes over: a count, or a share such as "25%".

    `max_surge` 0: the old ones stop first, requests wait meanwhile.
    """

    max_surge: int | str = "25%"
    max_unavailable: int | str = "25%"


@dataclass(frozen=True)
class Share:
    """Another model (or, in a TrafficSplitter, another API) that gets a part of the traffic.

    `weight` is a percentage of all requests. `header` ("name" or "name: value") sends requests that carry it here.
    `shadow`: it gets copies, and nobody sees its answers; `weight` is then the percentage that is copied.
    """

    name: str
    weight: float = 0.0
    header: str | None = None
    shadow: bool = False


@dataclass(frozen=True)
class Monitoring:
    """What is kept of predictions. `key`: which part of an answer is counted (None: the label or the number).

    `sample` is the share of requests whose inputs are kept, `keep` at most so many of them, `redact` the inputs that
    are never kept. `model_type` None: as the model's output says.
    """

    model_type: Literal["classification", "regression"] | None = None
    key: str | None = None
    sample: float = 0.0
    keep: int = 10_000
    redact: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelFiles:
    """Models that a predictor loads: one path, named paths, or a folder of them; caches hold so many of them, LRU."""

    path: str | None = None
    paths: tuple[tuple[str, str], ...] = ()
    dir: str | None = None
    cache_size: int | None = None
    disk_cache_size: int | None = None
    cache_bytes: int | None = None


@dataclass(frozen=True)
class Predictor:
    """A class of the user's that answers. `path` is its file inside the project folder; it is code, so it runs only
    where that was agreed to.

    `class_name` None: PythonPredictor, ONNXPredictor, Task or, in a file with one such class, Predictor or Handler.
    `requirements`: the file inside the project that names its packages (None: requirements.txt, if there is one).
    """

    path: str
    type: PredictorType = "python"
    class_name: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    models: ModelFiles | None = None
    multi_model_reloading: ModelFiles | None = None
    python_path: str | None = None
    processes_per_replica: int = 1
    threads_per_process: int = 1
    log_level: str = "info"
    # Cortex's own batching hands lists to `predict`; without it one request is one call.
    server_side_batching: Batching | None = None
    requirements: str | None = None


@dataclass(frozen=True)
class ApiSpec:
    """One API. Exactly one of `model` (`name`, `name@3`, `name@alias`, a folder) and `predictor` is given, or, in a
    TrafficSplitter, neither: then `traffic` names other APIs.

    `schedule` (a TaskAPI's): how often it runs by itself, "every 24h" or "daily 03:00" (UTC). `keys`: a file that
    `handrail keys` wrote, for this API alone. `port`: it answers at the root of this port of the loopback, too; with
    `any_port` the next free one is as good.
    """

    name: str
    kind: Kind = "RealtimeAPI"
    model: str | None = None
    predictor: Predictor | None = None
    endpoint: str | None = None
    port: int | None = None
    any_port: bool = False
    autoscaling: Autoscaling = field(default_factory=Autoscaling)
    batching: Batching = field(default_factory=Batching)
    limits: ApiLimits = field(default_factory=ApiLimits)
    compute: Compute = field(default_factory=Compute)
    update_strategy: UpdateStrategy = field(default_factory=UpdateStrategy)
    traffic: tuple[Share, ...] = ()
    monitoring: Monitoring | None = None
    keys: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    schedule: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values that `spec_from` reads back."""
        return asdict(self)


def spec_from(plain: Mapping[str, Any]) -> ApiSpec:
    """The inverse of `ApiSpec.as_dict`, also after a trip through JSON. What is unknown is left out: a newer Handrail
    may have written it."""
    found: ApiSpec = _built(ApiSpec, plain)
    return found


_PARTS: Final[dict[str, type]] = {
    "autoscaling": Autoscaling, "batching": Batching, "limits": ApiLimits, "compute": Compute,
    "update_strategy": UpdateStrategy, "monitoring": Monitoring, "predictor": Predictor, "models": ModelFiles,
    "multi_model_reloading": ModelFiles, "server_side_batching": Batching,
}  # fmt: skip


def _built(kind: type, plain: Mapping[str, Any]) -> Any:
    known = {one.name for one in fields(kind)}
    return kind(**{name: _value(name, value) for name, value in plain.items() if name in known})


def _value(name: str, value: Any) -> Any:
    if name == "traffic":
        return tuple(_built(Share, one) for one in value)
    if name in _PARTS and isinstance(value, Mapping):
        return _built(_PARTS[name], value)
    if name == "paths":
        return tuple((key, path) for key, path in value)
    return tuple(value) if name == "redact" else value
