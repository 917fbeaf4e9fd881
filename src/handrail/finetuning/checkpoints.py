"""Where a training stands, in one file that is there whole or not at all: safetensors, with the position as JSON.

Everything random is drawn anew from the seed and the number of the step, so no generator's state has to be kept.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from handrail.catalog.safetensors_writing import write_safetensors

STATE: Final = "state.safetensors"
FORMAT: Final = 1
# LoRA beside all matrices of a hundred blocks has 7,000 tensors.
HEADER_BYTES: Final = 2**20


@dataclass
class Position:
    """How far a training is. `spent_s` is what it took so far; `history` is what was measured on the way."""

    step: int = 0
    tokens: int = 0
    spent_s: float = 0.0
    best_step: int = 0
    best_loss: float = float("inf")
    judged_rows: int = 0  # how many of the held-out rows are looked at each time
    exact: bool = False  # whether the restricted softmax was given up
    history: list[dict[str, Any]] = field(default_factory=list)


def save_state(
    folder: Path,
    position: Position,
    trained: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    best: dict[str, torch.Tensor],
) -> None:
    """Replaces the state in `folder` by the one of now."""
    said = json.dumps({"format": FORMAT, **dataclasses.asdict(position)})
    tensors = _tensors(trained, optimizer, best)
    write_safetensors(folder / STATE, tensors, metadata={"position": said}, header_bytes=HEADER_BYTES)


def _tensors(
    trained: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, best: dict[str, torch.Tensor]
) -> Iterator[tuple[str, np.ndarray]]:
    """One after another: a copy of all would need as much memory as the training."""
    for name, parameter in trained.items():
        kinds = {"now": parameter, **optimizer.state.get(parameter, {})}
        kinds |= {"best": best[name]} if name in best else {}
        for kind, value in kinds.items():
            yield f"{kind}/{name}", torch.as_tensor(value).detach().cpu().numpy()


def saved_position(folder: Path) -> Position | None:
    """The position of the state in `folder`; None where there is none that can be read."""
    try:
        with safe_open(folder / STATE, "pt") as file:
            found = json.loads((file.metadata() or {})["position"])
        return Position(**found) if found.pop("format") == FORMAT else None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def load_state(
    folder: Path, trained: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> dict[str, torch.Tensor]:
    """Puts the state in `folder` into the parameters and the optimizer; gives the best parameters so far.

    Raises KeyError where it is the state of another network.
    """
    with safe_open(folder / STATE, "pt") as file:
        tensors: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name, parameter in trained.items():
        with torch.no_grad():
            parameter.copy_(tensors[f"now/{name}"])
        kinds = {key.split("/")[0] for key in tensors if key.endswith(f"/{name}")} - {"now", "best"}
        if kinds:
            optimizer.state[parameter] = {kind: tensors[f"{kind}/{name}"] for kind in kinds}
    return {name: tensors[f"best/{name}"] for name in trained if f"best/{name}" in tensors}


def forget_state(folder: Path) -> None:
    """Makes the next training begin at its beginning."""
    (folder / STATE).unlink(missing_ok=True)
