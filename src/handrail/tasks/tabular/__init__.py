"""Classes or amounts from a table: numbers, categories, dates, free text, in any mixture."""

from __future__ import annotations

from handrail.data.look import Look


def recognises(look: Look) -> str:
    """Why a table's models fit; "" for several labels at once, and for classes of texts alone (another task's)."""
    kinds = [field.kind for field in look.inputs()]
    if look.problem == "multilabel":
        return ""
    if look.problem != "regression" and all(kind == "text" for kind in kinds):
        return ""
    return f"{len(kinds)} columns of {', '.join(sorted(set(kinds)))} and an answer to each row"
