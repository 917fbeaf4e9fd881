"""What was made elsewhere becomes a model here: an ONNX file, or a pretrained base; checked, saved as a version."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from handrail import __version__
from handrail.catalog.decoders import decoder_base
from handrail.catalog.fetch import base
from handrail.core.bundle import Manifest, to_json, write_bundle
from handrail.core.errors import HandrailError
from handrail.core.events import Said, Tell, quiet
from handrail.core.field import MAX_VECTOR, Field
from handrail.core.files import read_limited
from handrail.core.signature import Output, Signature
from handrail.model import Model, load
from handrail.store import Store, check_name
from handrail.training.asked import name_for
from handrail.training.generating import keep_decoder

MAX_ONNX_BYTES: Final = 2**31 - 1
EXAMPLES: Final = 3
TEXTS: Final = ("A cat sits on the mat.", "The parcel never arrived.", "Where is my parcel?")


def import_onnx(path: Path, name: str | None = None, *, home: Path | None = None) -> Model:
    """The graph in a .onnx file as a model that takes vectors and answers with one.

    Each input must be float32 of shape (rows, size), and so must the first output; the others are left out.
    Raises HandrailError ("data", "bundle") that says what a graph has that is not taken.
    """
    graph = _opened(read_limited(path, MAX_ONNX_BYTES), path)
    signature = _signature(graph.graph, path)
    manifest = Manifest(
        name=name_for(path) if name is None else name,
        task="tensors",
        signature=signature,
        encode={},
        data={"source": path.name, "trivial": []},
        versions={"handrail": __version__},
    )
    random = np.random.default_rng(0)
    rows = [
        {field.name: random.standard_normal(field.size).round(3).tolist() for field in signature.inputs}
        for _ in range(EXAMPLES)
    ]
    content = _answering(graph, signature.output.size)
    return _published(manifest, {"weights/model.onnx": content}, rows, home)


def import_base(base_name: str, name: str | None = None, *, home: Path | None = None, tell: Tell = quiet) -> Model:
    """A pretrained base of the catalog as a model that answers texts with vectors of length 1, `(size,)` numbers.

    Raises HandrailError ("not_found", "environment") when there is no such base, or it cannot be fetched.
    """
    found = base(base_name, Store(home).home / "bases", tell)
    graph = _opened(found.graph, Path(base_name))
    manifest = Manifest(
        name=base_name if name is None else name,
        task="embedding",
        signature=Signature(
            (Field("text", "text", example=TEXTS[0]),), Output("vector", "vector", size=found.entry.size)
        ),
        encode={"longest": found.entry.longest},
        base=found.as_dict(),
        data={"source": found.entry.wheel.what, "trivial": []},
        versions={"handrail": __version__},
    )
    # The graph gives the means of several layers side by side; the last layer's is the one that is compared.
    content = _answering(graph, found.entry.size)
    files = {"weights/model.onnx": content, "encode/vocabulary.txt": found.vocabulary}
    return _published(manifest, files, [{"text": text} for text in TEXTS], home)


def import_decoder(
    reference: str, name: str | None = None, *, bits: int = 8, window: int | None = None, template: str | None = None,
    home: Path | None = None, tell: Tell = quiet,
) -> Model:  # fmt: skip
    """A model that writes: "smollm2", a Hugging Face folder, a .gguf file, or a hub's "org/name".

    `bits` are those that each weight keeps: 8, 4, or 32 for as it came; manifest.data["precision"] says what that
    costs. `window` is how many tokens it looks back on, `template` replaces its chat template.
    Raises HandrailError for what is not found or not taken; then nothing was kept.
    """
    found = decoder_base(reference, Store(home).home / "bases", tell)
    tell(Said(f"{found.what}; licence: {found.licence}; {found.size / 1e6:,.0f} MB from {found.source}"))
    if template is not None:
        found = replace(found, chat_template=template)
    return keep_decoder(found, name or _name_of(found.name), bits=bits, window=window, home=home, tell=tell)


def _name_of(name: str) -> str:
    """A model's name made of a file's or a hub's."""
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:64] or "imported"


def _published(manifest: Manifest, files: dict[str, bytes], rows: Sequence[dict[str, Any]], home: Path | None) -> Model:
    """A bundle that has answered its rows, twice alike, as the next version of its name."""
    check_name(manifest.name)
    store = Store(home)
    files = {**files, "report.json": to_json({})}
    with store.draft() as folder:
        write_bundle(folder, manifest, files)
        answers = load(folder).predict(rows)
        examples = [{"input": row, "answer": answer} for row, answer in zip(rows, answers, strict=True)]
        write_bundle(folder, manifest, {**files, "examples.json": to_json(examples)})
        load(folder).check()
        store.publish(folder, manifest.name)
    return load(manifest.name, home=home)


def _opened(content: bytes, path: Path) -> Any:
    try:
        import onnx
    except ImportError as error:
        problem = "taking a graph from elsewhere needs the package onnx"
        raise HandrailError("environment", problem, 'pip install "handrail[train]"') from error
    try:
        graph = onnx.load_model_from_string(content)
        onnx.checker.check_model(graph)
    except Exception as error:
        problem = f"this is no valid ONNX: {str(error)[:200]}"
        raise HandrailError("data", problem, "export it again", where=str(path)) from error
    return graph


def _signature(graph: Any, path: Path) -> Signature:
    weights = {initial.name for initial in graph.initializer}
    inputs = [Field(item.name, "vector", size=_size(item, path)) for item in graph.input if item.name not in weights]
    if not inputs or not graph.output:
        raise HandrailError("data", "the graph has no input or no output", "export it again", where=str(path))
    output = graph.output[0]
    return Signature(tuple(inputs), Output(output.name, "vector", size=_size(output, path)))


def _size(item: Any, path: Path) -> int:
    """The numbers in a row of an input or output. Raises HandrailError for what is no float32 (rows, size)."""
    tensor = item.type.tensor_type
    sizes = [dimension.dim_value for dimension in tensor.shape.dim]
    if tensor.elem_type == 1 and len(sizes) == 2 and not sizes[0] and 1 <= sizes[1] <= MAX_VECTOR:
        return int(sizes[1])
    problem = f"'{item.name}' has the type {tensor.elem_type} and the shape ({', '.join(str(s or '?') for s in sizes)})"
    mend = "taken are float32 of the shape (rows, size), with any number of rows: export it with a dynamic first axis"
    raise HandrailError("data", problem, mend, where=str(path))


def _answering(graph: Any, size: int) -> bytes:
    from handrail.catalog.convert import answering

    return answering(graph.SerializeToString(), 0, size)
