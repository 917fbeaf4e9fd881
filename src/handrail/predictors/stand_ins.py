"""Names that predictors written for Cortex import, where the packages that hold them are not installed.

Its images had Starlette in them, and a logger of its own; examples use both without asking for them.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from handrail.predictors.forms import UploadFile
from handrail.predictors.jsons import as_json
from handrail.predictors.logs import logger
from handrail.predictors.metrics_client import MetricsClient
from handrail.predictors.multi import MultiDict
from handrail.predictors.responses import Response


class HTTPException(Exception):  # noqa: N818 - Starlette's name
    """Raised in `predict`, it is the answer."""

    def __init__(self, status_code: int, detail: Any = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status_code = status_code
        self.detail = detail
        self.headers = headers


class UserRuntimeException(Exception):  # noqa: N818 - Cortex's name
    """Raised in `predict`: its message is for the client."""


def json_response(content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Starlette's JSONResponse."""
    return Response(as_json(content), status_code, headers, "application/json")


def plain_text_response(
    content: str = "", status_code: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Starlette's PlainTextResponse."""
    return Response(content, status_code, headers)


def html_response(content: str = "", status_code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Starlette's HTMLResponse."""
    return Response(content, status_code, headers, "text/html; charset=utf-8")


_NAMES: Final[dict[str, dict[str, Any]]] = {
    "starlette.responses": {
        "Response": Response, "JSONResponse": json_response, "PlainTextResponse": plain_text_response,
        "HTMLResponse": html_response,
    },
    "starlette.datastructures": {
        "FormData": MultiDict, "QueryParams": MultiDict, "Headers": MultiDict, "UploadFile": UploadFile,
    },
    "starlette.exceptions": {"HTTPException": HTTPException},
    "cortex_internal.lib.log": {"logger": logger},
    "cortex_internal.lib.metrics": {"MetricsClient": MetricsClient},
    "cortex_internal.lib.exceptions": {
        "UserRuntimeException": UserRuntimeException, "UserException": UserRuntimeException,
    },
}  # fmt: skip


def stand_in() -> None:
    """Puts them where `import` finds them. A package that is installed, or lies in the project, is left alone."""
    for package in sorted({name.partition(".")[0] for name in _NAMES}):
        if package not in sys.modules and importlib.util.find_spec(package) is None:
            for name in [name for name in _NAMES if name.startswith(f"{package}.")]:
                _put(name, _NAMES[name])


def _put(name: str, contents: Mapping[str, Any]) -> None:
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        below = ".".join(parts[:depth])
        if below not in sys.modules:
            module = sys.modules[below] = ModuleType(below, "A stand-in of Handrail's.")
            module.__path__ = []
            if depth > 1:
                setattr(sys.modules[".".join(parts[: depth - 1])], parts[depth - 1], module)
    vars(sys.modules[name]).update(contents)
