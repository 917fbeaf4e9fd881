"""Which numbers are trained: small matrices beside the frozen ones (LoRA), those of the blocks, or all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from handrail.finetuning.lora import SCALE, put_beside
from handrail.finetuning.network import Network
from handrail.finetuning.tuned import LORA_A, LORA_B, Tuned


def make_trainable(network: Network, method: str, first: int, rank: int, *, half: bool) -> None:
    """Prepares a network: `method` is "lora", "blocks", "full" or "new" (all of it, too).

    The blocks before `first` stay as they are. What is frozen is kept in bfloat16 where `half`, the rest in float32.
    """
    network.model.requires_grad_(method in ("full", "new"))
    if method == "lora":
        for block in network.blocks[first:]:
            put_beside(block, rank)
    elif method == "blocks":
        for block in network.blocks[first:]:
            block.requires_grad_(True)
    if half:
        for parameter in network.model.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.to(torch.bfloat16)
    network.model.train()


def trained_parameters(network: Network) -> dict[str, nn.Parameter]:
    """name → parameter, of all that is trained."""
    return {name: one for name, one in network.model.named_parameters() if one.requires_grad}


def tuned(network: Network) -> Tuned:
    """What was trained, as float32, under the names that the base's tensors have."""
    found: Tuned = {}
    for name, parameter in trained_parameters(network).items():
        array = parameter.detach().float().cpu().numpy()
        if ".lora_" in name:
            found.update(_adapter(network, name, array))
        else:
            found[name.replace(".base_layer", "")] = array.copy()
    return found


def _adapter(network: Network, name: str, array: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """One of LoRA's matrices, so that b @ a (scaled already) has the shape of the tensor that it is added to."""
    owner, _, kind = name.partition(".lora_")
    layer: Any = network.model.get_submodule(owner)
    is_b = kind == "B"
    scaled = array * SCALE if is_b else array
    written = (LORA_A if is_b else LORA_B) if layer.is_turned else (LORA_B if is_b else LORA_A)
    yield f"{owner}.weight{written}", np.ascontiguousarray(scaled.T if layer.is_turned else scaled)
