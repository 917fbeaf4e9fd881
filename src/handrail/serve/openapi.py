"""OpenAPI 3.1, drawn from the signatures of the models served."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]
ERRORS = {
    "400": "Not JSON, or an option is off",
    "404": "No such version",
    "413": "Larger than a limit",
    "415": "A kind of body that is not read",
    "422": "The rows are off; the message names row and field",
    "503": "Too much is waiting; try again after Retry-After",
    "504": "It took longer than allowed",
}


def openapi(models: Sequence[Json]) -> Json:
    """The document for models as `Api.description` tells of them."""
    paths: Json = {}
    for model in models:
        paths[f"/{model['name']}/predict"] = {"post": _predict(model)}
        paths[f"/{model['name']}"] = {"get": _plain("What goes in, what comes out, and examples", model["name"])}
    paths["/healthz"] = {"get": _plain("The gateway is there", "service")}
    ready = _plain("Every replica has answered its examples right", "service")
    ready["responses"]["503"] = {"description": "Not yet"}
    paths["/readyz"] = {"get": ready}
    paths["/metrics"] = {"get": _plain("Counts as Prometheus text", "service")}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Handrail", "version": importlib.metadata.version("handrail")},
        "paths": paths,
        "components": {"schemas": {"Error": _ERROR}},
    }


def row_schema(model: Json) -> Json:
    """The JSON Schema of one row."""
    properties = {field["name"]: _field(field) for field in model["inputs"]}
    required = [field["name"] for field in model["inputs"] if not field["optional"]]
    row: Json = {"type": "object", "properties": properties, "required": required}
    if len(model["inputs"]) == 1 and model["inputs"][0]["kind"] == "text":
        return {"oneOf": [row, {"type": "string"}]}
    return row


def answer_schema(model: Json) -> Json:
    """The JSON Schema of one answer."""
    output = model["output"]
    share = {"type": "number", "minimum": 0, "maximum": 1}
    shares = {"type": "object", "additionalProperties": share}
    if output["kind"] == "vector":
        return {"type": "object", "properties": {"vector": _vector(output["size"])}}
    if output["kind"] == "number":
        properties: Json = {"value": {"type": "number"}, "low": {"type": "number"}, "high": {"type": "number"}}
    elif output["kind"] == "labels":
        chosen = {"type": "array", "items": {"type": "string", "enum": output["labels"]}}
        properties = {"labels": chosen, "probabilities": shares}
    else:
        label = {"type": "string", "enum": output["labels"]}
        properties = {"label": label, "probability": share, "probabilities": shares}
    return {"type": "object", "properties": properties}


def _predict(model: Json) -> Json:
    row, answer = row_schema(model), answer_schema(model)
    examples = {f"example {number}": {"value": item["input"]} for number, item in enumerate(model["examples"][:3], 1)}
    body = {"schema": {"oneOf": [row, {"type": "array", "items": row}]}, "examples": examples}
    answers = {"application/json": {"schema": {"oneOf": [answer, {"type": "array", "items": answer}]}}}
    contents: Json = {"application/json": body, "text/csv": {"schema": {"type": "string"}}}
    if "oneOf" in row:
        contents["text/plain"] = {"schema": {"type": "string"}}
    return {
        "summary": f"Predicts {model['output']['name']}: one row gives one answer, a list gives a list",
        "operationId": f"predict_{model['name']}",
        "tags": [model["name"]],
        "parameters": [_option("explain", "boolean", "Also say how each input moved the answer (one row)"),
                       _option("version", "integer", "Refuse unless this version is served")],
        "requestBody": {"required": True, "content": contents},
        "responses": {"200": {"description": "The answers, in the order of the rows", "content": answers}, **_errors()},
    }  # fmt: skip


def _field(field: Json) -> Json:
    if field["kind"] == "vector":
        return _vector(field["size"])
    kinds = {"number": "number", "boolean": "boolean", "date": "string", "category": "string", "text": "string"}
    kind: Any = kinds[field["kind"]]
    schema: Json = {"type": [kind, "null"] if field["optional"] else kind}
    if field["choices"]:
        schema["description"] = f"Seen in training: {', '.join(field['choices'][:20])[:400]}"
    elif field["kind"] == "number" and field["minimum"] is not None and field["maximum"] is not None:
        schema["description"] = f"Seen in training: {field['minimum']:g} to {field['maximum']:g}"
    if field["example"] is not None:
        schema["examples"] = [field["example"]]
    return schema


def _vector(size: int) -> Json:
    return {"type": "array", "items": {"type": "number"}, "minItems": size, "maxItems": size}


def _option(name: str, kind: str, meaning: str) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": {"type": kind}, "description": meaning}


def _plain(summary: str, tag: str) -> Json:
    return {"summary": summary, "tags": [tag], "responses": {"200": {"description": "Yes"}}}


def _errors() -> Json:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {status: {"description": meaning, "content": content} for status, meaning in ERRORS.items()}


_TEXT: Json = {"type": "string"}
_ERROR: Json = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "hint"],
            "properties": dict.fromkeys(("code", "message", "hint", "where", "field", "request_id"), _TEXT),
        }
    },
}
