"""The keys of cortex.yaml, versions 0.18 to 0.35, and what becomes of each here."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from handrail.deploy import paths, shapes, table
from handrail.deploy.reading import Anything, Choice, Key, ListOf, Named, Section

KINDS: Final = ("RealtimeAPI", "BatchAPI", "AsyncAPI", "TaskAPI", "TrafficSplitter", "SyncAPI", "APISplitter")
TEXT: Final = shapes.line("a text", example="text")
NO_IMAGE: Final = "left out: code runs in an environment of its own, with the packages of requirements.txt, in no image"
ONE_MACHINE: Final = "left out: it has no meaning on one machine"


def _with(section: Section, *names: str, **renamed: str) -> Section:
    """A part of a section of handrail.yaml, under Cortex's words: `their_word="our_word"`."""
    keys = [key for name in names if (key := section.key(name)) is not None]
    keys += [
        replace(key, name=theirs, fills=key.target) for theirs, ours in renamed.items() if (key := section.key(ours))
    ]
    return replace(section, keys=tuple(keys))


AUTOSCALING: Final = _with(
    table.AUTOSCALING,
    *(key.name for key in table.AUTOSCALING.keys if not key.name.endswith("_in_flight")),
    target_replica_concurrency="target_in_flight",
    max_replica_concurrency="max_in_flight",
)

COMPUTE: Final = replace(
    table.COMPUTE,
    keys=(
        *_with(table.COMPUTE, "cpu", "mem").keys,
        Key("gpu", shapes.whole(0, 1000, example=1)),
        Key("inf", shapes.whole(0, 1000, example=1), unused="left out: there are no Inferentia chips here"),
    ),
    make=None,
)

NETWORKING: Final = Section(
    "a mapping of networking",
    (
        Key("endpoint", shapes.text(table.ENDPOINT, "a path", example="/iris", limit=200)),
        Key("local_port", shapes.whole(1, 65535, example=8888)),
        Key("api_gateway", shapes.one_of("public", "none"), unused=ONE_MACHINE),
    ),
)

SIGNATURE: Final = Key("signature_key", TEXT, unused="left out: an ONNX graph has one signature")


def _named_model(name: str, path: str = "") -> tuple[str, str]:
    return name, path


NAMED_MODELS: Final = ListOf(
    Section(
        "a model with its name",
        (
            Key("name", shapes.line("a name", example="iris", limit=200), is_needed=True),
            Key("path", paths.data("models/iris.onnx")),
            Key("model_path", paths.data("models/iris.onnx"), fills="path"),
            SIGNATURE,
        ),
        _named_model,
    ),
    "a list of models with their names",
)

MODELS: Final = replace(
    table.MODELS,
    keys=(
        Key("path", paths.data("models/iris")),
        Key("model_path", paths.data("models/iris"), fills="path"),
        Key("paths", NAMED_MODELS),
        *_with(table.MODELS, "dir", "cache_size", "disk_cache_size").keys,
        SIGNATURE,
    ),
)

DEPENDENCIES: Final = Section(
    "a mapping of dependencies",
    (
        Key("pip", paths.project_file("requirements.txt")),
        Key("conda", TEXT, unused="left out: only the packages of requirements.txt are installed"),
        Key("shell", TEXT, unused="left out: no script of yours installs anything here"),
    ),
)

COMMON: Final = (
    Key("path", paths.project_file("predictor.py"), is_needed=True),
    *_with(table.PREDICTOR, "python_path", "log_level").keys,
    Key("config", Anything()),
    Key("env", Named(table.VARIABLE, shapes.variable(), "names with their texts")),
    Key("dependencies", DEPENDENCIES),
    Key("image", TEXT, unused=NO_IMAGE),
    Key("shm_size", TEXT, unused="left out: replicas share the machine's own memory"),
)

PREDICTOR: Final = Section(
    "a mapping of the predictor",
    (
        Key("type", shapes.one_of("python", "onnx", "tensorflow"), is_needed=True),
        *COMMON,
        Key("model_path", paths.data("models/iris.onnx")),
        Key("models", Choice(NAMED_MODELS, MODELS)),
        Key("multi_model_reloading", MODELS),
        *_with(table.PREDICTOR, "processes_per_replica", "threads_per_process", "server_side_batching").keys,
        Key("tensorflow_serving_image", TEXT, unused=NO_IMAGE),
        Key("protobuf_path", TEXT, unused="left out: gRPC services of one's own are not served"),
        SIGNATURE,
    ),
)

API: Final = Section(
    "a mapping that describes an API",
    (
        Key("name", table.NAME, is_needed=True),
        Key("kind", shapes.one_of(*KINDS)),
        Key("predictor", PREDICTOR),
        Key("handler", PREDICTOR),
        Key("definition", Section("a mapping of the task", COMMON)),
        Key("apis", ListOf(_with(table.SHARE, "name", "weight", "shadow"), "a list of APIs with their weights", 100)),
        Key("networking", NETWORKING),
        Key("compute", COMPUTE),
        Key("autoscaling", AUTOSCALING),
        Key("update_strategy", table.UPDATE_STRATEGY),
        Key("monitoring", _with(table.MONITORING, "model_type", "key")),
        Key("tracker", _with(table.MONITORING, "model_type", "key"), fills="monitoring"),
        Key("node_groups", ListOf(TEXT, "a list of names"), unused=ONE_MACHINE),
        Key("pod", Anything()),
    ),
)

# Handrail's own words, where somebody writes them into a cortex.yaml.
OTHER_NAMES: Final = {
    "port": "local_port", "target_in_flight": "target_replica_concurrency", "max_in_flight": "max_replica_concurrency",
    "memory": "mem", "traffic": "apis", "model": "model_path", "requirements": "pip", "min": "min_replicas",
    "max": "max_replicas", "replicas": "min_replicas", "workers_per_replica": "processes_per_replica",
    "threads_per_worker": "threads_per_process", "tf_serve_image": "tensorflow_serving_image",
}  # fmt: skip
