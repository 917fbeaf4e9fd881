"""A fine-tuned model in formats that others read: a Hugging Face folder, a GGUF file, or its adapter alone."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from handrail.catalog.gguf_words import kind_of, laid, sizes_of, their_name, tokenizer_of
from handrail.catalog.gguf_writing import FILE_TYPES, Described, kind_for, write_gguf
from handrail.catalog.safetensors_writing import write_safetensors
from handrail.core.bundle import open_bundle, to_json
from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.events import Tell, quiet
from handrail.core.files import write_bytes, write_text
from handrail.finetuning.starts import Start, of_bundle
from handrail.finetuning.tuned import LORA_A, LORA_B
from handrail.store import Store

FORMATS: Final = ("safetensors", "gguf", "adapter")
CLASSES: Final = {
    "llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM", "gemma3_text": "Gemma3ForCausalLM", "gpt2": "GPT2LMHeadModel",
}  # fmt: skip


def export_weights(
    reference: str, kind: str, path: Path, *, bits: int = 16, home: Path | None = None, tell: Tell = quiet
) -> Path:
    """Writes a model that writes text as a folder ("safetensors", "adapter") or a file ("gguf", of 16 or 8 bits).

    Raises HandrailError that says what cannot be written, and what can.
    """
    if kind not in FORMATS:
        near = did_you_mean(kind, FORMATS).strip() or f"the formats: {listed(FORMATS)}"
        raise HandrailError("usage", f"unknown format '{kind[:40]}'", near, field="format")
    store = Store(home)
    start = of_bundle(open_bundle(store.find(reference)), store.home / "bases", tell)
    if kind == "gguf":
        _write_gguf(start, path, bits)
    elif kind == "adapter":
        _write_adapter(start, path)
    else:
        _write_folder(start, path)
    return path


def _write_folder(start: Start, folder: Path) -> None:
    """What transformers' from_pretrained opens; weights in float16."""
    model = str(start.config.get("model_type"))
    config = {**start.config, "architectures": [CLASSES.get(model, "")], "dtype": "float16",
              "eos_token_id": _one_or_all(start.special["ends"])}  # fmt: skip
    names = start.special.get("names", {})
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": config.get("max_position_embeddings"),
            "add_bos_token": bool(start.special.get("adds_begin")), **names}  # fmt: skip
    tensors = ((name, start.get(name).astype(np.float16)) for name in start.names)
    write_safetensors(folder / "model.safetensors", tensors)
    write_bytes(folder / "config.json", to_json(config))
    write_bytes(folder / "tokenizer.json", start.tokenizer_json)
    write_bytes(folder / "tokenizer_config.json", to_json(said))
    write_bytes(folder / "generation_config.json", to_json({"eos_token_id": _one_or_all(start.special["ends"])}))
    if start.chat_template:
        write_text(folder / "chat_template.jinja", start.chat_template)
    write_text(folder / "README.md", _card(start))


def _write_gguf(start: Start, path: Path, bits: int) -> None:
    if bits not in FILE_TYPES:
        raise HandrailError("usage", f"GGUF of {bits} bits is not written", "--bits 16 or --bits 8", field="bits")
    kind = kind_of(start.config)
    key_heads = start.config.get("num_key_value_heads") or start.config.get("num_attention_heads") or 0
    heads = {"attn_q": start.config.get("num_attention_heads") or 0, "attn_k": key_heads}
    metadata = {
        "general.architecture": kind, "general.name": start.name, "general.file_type": FILE_TYPES[bits],
        "general.quantization_version": 2, **({"general.license": start.licence} if start.licence else {}),
        **sizes_of(start.config, kind), **tokenizer_of(start.tokenizer_json, start.special, start.chat_template),
    }  # fmt: skip
    write_gguf(path, metadata, [_described(start, name, kind, heads, bits) for name in start.names])


def _described(start: Start, name: str, kind: str, heads: dict[str, int], bits: int) -> Described:
    theirs = their_name(name, kind)
    numbers = partial(_laid, start, name, theirs, kind, heads)
    shape = numbers().shape
    return Described(theirs, shape, kind_for(shape, bits), numbers)


def _laid(start: Start, name: str, theirs: str, kind: str, heads: dict[str, int]) -> np.ndarray:
    return laid(start.get(name), theirs, kind, heads)


def _write_adapter(start: Start, folder: Path) -> None:
    """What peft's from_pretrained opens beside the base."""
    owners = [name.removesuffix(LORA_A) for name in start.tuned if name.endswith(LORA_A)]
    if len(owners) * 2 != len(start.tuned) or not owners:
        problem = "its own numbers were trained, not small matrices beside them, so there is no adapter"
        raise HandrailError("usage", problem, "--format safetensors; or train with --method lora", field="format")
    turned = start.config.get("model_type") == "gpt2"
    tensors: dict[str, np.ndarray] = {}
    for owner in owners:
        first, second = start.tuned[owner + LORA_A], start.tuned[owner + LORA_B]
        pair = (second.T, first.T) if turned else (first, second)
        bare = owner.removesuffix(".weight")
        for letter, matrix in zip("AB", pair, strict=True):
            tensors[f"base_model.model.{bare}.lora_{letter}.weight"] = matrix.astype(np.float32)
    rank = max(matrix.shape[0] for name, matrix in tensors.items() if ".lora_A." in name)
    tensors = {name: _of_rank(rank, name, matrix) for name, matrix in tensors.items()}
    modules = sorted({owner.removesuffix(".weight").rpartition(".")[2] for owner in owners})
    config: dict[str, Any] = {  # what it is scaled by is in its numbers, so alpha is the rank
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": rank, "lora_dropout": 0.0,
        "bias": "none", "fan_in_fan_out": turned, "target_modules": modules, "inference_mode": True,
        "base_model_name_or_path": start.reference, "use_rslora": False,
        "layers_to_transform": sorted({_number(owner) for owner in owners}),
    }  # fmt: skip
    write_safetensors(folder / "adapter_model.safetensors", sorted(tensors.items()))
    write_text(folder / "adapter_config.json", json.dumps(config, indent=1))
    write_text(folder / "README.md", _card(start))


def _of_rank(rank: int, name: str, matrix: np.ndarray) -> np.ndarray:
    """Filled up with zeros: a model that was gone on with may have learnt more often in some blocks than in others."""
    side = 0 if ".lora_A." in name else 1
    room = [(0, rank - size if axis == side else 0) for axis, size in enumerate(matrix.shape)]
    return np.pad(matrix, room)


def _number(owner: str) -> int:
    """The number of the block that a tensor belongs to."""
    return next(int(part) for part in owner.split(".") if part.isdigit())


def _one_or_all(numbers: list[int]) -> int | list[int]:
    return numbers[0] if len(numbers) == 1 else list(numbers)


def _card(start: Start) -> str:
    about = start.about
    made = (
        f"Fine-tuned from {about.get('name')} ({about.get('source')})."
        if about.get("name")
        else "Trained from scratch."
    )
    licence = f"\n\nThe base's licence: {start.licence}." if start.licence else ""
    return f"# {start.name}\n\n{made} Made with Handrail.{licence}\n"
