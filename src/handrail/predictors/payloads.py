"""The body of a request as its content type says: an object, a form, a text, or bytes."""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import parse_qsl

from handrail.core.errors import HandrailError, clipped
from handrail.predictors.exchange import Request
from handrail.predictors.forms import multipart, urlencoded
from handrail.predictors.multi import MultiDict

CHARSET: Final = re.compile(r"""; ?charset="?([^\s;"]{1,40})""", re.I)


def payload_of(request: Request) -> Any:
    """What `predict` gets as `payload`. Raises HandrailError ("usage") for a body that is not what it says it is."""
    content_type = request.headers.get("content-type", "")
    kind = content_type.lower()
    if kind.startswith("application/json"):
        return _json(request.body)
    if kind.startswith("multipart/form"):
        return multipart(request.body, content_type)
    if kind.startswith("application/x-www-form-urlencoded"):
        return urlencoded(request.body)
    return _text(request.body, content_type) if kind.startswith("text/plain") else request.body


def query_of(request: Request) -> MultiDict:
    """The parameters behind the `?` of the address."""
    return MultiDict(parse_qsl(request.query, keep_blank_values=True))


def headers_of(request: Request) -> MultiDict:
    """The headers; their names may be asked for in any case."""
    return MultiDict(request.headers.items(), str.lower)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except RecursionError:
        raise _refused("the JSON is nested too deeply") from None
    except ValueError as error:
        # Python's message has a place in it and nothing of the body.
        raise _refused(f"the body is not JSON: {clipped(str(error), 120)}") from None


def _text(body: bytes, content_type: str) -> str:
    found = CHARSET.search(content_type)
    charset = found[1] if found else "utf-8"
    try:
        return body.decode(charset)
    except LookupError:
        raise _refused(f"'{clipped(charset, 40)}' is no charset") from None
    except UnicodeDecodeError as error:
        raise _refused(f"the text is not {clipped(charset, 40)} at byte {error.start}") from None


def _refused(problem: str) -> HandrailError:
    return HandrailError("usage", problem, """curl -H 'content-type: application/json' -d '{"name": 1}'""")
