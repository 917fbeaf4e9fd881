"""Writes what tests expect of decoders and of GGUF blocks, from the libraries that define them.

Needs torch, transformers and gguf, which the tests do not: python dev/decoder_fixtures.py
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.runtimes.decoder.made import TOKENS, drawn  # noqa: E402

SIZES = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 128}  # fmt: skip
STRETCHED = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
             "high_freq_factor": 4.0, "original_max_position_embeddings": 32}  # fmt: skip
GEMMA_ROPES = {"sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
               "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0}}  # fmt: skip
CONFIGS = {
    "gpt2": transformers.GPT2Config(vocab_size=64, n_embd=64, n_layer=2, n_head=4, n_positions=128),
    "llama": transformers.LlamaConfig(**SIZES),
    "llama3": transformers.LlamaConfig(**SIZES, tie_word_embeddings=True, rope_parameters=STRETCHED),
    "mistral": transformers.MistralConfig(**SIZES, sliding_window=16),
    "qwen2": transformers.Qwen2Config(**SIZES, tie_word_embeddings=True),
    "qwen3": transformers.Qwen3Config(**SIZES, head_dim=32),
    "gemma3": transformers.Gemma3TextConfig(
        **SIZES, head_dim=32, sliding_window=16, query_pre_attn_scalar=24,
        layer_types=["sliding_attention", "full_attention"], rope_parameters=GEMMA_ROPES,
    ),
}  # fmt: skip
BLOCKS = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")


def main() -> None:
    folder = ROOT / "tests" / "runtimes" / "decoder" / "expected"
    for name, config in CONFIGS.items():
        (folder / f"{name}.json").write_text(json.dumps(_logits(config), indent=None) + "\n")
    blocks = {name: _block(getattr(gguf.GGMLQuantizationType, name)) for name in BLOCKS}
    (ROOT / "tests" / "catalog" / "gguf_blocks.json").write_text(json.dumps(blocks, indent=1) + "\n")


def _logits(config: transformers.PreTrainedConfig) -> dict[str, object]:
    """The model's config, the shapes of its tensors, and its logits for some tokens, weights drawn as in the tests."""
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    own = {name: list(value.shape) for name, value in model.named_parameters()}
    weights = drawn(own, config.model_type)
    model.load_state_dict({name: torch.tensor(array) for name, array in weights.items()}, strict=False)
    with torch.no_grad():
        logits = model(torch.tensor([TOKENS])).logits[0].numpy()
    kept = {place: [round(float(number), 6) for number in logits[place]] for place in (0, 17, 39, 40, len(TOKENS) - 1)}
    return {"config": json.loads(config.to_json_string()), "shapes": own, "logits": kept}


def _block(kind: gguf.GGMLQuantizationType) -> dict[str, str]:
    """Some blocks drawn at random, finite, and the numbers in them."""
    size = gguf.GGML_QUANT_SIZES[kind][1]
    for seed in range(10_000):
        content = np.random.RandomState(seed).randint(0, 256, (1, 2 * size), dtype=np.uint8)
        numbers = gguf.quants.dequantize(content, kind).astype(np.float32)
        if np.isfinite(numbers).all() and np.abs(numbers).max() < 1e6:
            break
    texts = (base64.b64encode(array.tobytes()).decode() for array in (content, numbers))
    return dict(zip(("blocks", "numbers"), texts, strict=True))


if __name__ == "__main__":
    main()
