"""Our own format: rows as JSON, text, CSV, a form or an array; one answer, or a list of them, as JSON or CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.jsons import is_deeper
from handrail.core.signature import Signature
from handrail.serve.formats import csv, json, multipart, npy
from handrail.serve.formats.call import Call, Values, Write
from handrail.serve.formats.matrix import takes_matrix
from handrail.serve.formats.rows import Check
from handrail.serve.http import JSON, Headers, Response
from handrail.serve.limits import MAX_JSON_DEPTH, Limits, Refused

OPTIONS: Final = ("version", "explain")
TRUE, FALSE = ("true", "1"), ("false", "0")
Table = Callable[[bytes, Signature, int], list[Values]]


def call_of(
    body: bytes, headers: Headers, options: dict[str, str], signature: Signature, check: Check, limits: Limits
) -> Call:
    """What a request asks. Raises HandrailError or Refused that says what is off, and where."""
    explains = bool(options) and _wants_explanation(options)
    given = headers.get(b"content-type", b"")
    kind = JSON if given == JSON else _kind(given)
    if kind == JSON:
        rows, many = json.rows_of(body, signature)
    elif kind == b"multipart/form-data" and takes_words(signature):
        rows, many = [multipart.row_of(body, given)], False
    elif kind == b"text/plain" and takes_text(signature):
        rows, many = [_text(body)], False
    elif (table := _table(kind, body, signature)) is not None:
        if explains:
            raise HandrailError("media_type", f"explain answers no {kind.decode()}", "send one row as JSON")
        return _call(table(body, signature, limits.max_rows), None, signature, _write(headers, signature, many=True))
    else:
        raise _unread(given, signature)
    if len(rows) > limits.max_rows:
        raise csv.too_many(limits.max_rows)
    values = _checked(rows, signature, check)
    if explains:
        return _call(values, rows, signature, _explained_list if many else _explained)
    return _call(values, None, signature, _write(headers, signature, many=many))


def options_of(query: bytes) -> dict[str, str]:
    """The options behind the question mark. Raises HandrailError for one that is none."""
    try:
        options = dict(parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=10))
    except ValueError:
        raise HandrailError("usage", "the query is off", f"options are {listed(OPTIONS)}") from None
    for option in options:
        if option not in OPTIONS:
            mend = did_you_mean(option, OPTIONS).strip() or f"options are {listed(OPTIONS)}"
            raise HandrailError("usage", f"no option is called '{option[:60]}'", mend)
    return options


def takes_text(signature: Signature) -> bool:
    """True where a bare text is a row."""
    return len(signature.inputs) == 1 and signature.inputs[0].kind == "text"


def takes_words(signature: Signature) -> bool:
    """True where a row can be written as one text for each field, as tables and forms do."""
    return not signature.takes_vectors()


def kinds_read(signature: Signature) -> list[str]:
    """The kinds of body that are read for a model."""
    words = ["text/csv", "multipart/form-data"] if takes_words(signature) else []
    text = ["text/plain"] if takes_text(signature) else []
    array = ["application/x-npy"] if takes_matrix(signature) else []
    return ["application/json", *words, *text, *array]


def prefers_csv(accept: bytes) -> bool:
    """True where a client names text/csv and nothing that JSON would suit as well, or better."""
    wishes = sorted((_wish(part) for part in accept.lower().split(b",")), key=lambda wish: -wish[1])
    suited = [kind for kind, weight in wishes if weight > 0 and kind in _OFFERED]
    return bool(suited) and suited[0] == b"text/csv"


_OFFERED: Final = (b"text/csv", JSON, b"application/*", b"*/*")


def _wish(part: bytes) -> tuple[bytes, float]:
    kind, *parameters = (piece.strip() for piece in part.split(b";"))
    weights = [parameter[2:] for parameter in parameters if parameter.startswith(b"q=")]
    try:
        return kind, float(weights[0]) if weights else 1.0
    except ValueError:
        return kind, 0.0


def _table(kind: bytes, body: bytes, signature: Signature) -> Table | None:
    """What reads a body of many rows that is no JSON; None where it is of another kind."""
    if kind == b"text/csv":
        return csv.values_of if takes_words(signature) else None
    if kind == b"application/x-npy" or (kind == b"application/octet-stream" and body.startswith(npy.MAGIC)):
        return npy.values_of if takes_matrix(signature) else None
    return None


def _write(headers: Headers, signature: Signature, *, many: bool) -> Write:
    accept = headers.get(b"accept")
    if accept is not None and b"text/csv" in accept.lower() and prefers_csv(accept):
        return lambda answers: Response(csv.answers_of(answers, signature.output), csv.KIND)
    return _list if many else _one


def _call(values: Sequence[Values], explained: Sequence[Any] | None, signature: Signature, write: Write) -> Call:
    if not values:
        raise HandrailError("data", "no rows", f"send {signature.sample_text()}")
    if explained is not None and len(explained) != 1:
        raise HandrailError("usage", "explain answers one row at a time", "send one row")
    return Call(values, write, explained)


def _kind(given: bytes) -> bytes:
    """The kind in a content-type, in small letters. Raises HandrailError for text that is not UTF-8."""
    kind, _, parameters = given.lower().partition(b";")
    if b"charset" in parameters and b"utf-8" not in parameters and b"utf8" not in parameters:
        raise HandrailError("media_type", "only UTF-8 is read", "send it as UTF-8")
    return kind.strip()


def _unread(given: bytes, signature: Signature) -> HandrailError:
    shown = given.decode("latin-1")[:80] or "none"
    mend = f"-H 'content-type: application/json'; read are {listed(kinds_read(signature))}"
    return HandrailError("media_type", f"content-type {shown} is not read here", mend)


def _checked(rows: Sequence[Any], signature: Signature, check: Check) -> Sequence[Values]:
    try:
        return check(rows)
    except HandrailError:
        if is_deeper(rows, MAX_JSON_DEPTH + 1):
            problem = f"nested deeper than {MAX_JSON_DEPTH}"
            raise Refused(400, HandrailError("usage", problem, f"send {signature.sample_text()}")) from None
        raise


def _wants_explanation(options: dict[str, str]) -> bool:
    explain = options.get("explain", "false").lower()
    if explain not in TRUE + FALSE:
        raise HandrailError("usage", f"explain is true or false, received '{explain[:60]}'", "explain=true")
    return explain in TRUE


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        mend = "send it as UTF-8"
        raise Refused(400, HandrailError("usage", f"not UTF-8 at byte {error.start}", mend)) from None


def _one(answers: Sequence[bytes]) -> Response:
    return Response(answers[0])


def _list(answers: Sequence[bytes]) -> Response:
    return Response(b"[" + b",".join(answers) + b"]")


def _explained(answers: Sequence[bytes]) -> Response:
    """`{"answer": {…}, …}` as the replica says it, in the shape of an answer with an explanation."""
    parts = orjson.loads(answers[0])
    return Response(orjson.dumps({**parts.pop("answer"), "explanation": parts}))


def _explained_list(answers: Sequence[bytes]) -> Response:
    return _list([_explained(answers).body])
