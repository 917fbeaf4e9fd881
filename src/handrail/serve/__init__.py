"""The serving plane: gateway, batcher, pool, replica."""

from __future__ import annotations

from handrail.serve.server import serve

__all__ = ["serve"]
