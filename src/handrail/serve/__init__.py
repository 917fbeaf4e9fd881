"""The serving plane: gateway, batcher, pool, replica."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handrail.serve.server import serve

__all__ = ["serve"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for: the process of user code needs a few files from here, and none of what serves.
    if name != "serve":
        raise AttributeError(f"module 'handrail.serve' has no attribute '{name}'")
    return importlib.import_module("handrail.serve.server").serve
