"""What a decoder looks like: its sizes and which options it uses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np

Family = Literal["gpt2", "llama", "gemma3"]
FAMILIES: Final = ("gpt2", "llama", "gemma3")
Rope = tuple[tuple[str, float], ...]
# The most that is taken of each size; what is beyond is no model for one machine's CPU, or a lie.
MOST: Final = {
    "vocabulary": 2**20, "width": 2**15, "layers": 512, "heads": 512, "key_heads": 512, "head_width": 1024,
    "inner": 2**18, "context": 2**22,
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """The sizes and options of one decoder.

    `key_heads` may be fewer than `heads` (grouped queries). `rope` are the parameters of rotary places, empty where
    places are learnt (GPT-2); `local_rope` those of `local_layers`, empty where they are the same. `local` tokens are
    all that a token sees in `local_layers`, in the others it sees all. `tied`: the table of tokens is also the last
    layer. `bias`: the joint projection of queries, keys and values has one. `norms`: queries and keys are normalised.
    `scale` is what products of queries and keys are multiplied with, 0: 1 / √head_width.
    """

    family: Family
    vocabulary: int
    width: int
    layers: int
    heads: int
    key_heads: int
    head_width: int
    inner: int
    context: int
    epsilon: float
    tied: bool
    bias: bool = False
    norms: bool = False
    local: int = 0
    local_layers: tuple[int, ...] = ()
    rope: Rope = ()
    local_rope: Rope = ()
    scale: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        ropes = {name: dict(getattr(self, name)) for name in ("rope", "local_rope")}
        return {**asdict(self), **ropes, "local_layers": list(self.local_layers)}

    @property
    def token_bytes(self) -> int:
        """What the keys and values of one token take."""
        return 2 * 4 * self.layers * self.key_heads * self.head_width

    @property
    def parameters(self) -> int:
        """How many numbers there are to be learnt, near enough to tell sizes and times."""
        attention = self.width * self.head_width * (2 * self.heads + 2 * self.key_heads)
        inner = self.width * self.inner * (2 if self.family == "gpt2" else 3)
        table = self.vocabulary * self.width * (1 if self.tied else 2)
        return self.layers * (attention + inner) + table + (0 if self.rope else self.context * self.width)


def shape_from(value: Mapping[str, Any]) -> Shape:
    """The inverse of `Shape.as_dict`. Raises ValueError, KeyError or TypeError for what is none."""
    known = {name: value[name] for name in Shape.__dataclass_fields__}
    ropes = {name: _rope(known[name]) for name in ("rope", "local_rope")}
    found = Shape(**{**known, **ropes, "local_layers": tuple(known["local_layers"])})
    check(found)
    return found


def rotations(shape: Shape, rope: Rope, places: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of rotary places, each (places, head_width / 2) float32."""
    said = dict(rope)
    steps = np.arange(0, shape.head_width, 2, dtype=np.float64) / shape.head_width
    speed = 1.0 / said["theta"] ** steps
    if "low" in said:  # Llama 3: slow waves are stretched, quick ones kept, those between blended.
        share = (said["original"] * speed / (2 * math.pi) - said["low"]) / (said["high"] - said["low"])
        kept = np.clip(share, 0.0, 1.0)
        speed = speed * kept + speed / said["factor"] * (1 - kept)
    else:
        speed = speed / said.get("factor", 1.0)
    angles = np.arange(places, dtype=np.float64)[:, None] * speed
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def check(shape: Shape) -> None:
    """Raises ValueError or TypeError for a shape that no model has."""
    for name, most in MOST.items():
        size = getattr(shape, name)
        if type(size) is not int or not 1 <= size <= most:
            raise ValueError(f"{name}: expected 1 to {most:,}, received {str(size)[:40]}")
    if shape.family not in FAMILIES:
        raise ValueError("it is of no family that is built")
    for name in ("tied", "bias", "norms"):
        if type(getattr(shape, name)) is not bool:
            raise TypeError(f"{name} is neither true nor false")
    # onnxruntime turns heads by rotary places in parts of 16 numbers.
    if shape.heads % shape.key_heads or shape.head_width % (16 if shape.rope else 8):
        raise ValueError(f"{shape.heads} heads over {shape.key_heads} of {shape.head_width} numbers do not fit")
    _check_numbers(shape)


def _check_numbers(shape: Shape) -> None:
    if type(shape.local) is not int or not 0 <= shape.local <= MOST["context"]:
        raise ValueError("an impossible window")
    if not all(type(layer) is int and 0 <= layer < shape.layers for layer in shape.local_layers):
        raise ValueError("a window of a layer that it does not have")
    if bool(shape.local) != bool(shape.local_layers):
        raise ValueError("a window without layers, or layers without a window")
    if not 0 < shape.epsilon < 1 or not 0 <= shape.scale < 1e3:
        raise ValueError("an impossible number among its settings")
    if (shape.family == "gpt2") == bool(shape.rope):
        raise ValueError("its places are neither learnt nor rotary")
    for rope in filter(None, (shape.rope, shape.local_rope)):
        said = dict(rope)
        if "theta" not in said or not all(0 < number < 1e12 for number in said.values()):
            raise ValueError("impossible rotary places")
        if "low" in said and not (said["low"] < said["high"] and {"factor", "original"} <= set(said)):
            raise ValueError("impossible rotary places")


def _rope(value: Mapping[str, Any]) -> Rope:
    return tuple(sorted((str(name), float(number)) for name, number in value.items()))
