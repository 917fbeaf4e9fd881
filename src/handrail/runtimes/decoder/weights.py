"""A decoder's weights under names of ours: what a bundle keeps in weights/decoder.safetensors and a graph reads.

Matrices are named by what they do and lie as (out, in). Whole numbers are kept in blocks with a scale each; the table
of tokens is stored once, also where it is read by rows at the start and multiplied with at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from handrail.core.errors import HandrailError
from handrail.runtimes.decoder.config import shape_of
from handrail.runtimes.decoder.rounding import LONGEST_BLOCK, block_of, rounded
from handrail.runtimes.decoder.shape import Shape

NORMS: Final = {
    "llama": {"norm1": "input_layernorm", "norm2": "post_attention_layernorm"},
    "gemma3": {
        "norm1": "input_layernorm",
        "after1": "post_attention_layernorm",
        "norm2": "pre_feedforward_layernorm",
        "after2": "post_feedforward_layernorm",
    },
}
HEAD_NORMS: Final = {"query_norm": "self_attn.q_norm", "key_norm": "self_attn.k_norm"}
Get = Callable[[str], np.ndarray]


def packed(
    config: Mapping[str, Any], get: Get, names: Iterable[str], bits: int = 8
) -> Iterator[tuple[str, np.ndarray]]:
    """Our tensors of a model in Hugging Face's names, rounded to `bits` (8, 4, or 32: as they are), one after another.

    `get` gives a tensor as float32 by its name, `names` are all it has. Raises HandrailError ("data") where some are
    missing or of other sizes.
    """
    shape, known = shape_of(config, "config.json"), frozenset(names)
    prefix = next((front for front in ("", "transformer.", "model.") if f"{front}{_first(shape)}" in known), "")

    def read(name: str) -> np.ndarray:
        for there in (f"{prefix}{name}", name):
            if there in known:
                return get(there)
        raise _refused(f"it lacks the tensor {name}")

    try:
        for name, tensor in _tensors(shape, read):
            yield from _rounded(name, tensor, shape, bits)
    except (ValueError, IndexError) as error:
        raise _refused("its tensors have other sizes than its settings say") from error


def _refused(problem: str) -> HandrailError:
    return HandrailError("data", f"this model cannot be taken: {problem}", "fetch it again, all of its files")


def _first(shape: Shape) -> str:
    return "wte.weight" if shape.family == "gpt2" else "embed_tokens.weight"


def _rounded(name: str, tensor: np.ndarray, shape: Shape, bits: int) -> Iterator[tuple[str, np.ndarray]]:
    array = np.asarray(tensor, dtype=np.float32)
    if bits == 32 or array.ndim == 1 or name == "places":
        yield (name if name.endswith(".b") else f"{name}.w"), np.ascontiguousarray(_laid(name, array))
    elif name == "table" and block_of(array.shape[1], LONGEST_BLOCK[8]) is None:
        yield "table.w", array  # Rows can be read from whole blocks only.
    elif name == "table":
        yield from rounded("head" if shape.tied else "table", array, 8)
    else:
        yield from rounded(name, array, 8 if name == "head" else bits)


def _laid(name: str, array: np.ndarray) -> np.ndarray:
    """The head is multiplied as (out, in); all others as (in, out)."""
    return array if array.ndim == 1 or name in ("table", "places", "head") else array.T


def _tensors(shape: Shape, get: Get) -> Iterator[tuple[str, np.ndarray]]:
    """Our names with their tensors, (out, in), from a reader of Hugging Face's names."""
    return _gpt2(shape, get) if shape.family == "gpt2" else _llama(shape, get)


def _gpt2(shape: Shape, get: Get) -> Iterator[tuple[str, np.ndarray]]:
    yield "table", get("wte.weight")
    yield "places", get("wpe.weight")
    named = {"qkv": "attn.c_attn", "out": "attn.c_proj", "up": "mlp.c_fc", "down": "mlp.c_proj"}
    for layer in range(shape.layers):
        for norm in (1, 2):
            yield f"layer{layer}.norm{norm}", get(f"h.{layer}.ln_{norm}.weight")
            yield f"layer{layer}.norm{norm}.b", get(f"h.{layer}.ln_{norm}.bias")
        for ours, theirs in named.items():
            yield f"layer{layer}.{ours}", get(f"h.{layer}.{theirs}.weight").T
            yield f"layer{layer}.{ours}.b", get(f"h.{layer}.{theirs}.bias")
    yield "norm", get("ln_f.weight")
    yield "norm.b", get("ln_f.bias")
    if not shape.tied:
        yield "head", get("lm_head.weight")


def _llama(shape: Shape, get: Get) -> Iterator[tuple[str, np.ndarray]]:
    yield "table", get("embed_tokens.weight")
    for layer in range(shape.layers):
        yield from _llama_layer(shape, get, f"layers.{layer}", f"layer{layer}")
    yield "norm", _norm(shape, get, "norm")
    if not shape.tied:
        yield "head", get("lm_head.weight")


def _llama_layer(shape: Shape, get: Get, theirs: str, ours: str) -> Iterator[tuple[str, np.ndarray]]:
    norms = NORMS[shape.family] | (HEAD_NORMS if shape.norms else {})
    for name, norm in norms.items():
        yield f"{ours}.{name}", _norm(shape, get, f"{theirs}.{norm}")
    parts = [f"{theirs}.self_attn.{part}_proj" for part in "qkv"]
    yield f"{ours}.qkv", np.concatenate([get(f"{part}.weight") for part in parts])
    if shape.bias:
        yield f"{ours}.qkv.b", np.concatenate([get(f"{part}.bias") for part in parts])
    yield f"{ours}.out", get(f"{theirs}.self_attn.o_proj.weight")
    yield f"{ours}.up", np.concatenate([get(f"{theirs}.mlp.{part}_proj.weight") for part in ("gate", "up")])
    yield f"{ours}.down", get(f"{theirs}.mlp.down_proj.weight")


def _norm(shape: Shape, get: Get, name: str) -> np.ndarray:
    """Gemma keeps what is to be added to 1."""
    weight = get(f"{name}.weight")
    return weight + 1 if shape.family == "gemma3" else weight
