"""Small language models with random weights, made in the test that needs one; they write nonsense, and quickly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from handrail.core.bundle import Manifest, write_bundle
from handrail.tasks.generation.export import generation_files
from tests.encode.tokenizers_made import MARKS, byte_level

END = MARKS.index("<|im_end|>")
SPECIAL: dict[str, Any] = {
    "begin": None,
    "adds_begin": False,
    "ends": [0, END],
    "names": {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"},
}
TEMPLATE = """\
{%- for message in messages %}
{{- '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ '<|im_end|>\\n' }}
{%- endfor %}
{%- if tools %}{{ '<tools>' ~ tools|tojson ~ '</tools>\\n' }}{% endif %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "hidden_act": "silu",
}


def llama_tensors(config: dict[str, Any] = CONFIG, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights by Hugging Face's names; large enough that some tokens are much likelier than others."""
    random = np.random.default_rng(seed)
    width, inner = config["hidden_size"], config["intermediate_size"]
    heads = width // config["num_attention_heads"] * config["num_key_value_heads"]
    sizes = {"model.embed_tokens.weight": (config["vocab_size"], width)}
    for layer in range(config["num_hidden_layers"]):
        name = f"model.layers.{layer}"
        sizes |= {
            f"{name}.self_attn.q_proj.weight": (width, width),
            f"{name}.self_attn.k_proj.weight": (heads, width),
            f"{name}.self_attn.v_proj.weight": (heads, width),
            f"{name}.self_attn.o_proj.weight": (width, width),
            f"{name}.mlp.gate_proj.weight": (inner, width),
            f"{name}.mlp.up_proj.weight": (inner, width),
            f"{name}.mlp.down_proj.weight": (width, inner),
        }
    tensors = {name: random.standard_normal(size, dtype=np.float32) * 0.3 for name, size in sizes.items()}
    norms = [f"model.layers.{layer}.{part}_layernorm.weight" for layer in range(config["num_hidden_layers"])
             for part in ("input", "post_attention")]  # fmt: skip
    return tensors | {name: np.ones(width, np.float32) for name in [*norms, "model.norm.weight"]}


def generation_bundle(
    folder: Path, *, name: str = "tiny", template: str | None = TEMPLATE, bits: int = 8, seed: int = 0,
    window: int | None = None, defaults: dict[str, Any] | None = None, plan: dict[str, Any] | None = None,
) -> Path:  # fmt: skip
    """A bundle with the task "generation" in a folder that is made for it; `template` None: it cannot chat."""
    tensors = llama_tensors(seed=seed)
    exported = generation_files(
        folder, CONFIG, tensors.__getitem__, tensors, tokenizer_json=byte_level(), special=SPECIAL,
        chat_template=template, bits=bits, window=window, defaults=defaults,
    )  # fmt: skip
    manifest = Manifest(
        name=name, task="generation", signature=exported.signature, encode=exported.encode,
        base={"name": name, "what": "random weights", "licence": "none"}, data={"source": "random", "trivial": []},
        plan=plan or {},
    )  # fmt: skip
    write_bundle(folder, manifest, {**exported.files, "report.json": b"{}\n"}, exported.placed)
    return folder
