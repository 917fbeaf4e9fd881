"""Open Inference Protocol over gRPC: its messages, described from their published numbers, read and written as bytes.

Source: open_inference_grpc.proto of https://github.com/kserve/open-inference-protocol, and Triton's repository index.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from handrail.core.errors import HandrailError
from handrail.core.values import quoted
from handrail.serve.api import Api, Version
from handrail.serve.formats import open_inference
from handrail.serve.formats.call import Call
from handrail.serve.formats.open_inference import Wish, labels_text, parameters_of, wishes_of
from handrail.serve.formats.tensors import (
    NUMBERS,
    TEXTS,
    Tensor,
    answers_from,
    cells_of,
    decoded_texts,
    from_bytes,
    shape_of,
    to_bytes,
    values_of,
)
from handrail.serve.http import Response
from handrail.serve.limits import Limits

PACKAGE: Final = "inference"
SERVICE: Final = f"{PACKAGE}.GRPCInferenceService"
# Message → its fields: number, name, and type; * repeats, @ is a map from texts. A field "name|choice" is in a choice.
MESSAGES: Final = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "1 live bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "1 ready bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "1 name string, 2 version string, 3 extensions *string",
    "ModelReadyRequest": "1 name string, 2 version string",
    "ModelReadyResponse": "1 ready bool",
    "ModelMetadataRequest": "1 name string, 2 version string",
    "TensorMetadata": "1 name string, 2 datatype string, 3 shape *int64",
    "ModelMetadataResponse": "1 name string, 2 versions *string, 3 platform string, 4 inputs *TensorMetadata, "
    "5 outputs *TensorMetadata",
    "InferParameter": "1 bool_param|parameter_choice bool, 2 int64_param|parameter_choice int64, "
    "3 string_param|parameter_choice string, 4 double_param|parameter_choice double, "
    "5 uint64_param|parameter_choice uint64",
    "InferTensorContents": "1 bool_contents *bool, 2 int_contents *int32, 3 int64_contents *int64, "
    "4 uint_contents *uint32, 5 uint64_contents *uint64, 6 fp32_contents *float, 7 fp64_contents *double, "
    "8 bytes_contents *bytes",
    "InferInputTensor": "1 name string, 2 datatype string, 3 shape *int64, 4 parameters @InferParameter, "
    "5 contents InferTensorContents",
    "InferRequestedOutputTensor": "1 name string, 2 parameters @InferParameter",
    "ModelInferRequest": "1 model_name string, 2 model_version string, 3 id string, 4 parameters @InferParameter, "
    "5 inputs *InferInputTensor, 6 outputs *InferRequestedOutputTensor, 7 raw_input_contents *bytes",
    "InferOutputTensor": "1 name string, 2 datatype string, 3 shape *int64, 4 parameters @InferParameter, "
    "5 contents InferTensorContents",
    "ModelInferResponse": "1 model_name string, 2 model_version string, 3 id string, 4 parameters @InferParameter, "
    "5 outputs *InferOutputTensor, 6 raw_output_contents *bytes",
    "RepositoryIndexRequest": "1 repository_name string, 2 ready bool",
    "ModelIndex": "1 name string, 2 version string, 3 state string, 4 reason string",
    "RepositoryIndexResponse": "1 models *ModelIndex",
}
CONTENTS: Final = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", TEXTS: "bytes_contents",
}  # fmt: skip
Message = Any
Field = descriptor_pb2.FieldDescriptorProto


@cache
def message_class(name: str) -> Callable[..., Message]:
    """The class of a message, in a pool of its own: a program may hold another description of the same protocol."""
    found: Callable[..., Message] = message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{PACKAGE}.{name}"))
    return found


def parsed(name: str, content: bytes) -> Message:
    """A message from its bytes. Raises HandrailError for bytes that are none."""
    try:
        return message_class(name).FromString(content)  # type: ignore[attr-defined]
    except DecodeError:
        raise HandrailError("usage", f"the body is no {name}", "use a client of the Open Inference Protocol") from None


def call_of(asked: Message, version: Version, limits: Limits) -> Call:
    """What an inference request asks. Raises HandrailError or Refused that says what is off, and where."""
    outputs = [{"name": output.name, "parameters": _plain(output.parameters)} for output in asked.outputs]
    wishes = wishes_of(outputs, _plain(asked.parameters), version.signature.output)
    tensors = _tensors(asked, limits.max_rows)
    values = values_of(tensors, version.signature, version.check, limits.max_rows)
    said = {**open_inference.identity(version), "id": asked.id}
    separator = version.signature.output.separator
    return Call(values, lambda answers: _written(answers, wishes, said, separator))


def metadata(api: Api, version: Version) -> Message:
    """A model's tensors."""
    said = open_inference.metadata(api, version)
    tensors = {
        side: [{key: one[key] for key in ("name", "datatype", "shape")} for one in said[side]]
        for side in ("inputs", "outputs")
    }
    return message_class("ModelMetadataResponse")(**{**said, **tensors})


def _tensors(asked: Message, max_rows: int) -> list[Tensor]:
    raw = asked.raw_input_contents
    if raw and (len(raw) != len(asked.inputs) or any(tensor.HasField("contents") for tensor in asked.inputs)):
        problem = f"{len(asked.inputs):,} inputs, and raw contents for {len(raw):,}"
        raise HandrailError("usage", problem, "send raw contents for all inputs, or typed contents")
    tensors = []
    for place, tensor in enumerate(asked.inputs):
        parameters_of({"parameters": _plain(tensor.parameters)})
        name, datatype, shape = tensor.name, tensor.datatype, shape_of(tensor.name, tensor.shape, max_rows)
        tensors.append(from_bytes(name, datatype, shape, raw[place]) if raw else _typed(tensor, shape))
    return tensors


def _typed(tensor: Message, shape: tuple[int, ...]) -> Tensor:
    name, datatype, contents = tensor.name, tensor.datatype, tensor.contents
    if datatype not in CONTENTS:
        raise HandrailError("data", f"tensor {quoted(name)}: no typed contents of {quoted(datatype)}", "send it raw")
    cells = getattr(contents, CONTENTS[datatype])
    if len(cells) != math.prod(shape):
        problem = f"tensor {quoted(name)}: {list(shape)} are {math.prod(shape):,} cells, received {len(cells):,}"
        raise HandrailError("data", problem, f"fill {CONTENTS[datatype]}", field=name[:60])
    if datatype == TEXTS:
        return Tensor(name, shape, decoded_texts(name, cells))
    try:
        return Tensor(name, shape, np.array(cells, NUMBERS[datatype]))
    except OverflowError:
        problem = f"tensor {quoted(name)}: a number is too large for {datatype}"
        raise HandrailError("data", problem, "send smaller ones, or INT64", field=name[:60]) from None


def _plain(parameters: Any) -> dict[str, Any]:
    """Parameters as values: what JSON would say."""
    return {
        name: getattr(value, chosen)
        for name, value in parameters.items()
        if (chosen := value.WhichOneof("parameter_choice"))
    }


def _written(answers: Sequence[bytes], wishes: Sequence[Wish], said: dict[str, Any], separator: str) -> Response:
    found = answers_from(answers)
    response = message_class("ModelInferResponse")(**said)
    for part in (wish.part for wish in wishes):
        tensor = response.outputs.add(name=part.name, datatype=part.datatype, shape=part.shape(len(found)))
        if part.labels:
            tensor.parameters["labels"].string_param = labels_text(part)
        response.raw_output_contents.append(to_bytes(part.datatype, cells_of(part, found, separator)))
    return Response(response.SerializeToString(), b"application/grpc")


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="handrail/open_inference.proto", package=PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in filter(None, fields.split(", ")):
            _describe(message, *field.split(" "))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _describe(message: Message, number: str, name: str, kind: str) -> None:
    name, _, choice = name.partition("|")
    field = message.field.add(name=name, number=int(number), label=Field.LABEL_OPTIONAL)
    if choice:
        field.oneof_index = 0
        if not message.oneof_decl:
            message.oneof_decl.add(name=choice)
    if kind[0] in "*@":
        field.label = Field.LABEL_REPEATED
    if kind[0] == "@":
        kind = _entry(message, name, kind[1:])
    _set_type(field, kind.lstrip("*"))


def _entry(message: Message, name: str, kind: str) -> str:
    """The message that a map repeats: a key and a value."""
    entry = message.nested_type.add(name=f"{name.title()}Entry")
    entry.options.map_entry = True
    _describe(entry, "1", "key", "string")
    _describe(entry, "2", "value", kind)
    return f"{message.name}.{entry.name}"


def _set_type(field: Message, kind: str) -> None:
    if kind[0].isupper():
        field.type, field.type_name = Field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    else:
        field.type = getattr(Field, f"TYPE_{kind.upper()}")
