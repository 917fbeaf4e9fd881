"""A response that a predictor makes itself: body, status, headers and type, in Starlette's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from handrail.predictors.exchange import BYTES, JSON, TEXT
from handrail.predictors.jsons import as_json


class Response:
    """`Response({"error": "unknown"}, status_code=400)`. `media_type` None: as the content's kind says."""

    def __init__(
        self, content: Any = b"", status_code: int = 200, headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
    ) -> None:  # fmt: skip
        self.body, kind = body_and_type(content)
        self.status_code = status_code
        self.media_type = media_type or kind
        self.headers: dict[str, str] = {name.lower(): value for name, value in (headers or {}).items()}

    def set_cookie(self, name: str, value: str = "", *, path: str = "/", max_age: int | None = None) -> None:
        """Asks the client to keep a value."""
        lasts = "" if max_age is None else f"; Max-Age={max_age}"
        self.headers["set-cookie"] = f"{name}={value}; Path={path}{lasts}; SameSite=Lax"


def body_and_type(content: Any) -> tuple[bytes, str]:
    """The bytes of a value, and the type that says what they are: bytes as they are, texts as UTF-8, all else JSON."""
    if isinstance(content, bytes | bytearray | memoryview):
        return bytes(content), BYTES
    if isinstance(content, str):
        return content.encode("utf-8", "surrogatepass"), TEXT
    return as_json(content), JSON
