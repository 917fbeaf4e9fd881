"""What a decoder looks like, read from the config.json of a Hugging Face folder: sizes, and which options it uses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np

from handrail.core.errors import HandrailError, listed

Family = Literal["gpt2", "llama"]
LLAMA_LIKE: Final = ("llama", "mistral", "qwen2", "qwen3")
# The most that is taken of each size; what is beyond is no model for one machine's CPU, or a lie.
MOST: Final = {"vocabulary": 2**20, "width": 2**15, "layers": 512, "heads": 512, "inner": 2**18, "context": 2**22}
ACTIVATIONS: Final = {"gelu_new": "gelu", "gelu_pytorch_tanh": "gelu", "silu": "silu", "swish": "silu"}


@dataclass(frozen=True)
class Shape:
    """The sizes and options of one decoder.

    `key_heads` may be fewer than `heads` (grouped queries). `rope` are the parameters of rotary places, empty where
    places are learnt (GPT-2). `local` tokens are all that each token sees, 0: all. `tied`: the table of tokens is also
    the last layer. `bias`: the joint projection of queries, keys and values has one. `norms`: queries and keys are
    normalised.
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
    rope: tuple[tuple[str, float], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "rope": dict(self.rope)}

    def token_bytes(self) -> int:
        """What the keys and values of one token take."""
        return 2 * 4 * self.layers * self.key_heads * self.head_width


def shape_from(value: Mapping[str, Any]) -> Shape:
    """The inverse of `Shape.as_dict`. Raises ValueError, KeyError or TypeError for what is none."""
    known = {name: value[name] for name in Shape.__dataclass_fields__}
    rope = tuple(sorted((str(name), float(number)) for name, number in known["rope"].items()))
    found = Shape(**{**known, "rope": rope})
    _check(found)
    return found


def shape_of(config: Mapping[str, Any], where: str) -> Shape:
    """The shape that a config.json describes. Raises HandrailError ("data") for an architecture that is not built."""
    try:
        if "auto_map" in config:
            raise ValueError("it needs code of its own (auto_map), which is not run")
        kind = str(config["model_type"])
        if kind != "gpt2" and kind not in LLAMA_LIKE:
            raise ValueError(f"the architecture '{kind[:40]}' is not built; built are {listed(('gpt2', *LLAMA_LIKE))}")
        found = _gpt2(config) if kind == "gpt2" else _llama(config, kind)
        _check(found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        said = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        mend = "give a model of the GPT-2, Llama, Mistral, Qwen2 or Qwen3 family"
        raise HandrailError("data", f"this model cannot be taken: {said}", mend, where=where) from error
    return found


def rotations(shape: Shape, places: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of rotary places, each (places, head_width / 2) float32."""
    rope = dict(shape.rope)
    steps = np.arange(0, shape.head_width, 2, dtype=np.float64) / shape.head_width
    speed = 1.0 / rope["theta"] ** steps
    if "low" in rope:  # Llama 3: slow waves are stretched, quick ones kept, those between blended.
        share = (rope["original"] * speed / (2 * math.pi) - rope["low"]) / (rope["high"] - rope["low"])
        kept = np.clip(share, 0.0, 1.0)
        speed = speed * kept + speed / rope["factor"] * (1 - kept)
    else:
        speed = speed / rope.get("factor", 1.0)
    angles = np.arange(places, dtype=np.float64)[:, None] * speed
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _gpt2(config: Mapping[str, Any]) -> Shape:
    if ACTIVATIONS.get(config.get("activation_function", "gelu_new")) != "gelu":
        raise ValueError(f"the activation {str(config['activation_function'])[:40]} is not built")
    if config.get("scale_attn_by_inverse_layer_idx") or not config.get("scale_attn_weights", True):
        raise ValueError("its attention is scaled in a way that is not built")
    width, heads = config["n_embd"], config["n_head"]
    return Shape(
        family="gpt2", vocabulary=config["vocab_size"], width=width, layers=config["n_layer"], heads=heads,
        key_heads=heads, head_width=width // heads, inner=config.get("n_inner") or 4 * width,
        context=config.get("n_positions", 1024), epsilon=float(config.get("layer_norm_epsilon", 1e-5)),
        tied=config.get("tie_word_embeddings", True), bias=True,
    )  # fmt: skip


def _llama(config: Mapping[str, Any], kind: str) -> Shape:
    if ACTIVATIONS.get(config.get("hidden_act", "silu")) != "silu" or config.get("mlp_bias"):
        raise ValueError("its inner layers are of a kind that is not built")
    if config.get("attention_bias") and kind != "qwen2":
        raise ValueError("biases of attention are built for Qwen2 only")
    heads = config["num_attention_heads"]
    windowed = kind == "mistral" or (kind == "qwen2" and config.get("use_sliding_window"))
    return Shape(
        family="llama", vocabulary=config["vocab_size"], width=config["hidden_size"],
        layers=config["num_hidden_layers"], heads=heads, key_heads=config.get("num_key_value_heads") or heads,
        head_width=config.get("head_dim") or config["hidden_size"] // heads, inner=config["intermediate_size"],
        context=config["max_position_embeddings"], epsilon=float(config.get("rms_norm_eps", 1e-6)),
        tied=bool(config.get("tie_word_embeddings", False)), bias=kind == "qwen2",
        norms=kind == "qwen3", local=(config.get("sliding_window") or 0) if windowed else 0, rope=_rope(config),
    )  # fmt: skip


def _rope(config: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    said = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = said.get("rope_type", said.get("type", "default"))
    theta = float(said.get("rope_theta", config.get("rope_theta", 10000.0)))
    if kind == "default":
        return (("theta", theta),)
    if kind == "linear":
        return (("factor", float(said["factor"])), ("theta", theta))
    if kind == "llama3":
        named = {"factor": "factor", "high": "high_freq_factor", "low": "low_freq_factor",
                 "original": "original_max_position_embeddings"}  # fmt: skip
        return (*((ours, float(said[theirs])) for ours, theirs in named.items()), ("theta", theta))
    raise ValueError(f"rotary places of the kind '{str(kind)[:40]}' are not built")


def _check(shape: Shape) -> None:
    for name, most in MOST.items():
        size = getattr(shape, name)
        if type(size) is not int or not 1 <= size <= most:
            raise ValueError(f"{name}: expected 1 to {most:,}, received {str(size)[:40]}")
    for name in ("key_heads", "head_width"):
        if type(getattr(shape, name)) is not int or not 1 <= getattr(shape, name) <= 1024:
            raise ValueError(f"an impossible number of {name}")
    if shape.heads % shape.key_heads or shape.head_width % 8:
        raise ValueError(f"{shape.heads} heads over {shape.key_heads} of {shape.head_width} numbers do not fit")
    if type(shape.local) is not int or not 0 <= shape.local <= MOST["context"]:
        raise ValueError("an impossible window")
    if shape.family not in ("gpt2", "llama") or any(type(flag) is not bool for flag in (shape.tied, shape.bias)):
        raise ValueError("it is of no family that is built")
    if not 0 < shape.epsilon < 1 or not all(0 < number < 1e12 for _, number in shape.rope):
        raise ValueError("an impossible number among its settings")
    if (shape.family == "llama") != ("theta" in dict(shape.rope)):
        raise ValueError("its places are neither learnt nor rotary")
