"""Small decoders with weights drawn at random, the same on every machine, so that only logits need be kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

EXPECTED = Path(__file__).parent / "expected"
FAMILIES = ("gpt2", "llama", "llama3", "mistral", "qwen2", "qwen3", "gemma3")
TOKENS = np.random.RandomState(1).randint(0, 64, 60).tolist()


def drawn(shapes: Mapping[str, Sequence[int]], kind: str) -> dict[str, np.ndarray]:
    """Tensors by name; those of norms are about 1, or about 0 where the model adds the 1."""
    found = {}
    for number, (name, shape) in enumerate(shapes.items()):
        middle = 1.0 if "norm" in name or "ln_" in name else 0.0
        middle *= name.endswith("weight") and not kind.startswith("gemma")
        array = np.random.RandomState(number).uniform(-0.2, 0.2, shape) + middle
        found[name] = array.astype(np.float32)
    return found


def expected(family: str) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[int, np.ndarray]]:
    """A family's config, its weights, and transformers' logits after some of `TOKENS`."""
    kept = json.loads((EXPECTED / f"{family}.json").read_text())
    weights = drawn(kept["shapes"], kept["config"]["model_type"])
    logits = {int(place): np.array(row, np.float32) for place, row in kept["logits"].items()}
    return kept["config"], weights, logits
