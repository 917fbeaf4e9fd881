"""What becomes of a request: counted; and where it failed, answered in the one shape that every error has."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

import orjson

from handrail.core.errors import HandrailError
from handrail.serve.api import Version
from handrail.serve.exchange import Request, Response
from handrail.serve.limits import Refused

log = logging.getLogger("handrail.serve")

SOON: Final = (b"retry-after", b"1")


def failure(error: Exception, request_id: bytes, *, plain: bool = False) -> Response:
    """The one shape of every error. Places on this machine's disk stay here, and so does what is our fault.

    `plain`: the message stands where the object would, as Open Inference has it, and the rest of it beside.
    """
    status, headers = (error.status, error.headers) if isinstance(error, Refused) else (0, ())
    said = error.error if isinstance(error, Refused) else error
    if not isinstance(said, HandrailError):
        log.error("request %s failed", request_id.decode(), exc_info=said)
        said = HandrailError("bug", "something went wrong here", "report it with the request's id")
    body = said.as_dict(request_id.decode())
    if said.code in ("bundle", "environment", "bug"):
        body["error"].pop("where", None)  # type: ignore[attr-defined]
    if plain:
        told: Any = body["error"]
        body = {**told, "error": f"{told['message']} (hint: {told['hint']})"}
    status = status or said.http_status
    if status == 503 and not any(name == b"retry-after" for name, _ in headers):
        headers = (*headers, SOON)
    return Response(orjson.dumps(body), status=status, headers=headers)


def with_retry_after(error: Exception, version: Version) -> Exception:
    """An overload says when it is worth trying again."""
    if isinstance(error, HandrailError) and error.code == "overloaded":
        return Refused(503, error, (b"retry-after", b"%d" % version.batcher.retry_after_s()))
    return error


def outcome_of(error: Exception) -> str:
    """Whether a request was refused, or failed."""
    if not isinstance(error, HandrailError | Refused):
        return "failed"
    return "failed" if getattr(error, "code", "") in ("bug", "timeout") else "refused"


def status_of(error: Exception) -> int:
    """The HTTP status of what went wrong."""
    if isinstance(error, Refused):
        return error.status
    return error.http_status if isinstance(error, HandrailError) else 500


def count(version: Version, request: Request, outcome: str, status: int) -> None:
    """Takes note of a request that is over; one whose client left has no status."""
    taken_s = time.perf_counter() - request.started
    version.metrics.count(outcome, taken_s)
    if outcome != "left":
        version.recent.observe(status, taken_s)
