"""What a replica of a predictor has to know: plain values, kept as `predictor.json` beside its code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.core.files import read_limited, write_bytes

FILE: Final = "predictor.json"
MAX_BYTES: Final = 16 * 2**20


@dataclass(frozen=True)
class ManagedModels:
    """Where the models are that a predictor asks for by name: one path, named paths, or a folder of them."""

    path: str | None = None
    paths: tuple[tuple[str, str], ...] = ()
    dir: str | None = None
    cache_size: int | None = None
    cache_bytes: int | None = None


@dataclass(frozen=True)
class Settings:
    """`batches`: `predict` gets lists. `mem` in bytes (None: no limit), `cpu` in cores. `ready_s`: how long importing
    the file and building the class may take."""

    name: str
    path: str
    kind: str = "RealtimeAPI"
    type: str = "python"
    class_name: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    models: ManagedModels | None = None
    python_path: str | None = None
    requirements: str | None = None
    threads: int = 1
    batches: bool = False
    log_level: str = "info"
    cpu: float = 1.0
    mem: int | None = None
    ready_s: float = 60.0


def settings_of(spec: Mapping[str, Any]) -> Settings:
    """The part of an API's specification (`ApiSpec.as_dict()`) that its code can see."""
    predictor = spec["predictor"]
    compute, limits = spec.get("compute") or {}, spec.get("limits") or {}
    return Settings(
        name=spec["name"],
        kind=spec.get("kind", "RealtimeAPI"),
        env=dict(spec.get("env") or {}),
        models=_models(predictor.get("models") or predictor.get("multi_model_reloading")),
        threads=predictor.get("threads_per_process", 1),
        batches=predictor.get("server_side_batching") is not None,
        cpu=compute.get("cpu", 1.0),
        mem=compute.get("mem"),
        ready_s=limits.get("ready_s", 60.0),
        **_known(predictor, "path", "type", "class_name", "config", "python_path", "requirements", "log_level"),
    )


def write_settings(folder: Path, settings: Settings) -> None:
    """Puts them beside the code."""
    write_bytes(folder / FILE, as_bytes(settings))


def as_bytes(settings: Settings) -> bytes:
    """The same bytes for the same settings. Raises HandrailError ("data") for a `config` that is not plain values."""
    try:
        return json.dumps(asdict(settings), sort_keys=True, indent=1).encode() + b"\n"
    except (TypeError, ValueError) as error:
        problem = f"'config' must hold plain values: {error}"
        raise HandrailError("data", problem, "write texts, numbers, lists and maps", field="config") from None


def read_settings(folder: Path) -> Settings:
    """What was written there. Raises HandrailError ("data") when it is no settings of ours."""
    path = folder / FILE
    try:
        plain = json.loads(read_limited(path, MAX_BYTES))
        return Settings(**{**_known(plain, *_names(Settings)), "models": _models(plain.get("models"))})
    except (ValueError, TypeError, AttributeError):
        raise HandrailError(
            "data", "these are no settings of a predictor", "deploy it again", where=str(path)
        ) from None


def _models(plain: Mapping[str, Any] | None) -> ManagedModels | None:
    if plain is None:
        return None
    found = _known(plain, *_names(ManagedModels))
    paths = tuple((str(name), str(path)) for name, path in found.get("paths") or ())
    return ManagedModels(**{**found, "paths": paths})


def _known(plain: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: plain[name] for name in names if name in plain}


def _names(kind: type) -> list[str]:
    return [one.name for one in fields(kind)]
