"""The user's class: its file imported, the class found and built with the arguments it asks for by name."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.predictors.blame import print_traceback, start_failed
from handrail.predictors.memory import out_of_memory, ran_out
from handrail.predictors.metrics_client import MetricsClient
from handrail.predictors.python_client import PythonClient
from handrail.predictors.settings import Settings

VERBS: Final = ("post", "get", "put", "patch", "delete")
CLASSES: Final[Mapping[str, tuple[str, ...]]] = {
    "python": ("PythonPredictor", "Predictor", "Handler", "Task"),
    "onnx": ("ONNXPredictor", "Predictor", "Handler"),
}
# What a method may ask for by name.
ASKED_BY: Final = {
    "predict": ("payload", "query_params", "headers", "batch_id", "request_id"),
    "post_predict": ("response", "payload", "query_params", "headers", "request_id"),
    **{f"handle_{verb}": ("payload", "query_params", "headers", "request_id") for verb in VERBS},
    "__call__": ("config",),
    "on_job_complete": (),
}  # fmt: skip


@dataclass(frozen=True)
class Loaded:
    """The user's object: what its methods ask for, by their names, and what it reports numbers to."""

    it: Any
    asks: Mapping[str, frozenset[str]]
    config: Mapping[str, Any]
    metrics: MetricsClient = field(default_factory=MetricsClient)

    def call(self, method: str, offered: Mapping[str, Any]) -> Any:
        """Calls a method with those of the arguments that it asks for."""
        return getattr(self.it, method)(**{name: offered[name] for name in self.asks[method]})


def loaded(settings: Settings, project: Path, *, job: Mapping[str, Any] | None = None, limit: int = 0) -> Loaded:
    """The user's object, built. `project` is the working folder; `job` is what a batch job says of itself.

    Raises HandrailError that says what went wrong, in which file and line.
    """
    found = _guarded(lambda: _class_in(_imported(settings, project), settings), "importing it failed", project, limit)
    config = {**settings.config, **((job or {}).get("config") or {})}
    metrics = MetricsClient()
    offered = {"config": config, "metrics_client": metrics, "job_spec": dict(job) if job is not None else None}
    client = _client(settings)
    if client is not None:
        offered["onnx_client" if settings.type == "onnx" else "python_client"] = client
    built = _guarded(lambda: _built(found, offered), f"{found.__name__}.__init__ failed", project, limit)
    return Loaded(built, _asks(built, found), config, metrics)


def _guarded(act: Callable[[], Any], words: str, project: Path, limit: int) -> Any:
    try:
        return act()
    except HandrailError:
        raise
    except BaseException as error:
        print_traceback(error, project)
        if ran_out(error):
            raise out_of_memory(limit, while_starting=True) from None
        raise start_failed(error, words, project) from None


# The class.


def _imported(settings: Settings, project: Path) -> ModuleType:
    path = project / settings.path
    root = str((project / (settings.python_path or "")).absolute())
    sys.path.insert(0, root)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    name = path.stem if path.stem.isidentifier() and path.stem not in sys.modules else f"predictor_{id(path)}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        problem = f"'{settings.path}' is no Python file"
        raise HandrailError("data", problem, "name a file that ends with .py", field="path")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _class_in(module: ModuleType, settings: Settings) -> type:
    classes = {name: value for name, value in vars(module).items() if inspect.isclass(value)}
    own = {name: value for name, value in classes.items() if value.__module__ == module.__name__}
    if settings.class_name is not None:
        if settings.class_name in classes:
            return classes[settings.class_name]
        problem = f"there is no class '{settings.class_name}'{did_you_mean(settings.class_name, own)}"
        raise HandrailError("data", problem, f"the classes are: {listed(own) or 'none'}", where=settings.path)
    wanted = CLASSES.get(settings.type, ())
    for name in wanted:
        if name in classes:
            return classes[name]
    if "TensorFlowPredictor" in classes:
        mend = "export the model to ONNX and write an ONNXPredictor"
        raise HandrailError("data", "a TensorFlowPredictor needs TensorFlow Serving", mend, where=settings.path)
    callables = [value for value in own.values() if _methods(value)]
    if len(callables) == 1:
        return callables[0]
    problem = f"expected a class {wanted[0]}, found {listed(own) or 'no class'}"
    raise HandrailError("data", problem, "name the class so, or write class_name", where=settings.path)


def _methods(kind: type) -> list[str]:
    """The methods of ours that a class has. Every class can be called; only a `__call__` of its own counts."""
    return [name for name in ASKED_BY if any(name in vars(one) for one in kind.__mro__)]


# Building it.


def _client(settings: Settings) -> Any:
    if settings.models is None:
        return None
    if settings.type != "onnx":
        return PythonClient(settings.models)
    from handrail.predictors.onnx_client import ONNXClient  # noqa: PLC0415 - only who runs ONNX pays for onnxruntime

    return ONNXClient(settings.models, settings.cpu)


def _built(kind: type, offered: Mapping[str, Any]) -> Any:
    make: Any = kind.__new__
    it = make(kind)
    if isinstance(client := offered.get("python_client"), PythonClient):
        if not callable(getattr(it, "load_model", None)):
            problem = f"{kind.__name__} has models, and no load_model(self, model_path)"
            raise HandrailError("data", problem, "add the method; it returns the loaded model", field="models")
        client.belong_to(it)  # so that __init__ may load, too
    if not any("__init__" in vars(one) for one in kind.__mro__[:-1]):
        return it
    build = it.__init__
    names = _asked(build, "__init__", kind, offered)
    build(**{name: offered[name] for name in names})
    return it


def _asks(it: Any, kind: type) -> dict[str, frozenset[str]]:
    methods = _methods(kind)
    if not {"predict", "__call__", *(f"handle_{verb}" for verb in VERBS)} & set(methods):
        problem = f"{kind.__name__} has no predict(self, payload)"
        raise HandrailError("data", problem, "add the method; it answers one request")
    return {name: _asked(getattr(it, name), name, kind, dict.fromkeys(ASKED_BY[name])) for name in methods}


def _asked(method: Any, name: str, kind: type, offered: Mapping[str, Any]) -> frozenset[str]:
    """The arguments that a bound method asks for. Raises HandrailError for one that nobody can give it."""
    if inspect.iscoroutinefunction(method):
        raise HandrailError("data", f"{kind.__name__}.{name} is async", "write it without async", field=name)
    asked = set()
    for one in inspect.signature(method).parameters.values():
        if one.kind is one.VAR_KEYWORD:
            asked |= set(offered)
        elif one.name in offered and one.kind is not one.POSITIONAL_ONLY:
            asked.add(one.name)
        elif one.default is one.empty and one.kind is not one.VAR_POSITIONAL:
            raise _unknown(one.name, name, kind, offered)
    return frozenset(asked)


def _unknown(argument: str, method: str, kind: type, offered: Mapping[str, Any]) -> HandrailError:
    problem = f"{kind.__name__}.{method} asks for '{argument}', which nobody can give it"
    mend = f"it may ask for: {listed(name for name, _ in offered.items()) or 'nothing'}"
    if argument in ("python_client", "onnx_client"):
        mend = "say where the models are: models, or multi_model_reloading"
    if argument == "tensorflow_client":
        mend = "export the model to ONNX and write an ONNXPredictor"
    return HandrailError("data", problem, mend, field=argument)
