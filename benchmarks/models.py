"""Models to serve: made by hand for speed alone, or trained on texts; with rows to ask, and the same weights for others."""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

import handrail
from handrail.core.bundle import Manifest, to_json, write_bundle
from handrail.core.field import Field
from handrail.core.signature import Output, Signature
from handrail.data.read import read_table
from handrail.training.importing import import_onnx

TEXTS = Path(__file__).resolve().parent.parent / "examples" / "sms_spam.csv"
LEARNT, ASKED = 1_000, 200


@dataclass(frozen=True)
class Made:
    """A bundle, rows that its clients ask in turn, and for servers that know no fields the numbers of the first, with
    the scores that they get."""

    bundle: Path
    rows: list[dict[str, object]]
    numbers: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()

    @property
    def bodies(self) -> list[bytes]:
        return [json.dumps(row).encode() for row in self.rows]


@dataclass(frozen=True)
class Sizes:
    """A model: inputs, and the widths of its hidden layers; `vector`: its inputs are one vector, not a field each."""

    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    vector: bool = False


SIZES = {"tiny": Sizes(4, (), 3), "enc": Sizes(768, (2048,) * 5, 8, vector=True)}
MODELS = (*SIZES, "minilm")


def made(folder: Path, model: str, bases: Path | None) -> Made:
    """The model in `folder`; with it, where others can run it, its weights as model.onnx."""
    return classifier(folder, bases) if model == "minilm" else layers(folder, SIZES[model])


def classifier(folder: Path, bases: Path | None) -> Made:
    """A head on frozen MiniLM, learnt from some texts; it is asked about others. `bases`: where MiniLM is kept."""
    os.environ["HANDRAIL_HOME"] = str(folder)
    if bases is not None:
        (folder / "bases").symlink_to(bases.resolve())
    lines = TEXTS.read_text(encoding="utf-8").splitlines(keepends=True)
    few = folder / "few.csv"
    few.write_text("".join(lines[: LEARNT + 1]), encoding="utf-8")
    model = handrail.train(few, name="m", trials=2)
    if model.manifest.base is None:
        raise SystemExit("the classifier does without MiniLM: give --bases, a folder in which it is kept")
    asked = folder / "asked.csv"
    asked.write_text(lines[0] + "".join(lines[LEARNT + 1 : LEARNT + 1 + ASKED]), encoding="utf-8")
    (name,) = (field.name for field in model.signature.inputs)
    table = read_table(asked)
    return Made(model.bundle.path, [{name: text} for text in table.columns[name]])


def layers(folder: Path, sizes: Sizes) -> Made:
    """Dense layers with weights at random."""
    name = "m"
    random = np.random.default_rng(7)
    widths = [sizes.inputs, *sizes.hidden, sizes.outputs]
    nodes, constants, value = [], [], "x"
    for place, (before, after) in enumerate(itertools.pairwise(widths)):
        weights = (random.standard_normal((before, after)) / before**0.5).astype(np.float32)
        constants.append(numpy_helper.from_array(weights, f"w{place}"))
        nodes.append(helper.make_node("MatMul", [value, f"w{place}"], [f"h{place}"]))
        value = f"h{place}"
        if place + 2 < len(widths):
            nodes.append(helper.make_node("Tanh", [value], [f"t{place}"]))
            value = f"t{place}"
    for output in ("scores", "y"):
        last = [helper.make_node("Softmax", [value], [output], axis=1)]
        ins = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", sizes.inputs])]
        outs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["rows", sizes.outputs])]
        graph = helper.make_graph([*nodes, *last], "m", ins, outs, constants)
        made_model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        if output == "y":
            onnx.save(made_model, folder / "model.onnx")
        else:
            weights_file = made_model.SerializeToString()
    numbers = tuple(round(float(amount), 4) for amount in random.standard_normal(sizes.inputs))
    session = InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    scores = tuple(session.run(None, {"x": np.array([numbers], np.float32)})[0][0].tolist())
    if sizes.vector:
        model = import_onnx(folder / "model.onnx", name, home=folder / "home")
        return Made(model.bundle.path, [{"x": list(numbers)}], numbers, scores)
    row = {f"x{place}": number for place, number in enumerate(numbers)}
    bundled(folder / name, name, row, sizes.outputs, weights_file)
    return Made(folder / name, [dict(row)], numbers, scores)


def bundled(folder: Path, name: str, row: dict[str, float], outputs: int, weights_file: bytes) -> None:
    columns = [
        {"name": field, "kind": "number", "start": place, "width": 1, "words": [], "statistics": False}
        for place, field in enumerate(row)
    ]
    signature = Signature(
        tuple(Field(field, "number", example=amount) for field, amount in row.items()),
        Output("label", "label", tuple(f"label {number}" for number in range(outputs))),
    )
    manifest = Manifest(
        name=name,
        task="tabular-classification",
        signature=signature,
        encode={"columns": columns, "interval": [0.0, 0.0], "lowest": 0.0},
    )
    files = {"weights/model.onnx": weights_file, "report.json": to_json({}), "report.html": b"<!doctype html>"}
    write_bundle(folder, manifest, files)
    examples = [{"input": row, "answer": handrail.load(folder)(row)}]
    write_bundle(folder, manifest, {**files, "examples.json": to_json(examples)})
