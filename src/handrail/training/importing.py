"""An ONNX file that was made elsewhere becomes a model here: checked, given a signature, saved as a version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from handrail import __version__
from handrail.core.bundle import Manifest, to_json, write_bundle
from handrail.core.errors import HandrailError
from handrail.core.files import read_limited
from handrail.core.signature import MAX_VECTOR, Field, Output, Signature
from handrail.model import Model, load
from handrail.store import Store, check_name
from handrail.training.asked import name_for

MAX_ONNX_BYTES = 2**31 - 1
EXAMPLES = 3
OUTPUT = "scores"


def import_onnx(path: Path, name: str | None = None, *, home: Path | None = None) -> Model:
    """The graph in a .onnx file as a model that takes vectors and answers with one.

    Each input must be float32 of shape (rows, size), and so must the first output; the others are left out.
    Raises HandrailError ("data", "bundle") that says what a graph has that is not taken.
    """
    called = name_for(path) if name is None else name
    check_name(called)
    store = Store(home)
    content, signature = _prepared(read_limited(path, MAX_ONNX_BYTES), path)
    manifest = Manifest(
        name=called,
        task="tensors",
        signature=signature,
        encode={},
        data={"source": path.name, "trivial": []},
        versions={"handrail": __version__},
    )
    with store.draft() as folder:
        files = {"weights/model.onnx": content, "report.json": to_json({})}
        write_bundle(folder, manifest, files)
        examples = _examples(load(folder))
        write_bundle(folder, manifest, {**files, "examples.json": to_json(examples)})
        load(folder).check()
        store.publish(folder, called)
    return load(called, home=home)


def _prepared(content: bytes, path: Path) -> tuple[bytes, Signature]:
    """The graph with its output called as the runtime reads it, and the signature of its inputs and output."""
    try:
        import onnx
    except ImportError as error:
        problem = "taking an ONNX file needs the package onnx"
        raise HandrailError("environment", problem, 'pip install "handrail[train]"') from error
    try:
        model = onnx.load_model_from_string(content)
        onnx.checker.check_model(model)
    except Exception as error:
        problem = f"this is no valid ONNX: {str(error)[:200]}"
        raise HandrailError("data", problem, "export it again", where=str(path)) from error
    graph = model.graph
    weights = {initial.name for initial in graph.initializer}
    inputs = [(item.name, _size(item, path)) for item in graph.input if item.name not in weights]
    if not inputs or not graph.output:
        raise HandrailError("data", "the graph has no input or no output", "export it again", where=str(path))
    output = graph.output[0]
    size = _size(output, path)
    if output.name != OUTPUT:
        graph.node.append(onnx.helper.make_node("Identity", [output.name], [OUTPUT]))
    renamed = onnx.helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, ["rows", size])
    name = output.name
    del graph.output[:]
    graph.output.append(renamed)
    fields = tuple(Field(name, "vector", size=size) for name, size in inputs)
    return model.SerializeToString(), Signature(fields, Output(name, "vector", size=size))


def _size(item: Any, path: Path) -> int:
    """The numbers in a row of an input or output. Raises HandrailError for what is no float32 (rows, size)."""
    tensor = item.type.tensor_type
    dimensions = [dimension.dim_value for dimension in tensor.shape.dim]
    if tensor.elem_type == 1 and len(dimensions) == 2 and not dimensions[0] and 1 <= dimensions[1] <= MAX_VECTOR:
        return int(dimensions[1])
    shape = ", ".join(str(size or "?") for size in dimensions)
    problem = f"'{item.name}' has the type {tensor.elem_type} and the shape ({shape})"
    mend = "taken are float32 of the shape (rows, size), with any number of rows: export it with a dynamic first axis"
    raise HandrailError("data", problem, mend, where=str(path))


def _examples(model: Model) -> list[dict[str, Any]]:
    """Rows drawn with a fixed seed and what the graph answers to them: what `handrail check` replays."""
    random = np.random.default_rng(0)
    rows = [
        {field.name: random.standard_normal(field.size).round(3).tolist() for field in model.signature.inputs}
        for _ in range(EXAMPLES)
    ]
    return [{"input": row, "answer": answer} for row, answer in zip(rows, model.predict(rows), strict=True)]
