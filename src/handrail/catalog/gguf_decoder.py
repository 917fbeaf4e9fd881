"""A language model from a GGUF file, said as a Hugging Face folder would: config.json, its names, its tokenizer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from handrail.catalog.gguf import Gguf, read_gguf
from handrail.catalog.gguf_tokenizer import tokenizer_json
from handrail.core.errors import HandrailError, listed

# Their names of parts of a layer → Hugging Face's, by architecture.
LLAMA: Final = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
HEAD_NORMS: Final = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
GEMMA: Final = {
    **LLAMA,
    **HEAD_NORMS,
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
GPT2: Final = {
    "attn_norm": "ln_1",
    "attn_qkv": "attn.c_attn",
    "attn_output": "attn.c_proj",
    "ffn_norm": "ln_2",
    "ffn_up": "mlp.c_fc",
    "ffn_down": "mlp.c_proj",
}
PARTS: Final = {"llama": LLAMA, "qwen2": LLAMA, "qwen3": {**LLAMA, **HEAD_NORMS}, "gemma3": GEMMA, "gpt2": GPT2}
LLAMA_ENDS: Final = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
GPT2_ENDS: Final = {
    "token_embd.weight": "wte.weight",
    "position_embd.weight": "wpe.weight",
    "output_norm.weight": "ln_f.weight",
    "output_norm.bias": "ln_f.bias",
    "output.weight": "lm_head.weight",
}
PART: Final = re.compile(r"blk\.(\d{1,4})\.([a-z_]+)\.(weight|bias)")
ROPE_FACTORS: Final = "rope_freqs.weight"
# What Llama 3 stretches its slow waves by is kept in files as the result alone; these are the numbers behind it.
LLAMA3_ROPE: Final = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


@dataclass(frozen=True)
class GgufDecoder:
    """`get` gives a tensor of `names` as float32; names, config and tokenizer are what Hugging Face's would be."""

    config: dict[str, Any]
    names: tuple[str, ...]
    get: Callable[[str], np.ndarray]
    tokenizer_json: bytes
    chat_template: str | None
    title: str
    licence: str


def gguf_decoder(path: Path) -> GgufDecoder:
    """The model in a GGUF file. Raises HandrailError ("data") where it is damaged or of a kind that is not read."""
    gguf = read_gguf(path)
    try:
        kind = str(gguf.metadata["general.architecture"])
        if kind not in PARTS:
            raise ValueError(f"the architecture '{kind[:40]}' is not read; read are {listed(PARTS)}")
        return _decoder(gguf, kind)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, IndexError) as error:
        said = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        mend = "give a GGUF of the Llama, Qwen2, Qwen3, GPT-2 or Gemma 3 family, or its Hugging Face folder"
        raise HandrailError("data", f"this model cannot be taken: {said[:300]}", mend, where=str(path)) from error


def _decoder(gguf: Gguf, kind: str) -> GgufDecoder:
    said = gguf.metadata
    sources = _names(gguf, kind)
    config = _config(gguf, kind)
    opened = tokenizer_json(said)
    config |= {f"{name}_token_id": found for name, found in opened.ends.items()}
    template = said.get("tokenizer.chat_template")
    return GgufDecoder(
        config, tuple(sources), partial(_tensor, gguf, kind, config, sources), opened.content,
        template if isinstance(template, str) else None,
        str(said.get("general.name", gguf.path.stem))[:100], str(said.get("general.license", "not said"))[:100],
    )  # fmt: skip


def _names(gguf: Gguf, kind: str) -> dict[str, str]:
    """Hugging Face's names → theirs."""
    ends, layer = (GPT2_ENDS, "h") if kind == "gpt2" else (LLAMA_ENDS, "model.layers")
    found: dict[str, str] = {}
    for name in gguf.tensors:
        part = PART.fullmatch(name)
        if name in ends:
            ours = ends[name]
        elif part and part[2] in PARTS[kind]:
            ours = f"{layer}.{int(part[1])}.{PARTS[kind][part[2]]}.{part[3]}"
        elif name == ROPE_FACTORS:
            continue
        else:
            raise ValueError(f"it has a tensor that is not known: {name[:80]}")
        if ours in found:
            raise ValueError(f"it has a tensor twice: {name[:80]} and {found[ours][:80]}")
        found[ours] = name
    return found


def _tensor(gguf: Gguf, kind: str, config: Mapping[str, Any], sources: Mapping[str, str], name: str) -> np.ndarray:
    theirs = sources[name]
    found = gguf.read(theirs)
    if kind == "gpt2" and found.ndim == 2 and theirs.startswith("blk."):
        return found.T
    if kind == "gemma3" and theirs.endswith("norm.weight"):
        return found - 1  # Their norms have the 1 in them.
    if kind == "llama" and ".attn_q." in theirs:
        return _paired(found, config["num_attention_heads"])
    if kind == "llama" and ".attn_k." in theirs:
        return _paired(found, config["num_key_value_heads"])
    return found


def _paired(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rotary places turn neighbouring rows of a head here, and rows half a head apart at Hugging Face."""
    return weight.reshape(heads, -1, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def _config(gguf: Gguf, kind: str) -> dict[str, Any]:
    vocabulary, width = gguf.tensors["token_embd.weight"].shape
    said = {key.removeprefix(f"{kind}."): value for key, value in gguf.metadata.items() if key.startswith(f"{kind}.")}
    shared = {"vocab_size": vocabulary, "tie_word_embeddings": "output.weight" not in gguf.tensors}
    if kind == "gpt2":
        return {
            **shared, "model_type": "gpt2", "n_embd": width, "n_layer": said["block_count"],
            "n_head": said["attention.head_count"], "n_inner": said["feed_forward_length"],
            "n_positions": said["context_length"], "layer_norm_epsilon": said["attention.layer_norm_epsilon"],
        }  # fmt: skip
    heads = said["attention.head_count"]
    sizes = {
        "model_type": "gemma3_text" if kind == "gemma3" else kind, "hidden_size": width,
        "num_hidden_layers": said["block_count"], "num_attention_heads": heads,
        "num_key_value_heads": said.get("attention.head_count_kv") or heads,
        "head_dim": said.get("attention.key_length", width // heads),
        "intermediate_size": said["feed_forward_length"], "max_position_embeddings": said["context_length"],
        "rms_norm_eps": said["attention.layer_norm_rms_epsilon"],
    }  # fmt: skip
    return {**shared, **sizes, **(_gemma(said, sizes) if kind == "gemma3" else {"rope_parameters": _rope(gguf, said)})}


def _rope(gguf: Gguf, said: Mapping[str, Any]) -> dict[str, Any]:
    theta = said.get("rope.freq_base", 10000.0)
    kind = said.get("rope.scaling.type", "none")
    if ROPE_FACTORS in gguf.tensors:
        return {"rope_type": "llama3", "rope_theta": theta, **_llama3(gguf.read(ROPE_FACTORS), theta)}
    if kind == "linear":
        return {"rope_type": "linear", "rope_theta": theta, "factor": said["rope.scaling.factor"]}
    if kind != "none":
        raise ValueError(f"rotary places of the kind '{str(kind)[:40]}' are not read")
    return {"rope_type": "default", "rope_theta": theta}


def _llama3(factors: np.ndarray, theta: float) -> dict[str, Any]:
    """The settings behind a table of factors, checked by making the table again."""
    factor = float(factors.max())
    low, high, original = LLAMA3_ROPE.values()
    speed = theta ** -(np.arange(len(factors)) / len(factors))
    kept = np.clip((original * speed / (2 * np.pi) - low) / (high - low), 0, 1)
    if not np.allclose(1 / (kept + (1 - kept) / factor), factors, rtol=1e-3):
        raise ValueError("its rotary places are stretched in a way that is not known")
    return {"factor": factor, **LLAMA3_ROPE}


def _gemma(said: Mapping[str, Any], sizes: Mapping[str, Any]) -> dict[str, Any]:
    theta, scaling = said.get("rope.freq_base", 1000000.0), said.get("rope.scaling.factor")
    full = {"rope_type": "linear", "factor": scaling} if scaling else {"rope_type": "default"}
    largest = sizes["num_hidden_layers"] == 62  # The 27B model divides by its width over its heads.
    return {
        "sliding_window": said["attention.sliding_window"],
        "sliding_window_pattern": 6,
        "query_pre_attn_scalar": sizes["hidden_size"] // sizes["num_attention_heads"] if largest else sizes["head_dim"],
        "rope_parameters": {
            "full_attention": {**full, "rope_theta": theta},
            "sliding_attention": {"rope_type": "default", "rope_theta": said.get("rope.freq_base_swa", 10000.0)},
        },
    }
