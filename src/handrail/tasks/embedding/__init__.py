"""Vectors for texts: what means the same lies close together. The weights are a pretrained base's, not trained here."""

from __future__ import annotations

from handrail.data.look import Look


def recognises(look: Look) -> str:
    """Never: a table holds answers to learn, and there are none here."""
    return ""
