"""The keys of handrail.yaml, what each may hold, and what it is for.

Reading, errors, the JSON Schema for editors and the reference page all come from these tables.
"""

from __future__ import annotations

from typing import Any, Final

from handrail.core.bundle import MODEL_NAME
from handrail.deploy import amounts, paths, shapes
from handrail.deploy.reading import Anything, Key, ListOf, Named, Section
from handrail.deploy.spec import (
    KINDS,
    ApiLimits,
    Autoscaling,
    Batching,
    Compute,
    ModelFiles,
    Monitoring,
    Predictor,
    Share,
    UpdateStrategy,
)

DAY_S: Final = 86400.0
MIB: Final = 2**20
VARIABLE: Final = r"[A-Za-z_][A-Za-z0-9_]{0,255}"
ENDPOINT: Final = r"/?[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*/?"
HEADER: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:: ?[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?"
SCHEDULE: Final = rf"every {amounts.DURATION}|daily (?:[01][0-9]|2[0-3]):[0-5][0-9]"
IDENTIFIER: Final = r"[A-Za-z_][A-Za-z0-9_]{0,199}"

NAME: Final = shapes.text(MODEL_NAME.pattern, "a name", example="reviews", limit=64)
REPLICAS: Final = shapes.whole(0, 1000, example=2)
SOME_REPLICAS: Final = shapes.whole(1, 1000, example=4)
UP_TO_A_DAY: Final = shapes.duration(0, DAY_S, example="60s")
CACHED: Final = shapes.whole(1, 100_000, example=5)


def _autoscaling(**given: Any) -> Autoscaling:
    """Whoever asks for more replicas than there are cores, and says no more, gets them."""
    least = max(given.get("min_replicas", 0), given.get("init_replicas", 0))
    most = {"max_replicas": max(least, Autoscaling().max_replicas)}
    return Autoscaling(**{**most, **given})


def _share(**given: Any) -> Share:
    """A shadow gets a copy of everything where nothing else is said."""
    whole = {"weight": 100.0} if given.get("shadow") else {}
    return Share(**{**whole, **given})


AUTOSCALING: Final = Section(
    "a mapping of autoscaling",
    (
        Key("min_replicas", REPLICAS, "The fewest replicas. 0: an idle API sleeps, and the first request wakes it."),
        Key("max_replicas", SOME_REPLICAS, "The most replicas.", default="as many as the machine has cores"),
        Key("init_replicas", REPLICAS, "How many a new API begins with.", default="min_replicas, but at least 1"),
        Key(
            "target_in_flight",
            shapes.number(0, 1_000_000, example=8, above=True),
            "How many requests in flight for each replica are aimed at: being answered and waiting, taken together.",
            default="as many as one replica answers at once",
        ),
        Key(
            "max_in_flight",
            shapes.whole(1, 1_000_000, example=1024),
            "How many requests may be in flight for each replica that may be started; what is beyond gets 503.",
        ),
        Key(
            "window",
            shapes.duration(0.1, 3600, example="10s"),
            "The time over which requests in flight are averaged.",
            "window_s",
        ),
        Key(
            "downscale_stabilization_period",
            UP_TO_A_DAY,
            "Never fewer replicas than were recommended at any moment of this period.",
            "downscale_stabilization_period_s",
        ),
        Key(
            "upscale_stabilization_period",
            UP_TO_A_DAY,
            "Never more replicas than were recommended at every moment of this period.",
            "upscale_stabilization_period_s",
        ),
        Key(
            "max_downscale_factor",
            shapes.number(0, 1, example=0.75, below=True),
            "One step down leaves at least this part of the replicas.",
        ),
        Key(
            "max_upscale_factor",
            shapes.number(1, 100, example=1.5, above=True),
            "One step up ends with at most this many times the replicas.",
        ),
        Key(
            "downscale_tolerance",
            shapes.number(0, 1, example=0.05),
            "So little below the present number changes nothing.",
        ),
        Key(
            "upscale_tolerance",
            shapes.number(0, 10, example=0.05),
            "So little above the present number changes nothing.",
        ),
    ),
    _autoscaling,
    "How many replicas there are, by what is in flight. Counts are totals over all replicas.",
)

BATCHING: Final = Section(
    "a mapping of batching",
    (
        Key("max_batch_size", shapes.whole(1, 100_000, example=64), "The most rows that are answered together."),
        Key(
            "batch_interval",
            shapes.duration(0, 60, example="20ms"),
            "How long the first of a batch waits for others.",
            "batch_interval_s",
        ),
    ),
    Batching,
    "Requests that wait together are answered together.",
)

LIMITS: Final = Section(
    "a mapping of limits",
    (
        Key(
            "timeout",
            shapes.duration(0.01, DAY_S, example="30s"),
            "How long a client waits that sets no shorter deadline; then it gets 504.",
            "timeout_s",
        ),
        Key(
            "hang",
            shapes.duration(0.1, DAY_S, example="8s"),
            "How long a batch may take before its replica is replaced.",
            "hang_s",
        ),
        Key("ready", shapes.duration(1, DAY_S, example="60s"), "How long a replica may take to be ready.", "ready_s"),
    ),
    ApiLimits,
    "How long things may take.",
)

COMPUTE: Final = Section(
    "a mapping of compute",
    (
        Key("cpu", shapes.cores(0.01, 1024, example="500m"), "Cores of one replica: its threads."),
        Key(
            "mem",
            shapes.memory(16 * MIB, 16 * 2**40, example="512Mi"),
            "Memory of one replica; what takes more is stopped and replaced.",
            default="no limit",
        ),
        Key("gpu", shapes.part(example="0.5"), "The share of a GPU that one replica may have."),
    ),
    Compute,
    "What one replica may have.",
)

UPDATE_STRATEGY: Final = Section(
    "a mapping of the update strategy",
    (
        Key(
            "max_surge",
            shapes.count_or_percentage(1000, example="25%"),
            "Replicas above the wanted number while a new version takes over. 0: the old ones stop first.",
        ),
        Key(
            "max_unavailable",
            shapes.count_or_percentage(1000, example="25%"),
            "Replicas that may be missing meanwhile.",
        ),
    ),
    UpdateStrategy,
    "How a new version takes over.",
)

SHARE: Final = Section(
    "a share of the traffic",
    (
        Key(
            "name",
            paths.model("a model such as reviews@4, or in a TrafficSplitter an API", example="reviews@4"),
            "The model that gets a part of the requests; in a TrafficSplitter, the API.",
            is_needed=True,
        ),
        Key(
            "weight",
            shapes.percentage(example="10"),
            "The percentage of all requests; of a shadow, of those copied (100).",
        ),
        Key(
            "header",
            shapes.text(HEADER, "a header, or a header and its value", example="x-canary", limit=1000),
            "Requests with this header come here, whatever the weights are: `x-canary`, or `x-canary: yes`.",
        ),
        Key("shadow", shapes.flag(), "It gets copies of requests, and nobody sees its answers."),
    ),
    _share,
    "Other models that get a part of the requests. What is left of 100 stays with `model`.",
)

MONITORING: Final = Section(
    "a mapping of monitoring",
    (
        Key(
            "model_type",
            shapes.one_of("classification", "regression"),
            "Whether answers are counted by label, or as numbers.",
            default="as the model's output says",
        ),
        Key(
            "key",
            shapes.line("the name of a part of an answer", example="label", limit=200),
            "The part of an answer that is counted.",
            default="the label or the number",
        ),
        Key("sample", shapes.part(example="10%"), "The share of requests whose inputs are kept on this machine."),
        Key("keep", shapes.whole(0, 10_000_000, example=10_000), "The most inputs that are kept; older ones go."),
        Key(
            "redact",
            ListOf(shapes.line("the name of an input", example="email", limit=200), "a list of names of inputs"),
            "Inputs that are never kept.",
        ),
    ),
    Monitoring,
    "What is kept of predictions.",
)

MODELS: Final = Section(
    "a mapping of models",
    (
        Key("path", paths.data("models/iris.onnx"), "One model: a file or a folder."),
        Key(
            "paths",
            ListOf(
                Section(
                    "a model with its name",
                    (
                        Key(
                            "name",
                            shapes.line("a name", example="iris", limit=200),
                            "What the code asks for.",
                            is_needed=True,
                        ),
                        Key("path", paths.data("models/iris.onnx"), "Where it is.", is_needed=True),
                    ),
                    lambda name, path: (name, path),
                ),
                "a list of models with their names",
            ),
            "Models with names: `{name: iris, path: models/iris.onnx}`.",
        ),
        Key("dir", paths.data_folder("models"), "A folder of models; their folders are their names."),
        Key("cache_size", CACHED, "How many are in memory; the one that was not used for longest goes.", default="all"),
        Key("disk_cache_size", CACHED, "How many are kept on disk.", default="all"),
        Key(
            "cache_bytes",
            shapes.memory(MIB, 16 * 2**40, example="2Gi"),
            "How much they may take in memory.",
            default="no limit",
        ),
    ),
    ModelFiles,
    "Models that the code loads by name: one of `path`, `paths` and `dir`.",
)

PREDICTOR: Final = Section(
    "a mapping of the predictor",
    (
        Key("path", paths.project_file("predictor.py"), "The Python file with the class.", is_needed=True),
        Key("type", shapes.one_of("python", "onnx", "tensorflow"), "What the class is given to predict with."),
        Key(
            "class_name",
            shapes.text(IDENTIFIER, "the name of a class", example="PythonPredictor"),
            "The class in that file.",
            default="PythonPredictor, ONNXPredictor, Task, Predictor or Handler",
        ),
        Key("config", Anything(), "Whatever the class's `__init__` is to get."),
        Key("models", MODELS, "Models that it loads by name."),
        Key("multi_model_reloading", MODELS, "The same, in Cortex's words for classes of type python."),
        Key(
            "python_path",
            paths.project_folder("src"),
            "The folder that imports begin at.",
            default="the project's folder",
        ),
        Key("processes_per_replica", shapes.whole(1, 256, example=1), "Processes of one replica."),
        Key("threads_per_process", shapes.whole(1, 1024, example=1), "Requests that one process answers at once."),
        Key("log_level", shapes.one_of("debug", "info", "warning", "error"), "What is logged at least."),
        Key(
            "requirements",
            paths.project_file("requirements.txt"),
            "The packages it needs.",
            default="requirements.txt, if there is one",
        ),
        Key(
            "server_side_batching",
            BATCHING,
            "`predict` gets a list of requests, and answers with a list.",
            default="one by one",
        ),
    ),
    Predictor,
    "Code of yours that answers. It runs as you, so `handrail deploy` asks once whether you trust it.",
)

API: Final = Section(
    "a mapping that describes an API",
    (
        Key("name", NAME, "What it is called, and where it answers: `/NAME/predict`.", default="the model's name"),
        Key("kind", shapes.one_of(*KINDS), "What kind of API it is."),
        Key(
            "model",
            paths.model("a model: name, name@3, name@alias, or a folder such as ./reviews", example="reviews@3"),
            "The model that answers: `reviews`, `reviews@3`, `reviews@production`, or a folder such as `./reviews`.",
        ),
        Key("predictor", PREDICTOR, "Code that answers, instead of a model."),
        Key(
            "replicas", SOME_REPLICAS, "A fixed number of replicas: short for equal `min_replicas` and `max_replicas`."
        ),
        Key("autoscaling", AUTOSCALING, "How many replicas there are, by what is in flight."),
        Key("batching", BATCHING, "How many rows are answered together."),
        Key("limits", LIMITS, "How long things may take."),
        Key("compute", COMPUTE, "What one replica may have."),
        Key("update_strategy", UPDATE_STRATEGY, "How a new version takes over."),
        Key(
            "traffic",
            ListOf(SHARE, "a list of shares", 100),
            "Other models that get a part of the requests: canaries and shadows.",
        ),
        Key("monitoring", MONITORING, "What is kept of predictions.", default="only counts of requests"),
        Key(
            "endpoint",
            shapes.text(ENDPOINT, "a path", example="/shop/reviews", limit=200),
            "Where it answers, if not under its name.",
            default="the name",
        ),
        Key("port", shapes.whole(1, 65535, example=8888), "It answers at the root of this port of this machine, too."),
        Key(
            "keys",
            paths.whole_project_file("keys.json"),
            "A file of keys for this API alone, written by `handrail keys`.",
        ),
        Key(
            "env",
            Named(VARIABLE, shapes.variable(), "names with their texts"),
            "Variables of the environment of its replicas.",
        ),
        Key(
            "schedule",
            shapes.text(SCHEDULE, "every 24h, or daily 03:00", example="daily 03:00", shows_pattern=False),
            "When a TaskAPI runs by itself: `every 24h`, or `daily 03:00` (UTC).",
        ),
    ),
)

FILE: Final = ListOf(API, "a list of APIs")
WHOLE_FILE: Final = Section("a list of APIs", (Key("apis", FILE, "The APIs.", is_needed=True),))

# What others call the same, so that a word from elsewhere is answered with the word from here.
OTHER_NAMES: Final = {
    "target_replica_concurrency": "target_in_flight", "max_replica_concurrency": "max_in_flight", "memory": "mem",
    "resources": "compute", "tracker": "monitoring", "handler": "predictor", "definition": "predictor",
    "apis": "traffic", "local_port": "port", "min": "min_replicas", "max": "max_replicas", "environment": "env",
    "scaling": "autoscaling", "path": "model", "cpus": "cpu", "gpus": "gpu", "class": "class_name",
    "batch_size": "max_batch_size", "canary": "traffic", "rollout": "update_strategy", "cron": "schedule",
    "max_batch_delay": "batch_interval", "max_batch_rows": "max_batch_size", "instances": "replicas",
    "workers": "replicas", "networking": "endpoint",
}  # fmt: skip
