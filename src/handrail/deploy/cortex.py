"""cortex.yaml as it stands, of versions 0.18 to 0.35: the same APIs in Handrail's words.

What is not given has Handrail's defaults, not Cortex's: replicas react within seconds, and there are as many as the
machine has cores. What has no meaning on one machine is noted, not refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from handrail.deploy.cortex_table import API, OTHER_NAMES
from handrail.deploy.opening import Entry, Found, opened, specs_of
from handrail.deploy.reading import Reading, read_value
from handrail.deploy.spec import ApiSpec, Batching, Compute, ModelFiles, Predictor
from handrail.deploy.yaml import Document, Node

LOCAL_PORT: Final = 8888
OLD_KINDS: Final = {"SyncAPI": "RealtimeAPI", "APISplitter": "TrafficSplitter"}
# The mapping that says what answers, by kind; `handler` is what `predictor` is called from version 0.34.
ANSWERING: Final = ("predictor", "handler", "definition", "apis")
# Words that only a cortex.yaml has.
ONLY_CORTEX: Final = frozenset({"networking", "handler", "definition", "tracker", "apis", "pod"})
KEYS: Final = {
    "traffic": "apis",
    "port": "networking.local_port",
    "endpoint": "networking.endpoint",
    "autoscaling.target_in_flight": "autoscaling.target_replica_concurrency",
    "autoscaling.max_in_flight": "autoscaling.max_replica_concurrency",
}


def read_cortex(path: Path) -> list[ApiSpec]:
    """The APIs of a cortex.yaml. Raises HandrailError ("data") that lists all that is off, with line and column."""
    return list(found_in_cortex(path, opened(path)).specs)


def found_in_cortex(path: Path, document: Document) -> Found:
    """The same, with what is left out of it."""
    project = path.absolute().parent
    found = specs_of(path, document, "cortex", lambda node: _api(node, project))
    return replace(found, specs=_with_ports(found.specs))


def is_cortex(document: Document) -> bool:
    """True where an API of the document has words that only Cortex has."""
    items = document.root.value if document.root is not None else None
    found = [item.value for item in items if isinstance(item.value, dict)] if isinstance(items, list) else []
    return any(ONLY_CORTEX & item.keys() for item in found)


def _with_ports(specs: Sequence[ApiSpec]) -> tuple[ApiSpec, ...]:
    """Each realtime API answers at a port of its own, as it did locally in Cortex: from 8888 up, if none is given."""
    taken = {spec.port for spec in specs}
    free = (port for port in range(LOCAL_PORT, 65536) if port not in taken)
    return tuple(
        replace(spec, port=next(free), any_port=True) if spec.port is None and spec.kind == "RealtimeAPI" else spec
        for spec in specs
    )


def _api(node: Node, project: Path) -> Entry:
    reading = Reading(project, OTHER_NAMES, allows_nothing=True)
    values = read_value(API, node, "", reading)
    if values is None:
        return Entry(None, reading, node.place)
    kind = OLD_KINDS.get(values.get("kind", ""), values.get("kind", "RealtimeAPI"))
    _refuse_containers(reading)
    answering = _answering(kind, node, reading)
    spec = _spec(kind, values, values.get(answering) if answering else None, reading, answering)
    return Entry(spec, reading, node.place, _names(answering, reading))


def _refuse_containers(reading: Reading) -> None:
    if "pod" in reading.places:
        text = "containers, which Cortex has from version 0.36, are not run here"
        reading.tell(reading.places["pod"], "pod", text, "predictor: {type: python, path: predictor.py} runs a class")


def _answering(kind: str, node: Node, reading: Reading) -> str:
    """The key that says what answers; whatever is too much, missing or of another kind is told."""
    given = [key for key in ANSWERING if key in reading.places]
    fitting = {"TrafficSplitter": ("apis",), "TaskAPI": ("definition",)}.get(kind, ("predictor", "handler"))
    for key in given:
        if key not in fitting and not reading.is_wrong("kind"):
            reading.tell(reading.places[key], key, f"a {kind} has '{fitting[0]}' instead", f"write {fitting[0]}:")
    right = [key for key in given if key in fitting]
    if len(right) > 1:
        reading.tell(reading.places[right[1]], right[1], f"it says the same as '{right[0]}'", "keep one of them")
    if not given and "pod" not in reading.places:
        reading.tell(node.place, fitting[0], "missing; it says what answers", f"write {fitting[0]}:")
    return right[0] if right else fitting[0]


def _names(answering: str, reading: Reading) -> Mapping[str, str]:
    """What the file calls the keys of the specification."""
    models = [f"{answering}.{name}" for name in ("multi_model_reloading", "models", "model_path")]
    given = next((key for key in models if key in reading.places), models[1])
    own = {"predictor.models": given, "predictor.multi_model_reloading": given, "predictor": answering}
    return {**KEYS, **own, "env": f"{answering}.env"}


def _spec(kind: str, values: Mapping[str, Any], answer: Any, reading: Reading, answering: str) -> ApiSpec:
    parts = {key: values[key] for key in ("autoscaling", "update_strategy", "monitoring") if key in values}
    parts["compute"] = _compute(values.get("compute", {}), reading)
    networking = values.get("networking", {})
    parts |= {"endpoint": networking.get("endpoint"), "port": networking.get("local_port")}
    if answering == "apis":
        return ApiSpec(values["name"], "TrafficSplitter", traffic=answer or (), **parts)
    code = answer or {"path": ""}
    batching = code.get("server_side_batching") or Batching(max_batch_size=1)
    predictor = _predictor(code, reading, answering)
    return ApiSpec(
        values["name"], kind, predictor=predictor, batching=batching, env=code.get("env", {}), **parts  # type: ignore[arg-type]
    )  # fmt: skip


def _compute(given: Mapping[str, Any], reading: Reading) -> Compute:
    """Cortex counts whole GPUs; here there is one, and replicas share it."""
    gpu = given.get("gpu", 0)
    if gpu > 1:
        reading.notes.append((reading.places["compute.gpu"], f"compute.gpu: one is used, not {gpu}"))
    return Compute(**{**given, "gpu": float(min(gpu, 1))})


def _predictor(code: Mapping[str, Any], reading: Reading, answering: str) -> Predictor:
    same = (
        "path", "type", "config", "python_path", "log_level", "processes_per_replica", "threads_per_process",
        "server_side_batching",
    )  # fmt: skip
    models, is_python = _models(code, reading, answering), code.get("type") == "python"
    return Predictor(
        **{key: code[key] for key in same if key in code},
        models=None if is_python else models,
        multi_model_reloading=models if is_python else None,
        requirements=code.get("dependencies", {}).get("pip"),
    )


def _models(code: Mapping[str, Any], reading: Reading, answering: str) -> ModelFiles | None:
    """The models of any version: a path, a list of them, or a mapping."""
    given = [key for key in ("model_path", "models", "multi_model_reloading") if key in code]
    for key in given[1:]:
        path = f"{answering}.{key}"
        reading.tell(reading.places[path], path, f"it says the same as '{given[0]}'", "keep one of them")
    if not given:
        return None
    found = code[given[0]]
    if isinstance(found, str):
        return ModelFiles(path=found)
    return ModelFiles(paths=found) if isinstance(found, tuple) else found
