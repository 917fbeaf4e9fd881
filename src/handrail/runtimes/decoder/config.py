"""Reads the config.json of a Hugging Face folder: the shape of a decoder, or why it is not built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from handrail.core.errors import HandrailError, listed
from handrail.runtimes.decoder.shape import MOST, Rope, Shape, check

LLAMA_LIKE: Final = ("llama", "mistral", "qwen2", "qwen3")
BUILT: Final = ("gpt2", *LLAMA_LIKE, "gemma3_text")
ACTIVATIONS: Final = {"gelu_new": "gelu", "gelu_pytorch_tanh": "gelu", "silu": "silu", "swish": "silu"}
LLAMA3_ROPE: Final = {
    "factor": "factor",
    "high": "high_freq_factor",
    "low": "low_freq_factor",
    "original": "original_max_position_embeddings",
}


def shape_of(config: Mapping[str, Any], where: str) -> Shape:
    """The shape that a config.json describes. Raises HandrailError ("data") for an architecture that is not built."""
    try:
        if "auto_map" in config:
            raise ValueError("it needs code of its own (auto_map), which is not run")
        found = _shape(config)
        check(found)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        said = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        mend = "give a model of the GPT-2, Llama, Mistral, Qwen2, Qwen3 or Gemma 3 family"
        raise HandrailError("data", f"this model cannot be taken: {said}", mend, where=where) from error
    return found


def _shape(config: Mapping[str, Any]) -> Shape:
    kind = str(config["model_type"])
    if kind == "gpt2":
        return _gpt2(config)
    if kind in LLAMA_LIKE:
        return _llama(config, kind)
    if kind == "gemma3_text":
        return _gemma(config)
    raise ValueError(f"the architecture '{kind[:40]}' is not built; built are {listed(BUILT)}")


def _gpt2(config: Mapping[str, Any]) -> Shape:
    _want_activation(config.get("activation_function", "gelu_new"), "gelu")
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
    _want_activation(config.get("hidden_act", "silu"), "silu")
    if config.get("mlp_bias") or (config.get("attention_bias") and kind != "qwen2"):
        raise ValueError("it has biases that are not built")
    local, local_layers = _windows(config, kind)
    return Shape(
        family="llama", **_sizes(config), tied=config.get("tie_word_embeddings", False), bias=kind == "qwen2",
        norms=kind == "qwen3", local=local, local_layers=local_layers, rope=_rope(config, _said_rope(config)),
    )  # fmt: skip


def _gemma(config: Mapping[str, Any]) -> Shape:
    _want_activation(config.get("hidden_activation", "gelu_pytorch_tanh"), "gelu")
    odd = ("attn_logit_softcapping", "final_logit_softcapping", "attention_bias", "use_bidirectional_attention")
    for name in odd:
        if config.get(name):
            raise ValueError(f"its {name} is not built")
    said = _said_rope(config)
    parts = said if "full_attention" in said else {"full_attention": said}
    near = parts.get("sliding_attention", {"rope_theta": config.get("rope_local_base_freq", 10000.0)})
    every = config.get("_sliding_window_pattern", config.get("sliding_window_pattern", 6))
    layers = _layers(config)
    types = config.get("layer_types") or [
        "full_attention" if (layer + 1) % every == 0 else "sliding_attention" for layer in range(layers)
    ]
    local_layers = _local(types, layers)
    return Shape(
        family="gemma3", **_sizes(config), tied=config.get("tie_word_embeddings", True), norms=True,
        local=config.get("sliding_window", 4096) if local_layers else 0, local_layers=local_layers,
        rope=_rope({"rope_theta": 1000000.0, **config}, parts["full_attention"]), local_rope=_rope({}, near),
        scale=float(config.get("query_pre_attn_scalar", 256)) ** -0.5,
    )  # fmt: skip


def _sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    width, heads = config["hidden_size"], config["num_attention_heads"]
    return {
        "vocabulary": config["vocab_size"], "width": width, "layers": config["num_hidden_layers"], "heads": heads,
        "key_heads": config.get("num_key_value_heads") or heads, "head_width": config.get("head_dim") or width // heads,
        "inner": config["intermediate_size"], "context": config["max_position_embeddings"],
        "epsilon": float(config.get("rms_norm_eps", 1e-6)),
    }  # fmt: skip


def _windows(config: Mapping[str, Any], kind: str) -> tuple[int, tuple[int, ...]]:
    """How far the layers see that do not see everything, and which they are."""
    layers, local = _layers(config), config.get("sliding_window") or 0
    if kind == "llama" or not local or (kind != "mistral" and not config.get("use_sliding_window")):
        return 0, ()
    if kind == "mistral":
        return local, tuple(range(layers))
    first = max(0, min(config.get("max_window_layers", 28), layers))
    types = config.get("layer_types") or ["full_attention"] * first + ["sliding_attention"] * (layers - first)
    local_layers = _local(types[:layers], layers)
    return (local if local_layers else 0), local_layers


def _layers(config: Mapping[str, Any]) -> int:
    """How many layers there are, looked at before each is told its kind."""
    layers = config["num_hidden_layers"]
    if type(layers) is not int or not 1 <= layers <= MOST["layers"]:
        raise ValueError(f"layers: expected 1 to {MOST['layers']}, received {str(layers)[:40]}")
    return layers


def _local(types: list[str], layers: int) -> tuple[int, ...]:
    if len(types) != layers or not set(types) <= {"full_attention", "sliding_attention"}:
        raise ValueError("its layers are of kinds that are not built")
    return tuple(layer for layer, kind in enumerate(types) if kind == "sliding_attention")


def _said_rope(config: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = config.get("rope_parameters") or config.get("rope_scaling") or {}
    return found


def _rope(config: Mapping[str, Any], said: Mapping[str, Any]) -> Rope:
    kind = said.get("rope_type", said.get("type", "default"))
    theta = float(said.get("rope_theta", config.get("rope_theta", 10000.0)))
    if float(said.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0))) != 1.0:
        raise ValueError("only a part of each head turns, which is not built")
    if kind == "default":
        return (("theta", theta),)
    if kind == "linear":
        return (("factor", float(said["factor"])), ("theta", theta))
    if kind == "llama3":
        return (*((ours, float(said[theirs])) for ours, theirs in LLAMA3_ROPE.items()), ("theta", theta))
    raise ValueError(f"rotary places of the kind '{str(kind)[:40]}' are not built")


def _want_activation(given: Any, wanted: str) -> None:
    if ACTIVATIONS.get(given) != wanted:
        raise ValueError(f"the activation {str(given)[:40]} is not built")
