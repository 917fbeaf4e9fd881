"""TensorFlow Serving's REST: rows as "instances" or columns as "inputs"; "predictions" or "outputs" come back.

Source: the REST API page of TensorFlow Serving's documentation.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final

import orjson

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.field import described
from handrail.core.signature import Signature
from handrail.core.values import quoted
from handrail.serve.api import Version
from handrail.serve.formats import json
from handrail.serve.formats.call import Call
from handrail.serve.formats.csv import too_many
from handrail.serve.formats.matrix import takes_matrix
from handrail.serve.formats.tensors import Part, answers_from, cells_of, input_datatype, input_shape, parts_of
from handrail.serve.http import JSON, Request, Response
from handrail.serve.limits import Limits, Refused

NAMES: Final = ("instances", "inputs", "signature_name")
SIGNATURE_NAME: Final = "serving_default"
# That server does not look at the content-type, and its clients do not set one.
KINDS: Final = (JSON, b"", b"application/x-www-form-urlencoded")
TYPES: Final = {"BOOL": "DT_BOOL", "FP32": "DT_FLOAT", "FP64": "DT_DOUBLE", "BYTES": "DT_STRING"}
Json = dict[str, Any]


def call_of(request: Request, version: Version, limits: Limits) -> Call:
    """What a request to :predict asks. Raises HandrailError or Refused that says what is off, and where."""
    kind = request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind not in KINDS:
        raise HandrailError("media_type", f"content-type {kind.decode('latin-1')[:80]} is not read here", "send JSON")
    signature, asked = version.signature, json.parsed(request.body)
    if not isinstance(asked, dict) or ("instances" in asked) == ("inputs" in asked):
        raise _refused('expected an object with either "instances" (rows) or "inputs" (columns)')
    if unknown := next((name for name in asked if name not in NAMES), None):
        raise _refused(
            f"nothing is called {quoted(unknown)} here", did_you_mean(unknown, NAMES).strip() or "leave it out"
        )
    if asked.get("signature_name", SIGNATURE_NAME) not in (SIGNATURE_NAME, ""):
        raise _refused(f"the one signature is '{SIGNATURE_NAME}'", "leave signature_name out")
    by_row = "instances" in asked
    rows = _instances(asked["instances"], signature) if by_row else _columns(asked["inputs"], signature)
    if len(rows) > limits.max_rows:
        raise too_many(limits.max_rows)
    if not rows:
        raise HandrailError("data", "no rows", f"send {signature.sample_text()}")
    write = _predictions if by_row else _outputs
    parts, separator = parts_of(signature.output), signature.output.separator
    return Call(version.check(rows), lambda answers: write(answers, parts, separator))


def status(versions: Sequence[Version]) -> Json:
    """The state of versions, as that server names it."""
    fine = {"error_code": "OK", "error_message": ""}
    states = ["AVAILABLE" if version.pool.is_ready else "LOADING" for version in versions]
    return {
        "model_version_status": [
            {"version": version.number, "state": state, "status": fine}
            for version, state in zip(versions, states, strict=True)
        ]
    }


def metadata(version: Version) -> Json:
    """The signature, as that server tells it."""
    inputs = {
        field.name: _tensor(field.name, input_datatype(field), input_shape(field)) for field in version.signature.inputs
    }
    outputs = {
        part.name: _tensor(part.name, part.datatype, part.shape(-1)) for part in parts_of(version.signature.output)
    }
    named = {"inputs": inputs, "outputs": outputs, "method_name": "tensorflow/serving/predict"}
    return {
        "model_spec": {"name": version.name, "signature_name": "", "version": version.number},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE_NAME: named}}},
    }


def not_examples(name: str) -> HandrailError:
    """The refusal of :classify and :regress, whose rows are TensorFlow's own Example messages."""
    return HandrailError("usage", "examples are not read here, rows are", f"POST /v1/models/{name}:predict")


def _tensor(name: str, datatype: str, shape: Sequence[int]) -> Json:
    dimensions = [{"size": str(size), "name": ""} for size in shape]
    return {"dtype": TYPES[datatype], "tensor_shape": {"dim": dimensions, "unknown_rank": False}, "name": name}


def _instances(rows: object, signature: Signature) -> list[Any]:
    if not isinstance(rows, list):
        raise _refused(f"instances is a list of rows, received {described(rows)}")
    return [_row(row, signature) for row in rows]


def _row(row: object, signature: Signature) -> object:
    """One instance as a row: an object of fields, the cell of a model that has one, or numbers in their order."""
    names = signature.names()
    if isinstance(row, dict) and not _is_packed(row):
        return {name: _cell(name, cell) for name, cell in row.items()}
    if signature.takes_vectors():
        return row
    if isinstance(row, list):
        if len(row) != len(names) or not (takes_matrix(signature) or len(names) == 1):
            raise HandrailError("data", f"expected an object with {listed(names, 6)}, received a list of {len(row)}",
                                f"send {signature.sample_text()}")  # fmt: skip
        return {name: _cell(name, cell) for name, cell in zip(names, row, strict=True)}
    return {names[0]: _cell(names[0], row)} if len(names) == 1 else row


def _columns(inputs: object, signature: Signature) -> list[Any]:
    """Rows of columns: an object of lists; or a list of cells where there is one field, of lists of numbers where all
    are numbers."""
    names = signature.names()
    if isinstance(inputs, list):
        if len(names) == 1 or takes_matrix(signature):
            return _instances(inputs, signature)
        raise _refused(f"inputs is an object with a list for each of {listed(names, 6)}, received a list")
    if not isinstance(inputs, dict) or not all(isinstance(cells, list) for cells in inputs.values()):
        raise _refused("inputs is an object with a list for each field")
    counts = {len(cells) for cells in inputs.values()}
    if len(counts) > 1:
        raise HandrailError("data", "the columns are not equally long", f"send {signature.sample_text()}")
    alone = (lambda cell: cell) if signature.takes_vectors() else _alone
    columns = [[_cell(name, alone(cell)) for cell in cells] for name, cells in inputs.items()]
    return [dict(zip(inputs, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _alone(cell: object) -> object:
    """The cell in a list of one: a column may be sent as (rows, 1)."""
    return cell[0] if isinstance(cell, list) and len(cell) == 1 else cell


def _is_packed(cell: object) -> bool:
    return isinstance(cell, dict) and cell.keys() == {"b64"}


def _cell(name: str, cell: object) -> object:
    """A cell as it stands, or the text that was sent as base64."""
    if not isinstance(cell, dict) or not _is_packed(cell):
        return cell
    packed = cell["b64"]
    try:
        return base64.b64decode(packed, validate=True).decode("utf-8")
    except (TypeError, ValueError, binascii.Error) as error:
        kind = "UTF-8" if isinstance(error, UnicodeDecodeError) else "base64"
        problem = f"field {quoted(name)}: b64 holds no {kind}"
        raise HandrailError("data", problem, "send the text itself, in quotes", field=name[:60]) from None


def _predictions(answers: Sequence[bytes], parts: Sequence[Part], separator: str) -> Response:
    columns = _columns_out(answers, parts, separator)
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return Response(orjson.dumps({"predictions": rows}))


def _outputs(answers: Sequence[bytes], parts: Sequence[Part], separator: str) -> Response:
    return Response(orjson.dumps({"outputs": _columns_out(answers, parts, separator)}))


def _columns_out(answers: Sequence[bytes], parts: Sequence[Part], separator: str) -> dict[str, list[Any]]:
    """Every part of the answers, a cell or a list for each row."""
    found = answers_from(answers)
    columns = {}
    for part in parts:
        cells = cells_of(part, found, separator)
        starts = range(0, len(cells), part.size or 1)
        columns[part.name] = [cells[start : start + part.size] for start in starts] if part.size else cells
    return columns


def _refused(problem: str, mend: str = '{"instances": [{…}]}') -> Refused:
    return Refused(400, HandrailError("usage", problem, mend))
