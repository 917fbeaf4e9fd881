"""What a GGUF file says of a model besides its numbers: sizes, tokenizer and names of tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from handrail.catalog.gguf_decoder import GPT2_ENDS, LLAMA_ENDS, PARTS
from handrail.catalog.gguf_tokenizer import CUTS
from handrail.core.errors import HandrailError, listed

# Hugging Face's word for an architecture → theirs.
KINDS: Final = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma3_text": "gemma3",
                "gpt2": "gpt2"}  # fmt: skip
NORMAL, CONTROL, DEFINED = 1, 3, 4


def kind_of(config: Mapping[str, Any]) -> str:
    """Their name of the architecture. Raises HandrailError ("data") for one that is not written."""
    kind = KINDS.get(str(config.get("model_type")))
    if kind is None:
        problem = f"models of the kind '{str(config.get('model_type'))[:40]}' are not written as GGUF"
        raise HandrailError("data", problem, f"written are {listed(KINDS)}; or --format safetensors")
    return kind


def their_name(name: str, kind: str) -> str:
    """Their name of a tensor that Hugging Face calls `name`."""
    if kind == "gpt2":
        bare, ends = name.removeprefix("transformer."), GPT2_ENDS
    else:
        bare, ends = name, LLAMA_ENDS
    for theirs, ours in ends.items():
        if ours == bare:
            return theirs
    parts = bare.removeprefix("model.layers.").removeprefix("h.")
    number, _, rest = parts.partition(".")
    owner, _, last = rest.rpartition(".")
    inverse = {ours: theirs for theirs, ours in PARTS[kind].items()}
    return f"blk.{number}.{inverse[owner]}.{last}"


def laid(array: np.ndarray, theirs: str, kind: str, heads: Mapping[str, int]) -> np.ndarray:
    """A tensor as they lay it (the inverse of how it is read)."""
    if kind == "gpt2" and array.ndim == 2 and theirs.startswith("blk."):
        return array.T
    if kind == "gemma3" and theirs.endswith("norm.weight"):
        return array + 1
    if kind == "llama" and (".attn_q." in theirs or ".attn_k." in theirs):
        count = heads["attn_q" if ".attn_q." in theirs else "attn_k"]
        return array.reshape(count, 2, -1, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)
    return array


def sizes_of(config: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The sizes of a model, under their keys."""
    if kind == "gpt2":
        found = {
            "context_length": config["n_positions"], "embedding_length": config["n_embd"],
            "feed_forward_length": config.get("n_inner") or 4 * config["n_embd"], "block_count": config["n_layer"],
            "attention.head_count": config["n_head"],
            "attention.layer_norm_epsilon": float(config.get("layer_norm_epsilon", 1e-5)),
        }  # fmt: skip
        return {f"{kind}.{key}": value for key, value in found.items()}
    heads = config["num_attention_heads"]
    head = config.get("head_dim") or config["hidden_size"] // heads
    found = {
        "context_length": config["max_position_embeddings"], "embedding_length": config["hidden_size"],
        "feed_forward_length": config["intermediate_size"], "block_count": config["num_hidden_layers"],
        "attention.head_count": heads, "attention.head_count_kv": config.get("num_key_value_heads") or heads,
        "attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]), "attention.key_length": head,
        "attention.value_length": head, "rope.dimension_count": head, "vocab_size": config["vocab_size"],
        **_rope(config, kind),
    }  # fmt: skip
    if kind == "gemma3":
        found["attention.sliding_window"] = config["sliding_window"]
    return {f"{kind}.{key}": value for key, value in found.items()}


def _rope(config: Mapping[str, Any], kind: str) -> dict[str, Any]:
    said = config.get("rope_parameters") or config.get("rope_scaling") or {}
    local: dict[str, Any] = {}
    if kind == "gemma3":
        local = {"rope.freq_base_swa": float((said.get("sliding_attention") or {}).get("rope_theta", 10000.0))}
        said = said.get("full_attention") or {}
    theta = float(said.get("rope_theta") or config.get("rope_theta") or (1e6 if kind == "gemma3" else 10000.0))
    style = said.get("rope_type", "default")
    if style == "linear":
        return {**local, "rope.freq_base": theta, "rope.scaling.type": "linear",
                "rope.scaling.factor": float(said["factor"])}  # fmt: skip
    if style != "default":
        problem = f"rotary places of the kind '{style}' are not written as GGUF"
        raise HandrailError("data", problem, "--format safetensors")
    return {**local, "rope.freq_base": theta}


def tokenizer_of(tokenizer_json: bytes, special: Mapping[str, Any], template: str | None) -> dict[str, Any]:
    """A tokenizer of joined bytes, under their keys. Raises HandrailError ("data") for one of another kind."""
    file = json.loads(tokenizer_json)
    model = file["model"]
    if not model.get("merges") or model.get("byte_fallback"):
        problem = "only tokenizers that join bytes (as GPT-2's) are written as GGUF"
        raise HandrailError("data", problem, "--format safetensors")
    added = {item["id"]: item for item in file.get("added_tokens") or []}
    names = {number: name for name, number in model["vocab"].items()} | {
        n: item["content"] for n, item in added.items()
    }
    size = max(names) + 1
    kinds = [_kind(added.get(number)) for number in range(size)]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    ends, begin = sorted(special.get("ends", ())), special.get("begin")
    found: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": _cut(file.get("pre_tokenizer")),
        "tokenizer.ggml.tokens": [names.get(number, f"<unused{number}>") for number in range(size)],
        "tokenizer.ggml.token_type": np.array(kinds, np.int32), "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.add_bos_token": bool(special.get("adds_begin")),
    }  # fmt: skip
    if ends:
        found["tokenizer.ggml.eos_token_id"] = _eos(special, added, ends)
    if begin is not None:
        found["tokenizer.ggml.bos_token_id"] = int(begin)
    return {**found, "tokenizer.chat_template": template} if template else found


def _eos(special: Mapping[str, Any], added: Mapping[int, Any], ends: list[int]) -> int:
    """The token that the model itself calls its end, where it has several."""
    name = (special.get("names") or {}).get("eos_token")
    return next((number for number, item in added.items() if item["content"] == name), int(ends[0]))


def _kind(item: Mapping[str, Any] | None) -> int:
    if item is None:
        return NORMAL
    return CONTROL if item.get("special") else DEFINED


def _cut(step: Mapping[str, Any] | None) -> str:
    """Their name for how text is cut before pairs are joined."""
    steps = (step or {}).get("pretokenizers") or [step or {}]
    kinds = [one.get("type") for one in steps]
    if kinds == ["ByteLevel"]:
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"]:
        return "smollm"
    if kinds == ["Split", "ByteLevel"]:
        pattern = steps[0]["pattern"].get("Regex")
        for name, known in CUTS.items():
            if known == pattern:
                return name
    raise HandrailError("data", "text is cut in a way that GGUF has no name for", "--format safetensors")
