"""Labels for texts: one of two, one of many, or several at once."""

from __future__ import annotations

from handrail.data.look import Look


def recognises(look: Look) -> str:
    """Why the task fits: every input is text and the answer is a label; "" otherwise."""
    fields = look.inputs()
    if look.problem == "regression" or not fields or any(field.kind != "text" for field in fields):
        return ""
    return f"every input is text ({', '.join(field.name for field in fields)}) and '{look.target}' holds labels"
