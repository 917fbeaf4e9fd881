"""JSON Schemas of rows, answers and tensors, drawn from a model's description: what is taken is what they describe."""

from __future__ import annotations

import re
from typing import Any, Final

from handrail.core.values import FALSE_WORDS, TRUE_WORDS

Json = dict[str, Any]
# Numbers may come as texts, as tables and forms have them; longer ones are read, too.
NUMBER_TEXT: Final = r"[+-]?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})([eE][+-]?[0-9])?"
NOT_BLANK: Final = r"\S"
LARGEST_FLOAT32: Final = 3.4028234e38
SPECIAL: Final = re.compile(r"[\\^$.|?*+()\[\]{}/]")
SHARE: Final[Json] = {"type": "number", "minimum": 0, "maximum": 1}
TEXT: Final[Json] = {"type": "string"}
NUMBER: Final[Json] = {"type": "number"}
# What a question finds, best first.
MATCHES: Final[Json] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "text": TEXT, "score": NUMBER, "document": TEXT, "start": {"type": "integer"},
            "metadata": {"type": "object"},
        },
        "required": ["text", "score", "document", "start", "metadata"],
    },
}  # fmt: skip


def row_schema(model: Json) -> Json:
    """One row: an object with a value for each field; more where training saw columns that are not looked at."""
    properties = {field["name"]: field_schema(field) for field in model["inputs"]}
    unread = {"description": "Not looked at"}
    properties |= {name: unread for name in (*model["ignored"], model["output"]["name"]) if name not in properties}
    required = [field["name"] for field in model["inputs"] if not field["optional"]]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def rows_schema(model: Json, row: Json, max_rows: int) -> Json:
    """What a body of JSON may be: a row, a list of rows, or that list in an object. Where there is one field, a row may
    be its bare cell."""
    many: Json = {"type": "array", "items": each_schema(model, row), "minItems": 1, "maxItems": max_rows}
    wrapped: Json = {
        "type": "object", "properties": {"rows": many}, "required": ["rows"], "additionalProperties": False,
        "description": "The same as the list alone",
    }  # fmt: skip
    named_rows = any(field["name"] == "rows" for field in model["inputs"])
    return {"anyOf": [row, *_bare(model["inputs"]), many, *([] if named_rows else [wrapped])]}


def each_schema(model: Json, row: Json) -> Json:
    """One row of several: an object, or the bare cell where there is one field."""
    bare = _bare(model["inputs"])
    return {"anyOf": [row, *bare]} if bare else row


def instance_schema(model: Json, row: Json) -> Json:
    """One row as TensorFlow Serving has it: an object, or its cells in their order where all are numbers or there is
    one."""
    cells = [field_schema(field) for field in model["inputs"]]
    kinds = {field["kind"] for field in model["inputs"]}
    if kinds == {"vector"}:
        return each_schema(model, row)
    ordered = {"type": "array", "prefixItems": cells, "minItems": len(cells), "maxItems": len(cells)}
    if len(cells) == 1:
        return {"anyOf": [row, cells[0], ordered]}
    return {"anyOf": [row, ordered]} if kinds <= {"number", "boolean"} else row


def table_schema(model: Json, header: str) -> Json:
    """A table of plain cells in the order of the fields; others are read, too."""
    cells = ",".join(f"({_PLAIN[field['kind']]}){'?' if field['optional'] else ''}" for field in model["inputs"])
    pattern = rf"^{SPECIAL.sub(_escaped, header)}\n({cells}\n){{1,9}}$"
    return {
        "type": "string", "pattern": pattern,
        "description": "A header with the fields' names, and a line for each row. The pattern is that of plain cells; "
        "quoted ones, and columns in other orders, are read as well.",
    }  # fmt: skip


def form_schema(model: Json) -> Json:
    """A row as a form: a text for each field."""
    properties = {field["name"]: _bare([field])[0] for field in model["inputs"]}
    required = [field["name"] for field in model["inputs"] if not field["optional"]]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def field_schema(field: Json) -> Json:
    """One cell of a field, with what training saw of it."""
    schema = _cell(field)
    if field["optional"]:
        schema = _or_null(schema)
    if seen := _seen(field):
        schema["description"] = seen
    if field["example"] is not None:
        schema["examples"] = [field["example"]]
    return schema


def answer_schema(model: Json) -> Json:
    """One answer; `explanation` is there where it was asked for."""
    properties = _answer_parts(model["output"]) | ({"matches": MATCHES} if "matches" in model else {})
    explanation = {"explanation": _EXPLANATION} if is_explained(model) else {}
    return {"type": "object", "properties": {**properties, **explanation}, "required": list(properties)}


def is_explained(model: Json) -> bool:
    """True where it can be asked what moved an answer."""
    return model["output"]["kind"] not in ("vector", "text")


def tensor_datatypes(field: Json) -> list[str]:
    """The datatypes that a field's tensor is described with; others are read, too."""
    return {"number": ["FP64", "FP32"], "vector": ["FP32", "FP64"], "boolean": ["BOOL"]}.get(field["kind"], ["BYTES"])


def tensor_cell_schema(field: Json) -> Json:
    """One cell of a field's tensor."""
    cell = _cell(field)
    if field["kind"] == "vector":
        return cell["items"]  # type: ignore[no-any-return]
    plain = {"number": NUMBER, "boolean": {"type": "boolean"}}.get(field["kind"]) or {**cell, "type": "string"}
    return _or_null(plain) if field["optional"] else plain


def _cell(field: Json) -> Json:
    kind = field["kind"]
    if kind == "number":
        plain = field["decimal"] == "." and not field["thousands"]
        return {"type": ["number", "string"], **({"pattern": _number_text(field)} if plain else {})}
    if kind == "boolean":
        words = sorted(TRUE_WORDS | FALSE_WORDS) + ([""] if field["optional"] else [])
        return {"type": ["boolean", "string", "number"], "enum": [True, False, *words, 1, 0]}
    if kind == "category":
        return {"type": ["string", "number", "boolean"], **({} if field["optional"] else {"pattern": NOT_BLANK})}
    if kind == "vector":
        number = {"type": "number", "minimum": -LARGEST_FLOAT32, "maximum": LARGEST_FLOAT32}
        return {"type": "array", "items": number, "minItems": field["size"], "maxItems": field["size"]}
    if kind == "date" and field["pattern"] in ("epoch_s", "epoch_ms"):
        return {"type": ["number", "string"], "pattern": _number_text(field)}
    if kind == "date" and field["pattern"] == "iso":
        return {"type": "string", "format": "date"}
    return {"type": "string"}


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found[0]}"


def _number_text(field: Json) -> str:
    return f"^({NUMBER_TEXT}){'?' if field['optional'] else ''}$"


def _or_null(schema: Json) -> Json:
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    enumerated = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [*kinds, "null"], **enumerated}


def _bare(inputs: list[Json]) -> list[Json]:
    """What a row may be beside an object: the cell itself, as a text or a list, where there is one field."""
    if len(inputs) != 1:
        return []
    cell = _cell(inputs[0])
    if cell["type"] == "array":
        return [cell]
    text = {key: value for key, value in cell.items() if key not in ("type", "enum")}
    words = [word for word in cell.get("enum", ()) if isinstance(word, str)]
    return [{"type": "string", **text, **({"enum": words} if words else {})}]


def _seen(field: Json) -> str:
    if field["choices"]:
        return f"Seen in training: {', '.join(field['choices'][:20])[:400]}"
    if field["kind"] == "number" and field["minimum"] is not None and field["maximum"] is not None:
        return f"Seen in training: {field['minimum']:g} to {field['maximum']:g}"
    return f"{field['size']:,} numbers" if field["kind"] == "vector" else ""


def _answer_parts(output: Json) -> Json:
    label: Json = {"type": "string", "enum": output["labels"]}
    shares: Json = {
        "type": "object",
        "properties": dict.fromkeys(output["labels"], SHARE),
        "required": output["labels"],
    }
    if output["kind"] == "vector":
        size = output["size"]
        return {"vector": {"type": "array", "items": NUMBER, "minItems": size, "maxItems": size}}
    if output["kind"] == "text":
        return {"text": TEXT, "finish": {**TEXT, "enum": ["stop", "length"]}, "usage": {"type": "object"}}
    if output["kind"] == "number":
        return {"value": NUMBER, "low": NUMBER, "high": NUMBER}
    if output["kind"] == "labels":
        return {"labels": {"type": "array", "items": label}, "probabilities": shares}
    return {"label": label, "probability": SHARE, "probabilities": shares}


def _moved(properties: Json) -> Json:
    return {"type": "array", "items": {"type": "object", "properties": properties, "required": list(properties)}}


# Cells of a table that need no quotes and are right whatever the model.
_PLAIN: Final = {
    "number": r"[0-9]{1,6}(\.[0-9]{1,4})?",
    "boolean": "true|false|yes|no",
    "date": "20[0-9]{2}-0[1-9]-0[1-9]",
    "category": "[A-Za-z][A-Za-z0-9_]{0,20}",
    "text": "[A-Za-z][A-Za-z0-9_ ]{0,40}",
}
_EXPLANATION: Final[Json] = {
    "type": "object",
    "description": "What moved the answer: the columns of a table, or the words of a text. Asked for with explain=true",
    "properties": {
        "base": NUMBER,
        "contributions": _moved({"name": TEXT, "value": {}, "contribution": NUMBER}),
        "words": _moved({"word": TEXT, "start": NUMBER, "end": NUMBER, "contribution": NUMBER}),
    },
}
