"""What an ONNXPredictor asks: `onnx_client.predict(input, "resnet50", "2")`, on onnxruntime."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

from handrail.core.errors import HandrailError, clipped, listed
from handrail.predictors.models import Models
from handrail.predictors.settings import ManagedModels

# Types of tensors as ONNX Runtime writes them, and numpy's names for them.
TYPES: Final = {
    "float16": "float16", "float": "float32", "double": "float64", "bool": "bool", "string": "object",
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip


class ONNXClient:
    """Runs models that it loads when they are asked for."""

    def __init__(self, models: ManagedModels, cpu: float = 1.0) -> None:
        self._threads = max(1, math.ceil(cpu))
        self._models = Models(models, self._load)

    def predict(
        self, model_input: Any, model_name: str | None = None, model_version: str | int | None = None
    ) -> list[Any]:
        """The outputs of the model, in its order. Where it has one input, that may stand alone or under its name; where
        it has several, they stand in a dict."""
        session = self.get_model(model_name, model_version)["session"]
        outputs: list[Any] = session.run(None, _inputs(model_input, session.get_inputs()))
        return outputs

    def get_model(self, model_name: str | None = None, model_version: str | int | None = None) -> dict[str, Any]:
        """The model's session and what it reads: `session`, `signatures` and `input_signatures`."""
        found: dict[str, Any] = self._models.get(model_name, model_version)
        return found

    def _load(self, path: Path) -> dict[str, Any]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        there = onnxruntime.get_available_providers()
        providers = [one for one in ("CUDAExecutionProvider", "CPUExecutionProvider") if one in there]
        session = onnxruntime.InferenceSession(str(_file(path)), options, providers=providers)
        signatures = session.get_inputs()
        described = {one.name: {"shape": one.shape, "type": _kind(one.type)} for one in signatures}
        return {"session": session, "signatures": signatures, "input_signatures": described}


def _file(path: Path) -> Path:
    if path.is_file():
        return path
    found = sorted(path.glob("*.onnx"))
    if len(found) != 1:
        problem = f"expected one .onnx file, found {listed(one.name for one in found) or 'none'}"
        raise HandrailError("data", problem, "put the model alone into its folder", where=str(path), field="models")
    return found[0]


def _kind(written: str) -> str:
    return TYPES.get(written.removeprefix("tensor(").removesuffix(")"), written)


def _inputs(given: Any, wanted: list[Any]) -> dict[str, np.ndarray]:
    names = [one.name for one in wanted]
    if not isinstance(given, Mapping):
        if len(names) != 1:
            problem = f"the model has {len(names)} inputs, received {type(given).__name__}"
            raise HandrailError("data", problem, f"give a dict with {listed(names)}", field="model_input")
        given = {names[0]: given}
    if missing := [name for name in names if given.get(name) is None]:
        mend = f"the model reads {listed(names)}"
        raise HandrailError("data", f"the input '{clipped(missing[0])}' is missing", mend, field=missing[0])
    return {one.name: _array(given[one.name], one) for one in wanted}


def _array(value: Any, wanted: Any) -> np.ndarray:
    """The value with the type and shape that the model declares; one size may be open."""
    kind = _kind(wanted.type)
    shape = [size if isinstance(size, int) else -1 for size in wanted.shape]
    try:
        array = np.asarray(value).astype(kind, copy=False)
        return array.reshape(shape) if shape.count(-1) <= 1 else array
    except (ValueError, TypeError, OverflowError) as error:
        problem = f"'{clipped(wanted.name, 40)}' is no {kind} of shape {wanted.shape}: {clipped(str(error), 120)}"
        raise HandrailError("data", problem, "send numbers of that shape", field=wanted.name) from None
