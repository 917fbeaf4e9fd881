"""Writes a folder of generation_made.py as GGUF, in 8 or 4 bits: `generation_gguf.py FOLDER FILE 8|4`. Needs gguf.

The table of tokens, which is the last layer too, keeps 8 bits in both, as in ours.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gguf
import numpy as np

NAMED = {"attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down", "ln_1": "attn_norm", "ln_2": "ffn_norm"}  # fmt: skip
WHOLE = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"}


def main() -> None:
    folder, target, bits = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(target, "gpt2")
    writer.add_block_count(config["n_layer"])
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_feed_forward_length(4 * config["n_embd"])
    writer.add_head_count(config["n_head"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    tokens = [*model["vocab"], "<|endoftext|>"][: config["vocab_size"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * (len(tokens) - 1) + [gguf.TokenType.CONTROL])
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_bos_token_id(config["bos_token_id"])
    tensors = mapped(folder / "model.safetensors")
    kinds = {name: kind_of(name, array, bits) for name, array in tensors.items()}
    for name, array in tensors.items():
        shape = gguf.quants.quant_shape_to_byte_shape(turned(name, array).shape, kinds[name])
        size = int(np.prod(shape))
        writer.add_tensor_info(theirs(name), shape, np.dtype(np.uint8), size, raw_dtype=kinds[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, array in tensors.items():
        plain = np.ascontiguousarray(turned(name, array))
        writer.write_tensor_data(gguf.quants.quantize(plain, kinds[name]))
    writer.close()


def mapped(path: Path) -> dict[str, np.ndarray]:
    data = np.memmap(path, np.uint8, "r")
    size = int(data[:8].view(np.uint64)[0])
    header = json.loads(bytes(data[8 : 8 + size]))
    return {
        name: data[8 + size + entry["data_offsets"][0] : 8 + size + entry["data_offsets"][1]]
        .view(np.float32)
        .reshape(entry["shape"])
        for name, entry in header.items()
    }


def kind_of(name: str, array: np.ndarray, bits: int) -> gguf.GGMLQuantizationType:
    if array.ndim == 1 or name.startswith("wpe"):
        return gguf.GGMLQuantizationType.F32
    if bits == 8 or name.startswith("wte"):
        return gguf.GGMLQuantizationType.Q8_0
    return gguf.GGMLQuantizationType.Q4_0


def turned(name: str, array: np.ndarray) -> np.ndarray:
    """Matrices lie as (out, in) there; the tables do in both."""
    return array.T if array.ndim == 2 and name.startswith("h.") else array


def theirs(name: str) -> str:
    *parts, last = name.split(".")
    if parts[0] == "h":
        return f"blk.{parts[1]}.{NAMED['.'.join(parts[2:])]}.{last}"
    return f"{WHOLE[parts[0]]}.{last}"


if __name__ == "__main__":
    main()
