"""The routes of others' protocols in the OpenAPI document: Open Inference, TensorFlow Serving, OpenAI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from handrail.core.signature import Signature
from handrail.serve.formats.openai import ENCODINGS
from handrail.serve.formats.tensorflow_serving import SIGNATURE_NAME
from handrail.serve.formats.tensors import TEXTS, Part, parts_of
from handrail.serve.openapi_parts import (
    BYTES,
    NAMING,
    PREDICTING,
    TEXT,
    body_of,
    json_of,
    list_of,
    object_of,
    operation_of,
    ready_or_not,
)
from handrail.serve.schemas import instance_schema, row_schema, tensor_cell_schema, tensor_datatypes

Json = dict[str, Any]
NUMBER: Final[Json] = {"type": "number"}
BOOLEAN: Final[Json] = {"type": "boolean"}
ANY: Final[Json] = {"type": "object"}
PARAMETERS: Final[Json] = {"type": ["object", "null"]}
SHAPE: Final[Json] = list_of({"type": "integer", "minimum": 0}, minItems=1, maxItems=2)
VERSION: Final[Json] = {"name": "version", "in": "path", "required": True, "schema": TEXT}


def open_inference_paths(model: Json, signature: Signature) -> Json:
    """/v2/models/NAME and what is under it."""
    name, base = model["name"], f"/v2/models/{model['name']}"
    ready = object_of(name=TEXT, ready=BOOLEAN)
    metadata = object_of(
        name=TEXT, versions=list_of(TEXT), platform=TEXT, inputs=list_of(_METADATA), outputs=list_of(_METADATA)
    )
    asked = _inference(model, signature)
    infer = operation_of(
        "Open Inference: tensors give tensors", name, {**json_of(_INFERRED), "application/octet-stream": BYTES},
        statuses=PREDICTING, requestBody=body_of({**json_of(asked), "application/octet-stream": {"schema": asked}}),
        description="A tensor for each field, of the shape [rows]; the schema describes one row. Where all are "
        "numbers, one tensor called x may hold them side by side. Missing is NaN, null or an empty text. Bytes may "
        "follow the JSON: Inference-Header-Content-Length says where they begin.",
    )  # fmt: skip
    return _with_versions(model, base, {
        "": {"get": operation_of("Open Inference: the model's tensors", name, json_of(metadata), statuses=NAMING)},
        "/ready": {"get": ready_or_not(
            operation_of("Open Inference: the model is ready", name, json_of(ready), statuses=NAMING), ready)},
        "/infer": {"post": infer},
    })  # fmt: skip


def tensorflow_serving_paths(model: Json, signature: Signature, row: Json) -> Json:
    """/v1/models/NAME and what is under it."""
    name, base = model["name"], f"/v1/models/{model['name']}"
    state = object_of(version=TEXT, state=TEXT, status=ANY)
    status = object_of(model_version_status=list_of(state))
    metadata = object_of(model_spec=ANY, metadata=ANY)
    by_row = {part.name: _cell_of(part) for part in parts_of(signature.output)}
    by_column = {part.name: list_of(_cell_of(part)) for part in parts_of(signature.output)}
    answered = {
        "anyOf": [object_of(predictions=list_of(object_of(**by_row))), object_of(outputs=object_of(**by_column))]
    }
    predict = operation_of(
        "TensorFlow Serving: rows or columns", name, json_of(answered), statuses=PREDICTING,
        requestBody=body_of(json_of(_prediction(model, signature, row))),
        description='The schema describes columns of one row. Texts may be sent as {"b64": "…"}. '
        ":classify and :regress are refused.",
    )  # fmt: skip
    return _with_versions(model, base, {
        "": {"get": operation_of("TensorFlow Serving: the versions", name, json_of(status), statuses=NAMING)},
        "/metadata": {"get": operation_of("TensorFlow Serving: signature", name, json_of(metadata), statuses=NAMING)},
        ":predict": {"post": predict},
    })  # fmt: skip


def openai_paths(names: Sequence[str]) -> Json:
    """/v1/models, and /v1/embeddings where models give some."""
    model = object_of(id=TEXT, object=TEXT, created={"type": "integer"}, owned_by=TEXT)
    served = json_of(object_of(data=list_of(model)))
    models = operation_of("OpenAI: models that give embeddings or write text", "server", served)
    paths: Json = {"/v1/models": {"get": models}}
    if names:
        vector = object_of(object=TEXT, index={"type": "integer"}, embedding={"type": ["array", "string"]})
        answer = object_of(object=TEXT, data=list_of(vector), model=TEXT, usage=ANY)
        asked = object_of(
            model={**TEXT, "enum": list(names)},
            input={"anyOf": [TEXT, list_of(TEXT, minItems=1, maxItems=10_000)]},
        )
        asked["properties"]["encoding_format"] = {**TEXT, "enum": list(ENCODINGS)}
        embed = operation_of(
            "OpenAI: vectors for texts",
            "server",
            json_of(answer),
            statuses=PREDICTING,
            requestBody=body_of(json_of(asked)),
        )
        paths["/v1/embeddings"] = {"post": embed}
    return paths


def open_inference_server() -> Json:
    """/v2 but for the models."""
    live, ready = object_of(live=BOOLEAN), object_of(ready=BOOLEAN)
    said = object_of(name=TEXT, version=TEXT, extensions=list_of(TEXT))
    index = list_of(object_of(name=TEXT, version=TEXT, state=TEXT))
    return {
        "/v2": {"get": operation_of("Open Inference: the server", "server", json_of(said))},
        "/v2/health/live": {"get": operation_of("Open Inference: it is there", "health", json_of(live))},
        "/v2/health/ready": {
            "get": ready_or_not(operation_of("Open Inference: all is ready", "health", json_of(ready)), ready)
        },
        "/v2/repository/index": {"post": operation_of("Open Inference: the models", "server", json_of(index))},
    }


def _with_versions(model: Json, base: str, items: Json) -> Json:
    """The paths of a model, and the same for a version of it, where versions have numbers."""
    paths: Json = {base + rest: item for rest, item in items.items()}
    if model["version"] is not None:
        for rest, item in items.items():
            named = {verb: {**operation, "parameters": [VERSION]} for verb, operation in item.items()}
            paths[f"{base}/versions/{{version}}{rest}"] = named
    return paths


def _inference(model: Json, signature: Signature) -> Json:
    """A request of one row, a tensor for each field. JSON Schema cannot say that data is as long as its shape says."""
    tensors = [_tensor_of(field) for field in model["inputs"]]
    named = object_of(name={**TEXT, "enum": [part.name for part in parts_of(signature.output)]})
    named["properties"]["parameters"] = PARAMETERS
    inputs = {"type": "array", "prefixItems": tensors, "minItems": len(tensors), "maxItems": len(tensors)}
    asked = object_of(inputs=inputs)
    asked["properties"] |= {"id": {"type": ["string", "null"]}, "parameters": PARAMETERS, "outputs": list_of(named)}
    return asked


def _tensor_of(field: Json) -> Json:
    """The tensor of a field, for one row."""
    size = field["size"] or 1
    return object_of(
        name={"const": field["name"]},
        datatype={"enum": tensor_datatypes(field)},
        shape={"const": [1, size] if field["kind"] == "vector" else [1]},
        data=list_of(tensor_cell_schema(field), minItems=size, maxItems=size),
    )


def _prediction(model: Json, signature: Signature, row: Json) -> Json:
    """Rows, or the columns of one row. JSON Schema cannot say that columns are equally long."""
    named: Json = {"signature_name": {**TEXT, "enum": [SIGNATURE_NAME, ""]}}
    cells = row_schema(model)
    columns = {
        **cells,
        "properties": {name: list_of(cell, minItems=1, maxItems=1) for name, cell in cells["properties"].items()},
    }
    ways = (
        object_of(instances=list_of(instance_schema(model, row), minItems=1, maxItems=10_000)),
        object_of(inputs=columns),
    )
    for way in ways:
        way["properties"] |= named
        way["additionalProperties"] = False
    return {"anyOf": list(ways)}


def _cell_of(part: Part) -> Json:
    cell = TEXT if part.datatype == TEXTS else NUMBER
    return list_of(cell) if part.size else cell


_METADATA: Final[Json] = object_of(name=TEXT, datatype=TEXT, shape=list_of({"type": "integer"}))
_TENSOR: Final[Json] = object_of(name=TEXT, datatype=TEXT, shape=SHAPE)
_INFERRED: Final[Json] = object_of(model_name=TEXT, outputs=list_of(_TENSOR))
