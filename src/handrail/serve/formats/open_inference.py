"""Open Inference Protocol, version 2, over REST: tensors as JSON, or as bytes behind the JSON.

Source: https://github.com/kserve/open-inference-protocol and Triton's binary tensor data extension.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.field import described
from handrail.core.signature import Output
from handrail.core.values import quoted
from handrail.serve.api import Api, Version
from handrail.serve.formats import json
from handrail.serve.formats.call import Call
from handrail.serve.formats.tensors import (
    Part,
    Tensor,
    answers_from,
    cells_of,
    from_bytes,
    from_list,
    input_datatype,
    input_shape,
    parts_of,
    shape_of,
    to_bytes,
    values_of,
)
from handrail.serve.http import JSON, Headers, Request, Response
from handrail.serve.limits import Limits, Refused

PLATFORM: Final = "onnxruntime_onnx"
EXTENSIONS: Final = ("binary_tensor_data", "model_repository")
BINARY: Final = b"application/octet-stream"
HEAD_LENGTH: Final = b"inference-header-content-length"
# Programs that say nothing of their body, and curl -d, are believed to send JSON.
KINDS: Final = (JSON, BINARY, b"", b"application/x-www-form-urlencoded")
NOT_HERE: Final = ("shared_memory_region", "classification")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wish:
    """An output that a client asks for; `binary`: as bytes behind the JSON."""

    part: Part
    binary: bool


def call_of(request: Request, version: Version, limits: Limits) -> Call:
    """What an inference request asks. Raises HandrailError or Refused that says what is off, and where."""
    head, rest = _split(request.body, request.headers)
    asked = json.parsed(head)
    if not isinstance(asked, dict):
        raise _refused(f"expected an object with inputs, received {described(asked)}")
    wishes = wishes_of(_objects(asked, "outputs"), parameters_of(asked), version.signature.output)
    named = asked.get("id")
    if named is not None and not isinstance(named, str):
        raise _refused(f"the id is a text, received {described(named)}")
    tensors = _tensors(_objects(asked, "inputs"), rest, limits.max_rows)
    values = values_of(tensors, version.signature, version.check, limits.max_rows)
    said: Json = {**identity(version), **({} if named is None else {"id": named})}
    separator = version.signature.output.separator
    return Call(values, lambda answers: _written(answers, wishes, said, separator))


def server(version: str) -> Json:
    """What the server says of itself."""
    return {"name": "handrail", "version": version, "extensions": list(EXTENSIONS)}


def index(apis: Iterable[Api]) -> list[Json]:
    """The models that there are, and whether they are ready."""
    return [
        {"name": api.name, "version": version.number, "state": "READY" if version.pool.is_ready else "UNAVAILABLE"}
        for api in apis
        for version in api.versions.values()
    ]


def metadata(api: Api, version: Version) -> Json:
    """A model's tensors. Beside what the protocol asks for: which inputs may be missing, and which labels there are."""
    inputs = [
        {"name": field.name, "datatype": input_datatype(field), "shape": input_shape(field),
         "parameters": {"optional": field.optional, "kind": field.kind}}
        for field in version.signature.inputs
    ]  # fmt: skip
    outputs = [
        {"name": part.name, "datatype": part.datatype, "shape": part.shape(-1), **_labelled(part)}
        for part in parts_of(version.signature.output)
    ]
    numbers = [one.number for one in api.versions.values() if one.model.version is not None]
    return {"name": api.name, "versions": numbers, "platform": PLATFORM, "inputs": inputs, "outputs": outputs}


def identity(version: Version) -> Json:
    """The model's name, and its version where it has one."""
    number = {} if version.model.version is None else {"model_version": version.number}
    return {"model_name": version.name, **number}


def wishes_of(outputs: Sequence[Json], parameters: Mapping[str, Any], output: Output) -> list[Wish]:
    """The outputs asked for, all of them where none is named. Raises HandrailError for one that there is not."""
    every = bool(parameters.get("binary_data_output", False))
    parts = {part.name: part for part in parts_of(output)}
    if not outputs:
        return [Wish(part, every) for part in parts.values()]
    wishes: dict[str, Wish] = {}
    for wanted in outputs:
        name = wanted.get("name")
        if not isinstance(name, str) or name not in parts:
            mend = did_you_mean(str(name), parts).strip() or f"there are {listed(parts)}"
            raise HandrailError("usage", f"no output is called {quoted(str(name))}", mend)
        own = parameters_of(wanted)
        wishes[name] = Wish(parts[name], bool(own.get("binary_data", every)))
    return list(wishes.values())


def _split(body: bytes, headers: Headers) -> tuple[bytes, bytes]:
    """The JSON, and the bytes behind it."""
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind not in KINDS:
        shown = kind.decode("latin-1")[:80]
        raise HandrailError("media_type", f"content-type {shown} is not read here", "application/json")
    length = headers.get(HEAD_LENGTH)
    if length is None:
        return body, b""
    if not length.isdigit() or len(length) > 9 or int(length) > len(body):
        raise _refused("inference-header-content-length is not the length of the JSON in front")
    return body[: int(length)], body[int(length) :]


def _objects(asked: Json, name: str) -> list[Json]:
    found = asked.get(name, [])
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise _refused(f"{name} is a list of objects")
    return found


def parameters_of(of: Json) -> Mapping[str, Any]:
    found = of.get("parameters")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _refused(f"parameters is an object, received {described(found)}")
    for name in NOT_HERE:
        if found.get(name):
            raise _refused(f"{name} is not there", "send tensors in the request, and read them from the answer")
    return found


def _tensors(inputs: Sequence[Json], rest: bytes, max_rows: int) -> list[Tensor]:
    """The tensors: each from its data, or from as many bytes of the rest as it says."""
    tensors = []
    start = 0
    for item in inputs:
        name, datatype, shape = item.get("name"), item.get("datatype"), item.get("shape")
        if not isinstance(name, str) or not isinstance(datatype, str) or not isinstance(shape, list):
            raise _refused("an input has a name, a datatype and a shape")
        sizes = shape_of(name, shape, max_rows)
        size = parameters_of(item).get("binary_data_size")
        if size is None:
            tensors.append(from_list(name, datatype, sizes, item.get("data")))
            continue
        if type(size) is not int or not 0 <= size <= len(rest) - start:
            raise _refused(f"the tensor {quoted(name)} has fewer bytes than its binary_data_size says")
        tensors.append(from_bytes(name, datatype, sizes, rest[start : start + size]))
        start += size
    if start != len(rest):
        raise _refused(f"{len(rest) - start:,} bytes behind the JSON belong to no tensor")
    return tensors


def _written(answers: Sequence[bytes], wishes: Sequence[Wish], said: Json, separator: str) -> Response:
    found = answers_from(answers)
    outputs: list[Json] = []
    contents: list[bytes] = []
    for wish in wishes:
        part = wish.part
        cells = cells_of(part, found, separator)
        tensor: Json = {
            "name": part.name,
            "datatype": part.datatype,
            "shape": part.shape(len(found)),
            **_labelled(part),
        }
        if wish.binary:
            contents.append(to_bytes(part.datatype, cells))
            tensor["parameters"] = {**tensor.get("parameters", {}), "binary_data_size": len(contents[-1])}
        else:
            tensor["data"] = cells
        outputs.append(tensor)
    head = orjson.dumps({**said, "outputs": outputs})
    if not contents:
        return Response(head)
    return Response(b"".join([head, *contents]), BINARY, headers=((HEAD_LENGTH, b"%d" % len(head)),))


def _labelled(part: Part) -> Json:
    """Which label each column of a tensor belongs to: a JSON text, since a parameter is no list."""
    return {"parameters": {"labels": labels_text(part)}} if part.labels else {}


def labels_text(part: Part) -> str:
    """The labels of a tensor's columns as a JSON list."""
    return orjson.dumps(part.labels).decode()


def _refused(
    problem: str, mend: str = '{"inputs": [{"name": …, "datatype": …, "shape": [1], "data": […]}]}'
) -> Refused:
    return Refused(400, HandrailError("usage", problem, mend))
