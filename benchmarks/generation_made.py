"""Weights of the GPT-2 architecture made of random numbers, the same for every runtime: only speed and memory are real."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
VOCABULARY, CONTEXT = 50_257, 1_024
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SPACE = "Ġ"  # how the byte-level vocabulary of GPT-2 writes a space


@dataclass(frozen=True)
class Size:
    """What a GPT-2 of one size looks like."""

    name: str
    layers: int
    width: int
    heads: int


SIZES = {"124m": Size("GPT-2 124M", 12, 768, 12), "xl": Size("GPT-2 XL 1.5B", 48, 1_600, 25)}
SIZES["tiny"] = Size("a GPT-2 of two layers", 2, 64, 2)  # to try the benchmark itself


@dataclass(frozen=True)
class Weights:
    """Where each runtime finds the same numbers; `llama` by bits, empty where gguf or its environment is not there."""

    size: Size
    folder: Path  # config.json, model.safetensors, tokenizer.json
    llama: dict[int, Path]


def made(home: Path, name: str, llama: Path | None, bits: tuple[int, ...]) -> Weights:
    """The weights under `home`; what is there from an earlier run is taken as it is."""
    size, folder = SIZES[name], home / name
    if not (folder / "tokenizer.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config(size)))
        write_safetensors(folder / "model.safetensors", sizes(size))
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer()))
    found = {}
    for number in bits if llama else ():
        path = home / f"{name}-q{number}_0.gguf"
        if not path.exists():
            draft = path.with_suffix(".draft")
            script = str(HERE / "peers/generation_gguf.py")
            subprocess.run([str(llama), script, str(folder), str(draft), str(number)], check=True)
            draft.rename(path)
        found[number] = path
    return Weights(size, folder, found)


def config(size: Size) -> dict[str, object]:
    return {
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "gelu_new",
        "vocab_size": VOCABULARY, "n_positions": CONTEXT, "n_ctx": CONTEXT, "n_embd": size.width,
        "n_layer": size.layers, "n_head": size.heads, "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True,
        "bos_token_id": VOCABULARY - 1, "eos_token_id": VOCABULARY - 1, "attn_pdrop": 0.0, "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
    }  # fmt: skip


def sizes(size: Size) -> dict[str, tuple[int, ...]]:
    """Hugging Face's names for the tensors of a GPT-2; matrices lie as (in, out)."""
    wide = size.width
    found: dict[str, tuple[int, ...]] = {"wte.weight": (VOCABULARY, wide), "wpe.weight": (CONTEXT, wide)}
    for layer in range(size.layers):
        parts = {"attn.c_attn": (wide, 3 * wide), "attn.c_proj": (wide, wide), "mlp.c_fc": (wide, 4 * wide), "mlp.c_proj": (4 * wide, wide)}  # fmt: skip
        for name, shape in parts.items():
            found[f"h.{layer}.{name}.weight"], found[f"h.{layer}.{name}.bias"] = shape, shape[1:]
        for name in ("ln_1", "ln_2"):
            found[f"h.{layer}.{name}.weight"] = found[f"h.{layer}.{name}.bias"] = (wide,)
    found["ln_f.weight"] = found["ln_f.bias"] = (wide,)
    return found


def write_safetensors(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    header, place, random = {}, 0, np.random.default_rng(5)
    for name, shape in shapes.items():
        after = place + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [place, after]}
        place = after
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 64)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for name, shape in shapes.items():
            file.write(drawn(name, shape, random))


def drawn(name: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """As GPT-2 begins: norms pass on what they get, the rest is small."""
    if len(shape) == 1:
        return np.full(shape, name.endswith("weight"), np.float32)
    return random.standard_normal(shape, dtype=np.float32) * np.float32(0.02)


def tokenizer() -> dict[str, object]:
    """A byte-level BPE with as many entries as GPT-2's, of invented words."""
    pieces, merges = vocabulary()
    end = {"id": VOCABULARY - 1, "content": "<|endoftext|>", "special": True}
    rest = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    bytewise = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [{**end, **rest}],
        "normalizer": None, "pre_tokenizer": bytewise, "post_processor": None, "decoder": bytewise,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {piece: number for number, piece in enumerate(pieces)},
                  "merges": [list(pair) for pair in merges]},
    }  # fmt: skip


def vocabulary() -> tuple[list[str], list[tuple[str, str]]]:
    """Pieces and the merges that make them: bytes, invented words of letters, and the end of a text."""
    pieces, merges = list(byte_signs()), []
    random = np.random.default_rng(7)
    words, seen = [*LETTERS, SPACE], set(pieces)
    while len(merges) < VOCABULARY - 1 - 256:
        left, right = words[random.integers(len(words))], LETTERS[random.integers(26)]
        if left + right not in seen and len(left) < 8:
            merges.append((left, right))
            seen.add(left + right)
            words.append(left + right)
    return [*pieces, *(left + right for left, right in merges), "<|endoftext|>"], merges


def byte_signs() -> Iterator[str]:
    """The 256 signs that stand for bytes in GPT-2's vocabulary: printable ones for themselves, others from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    yield from map(chr, printable)
    yield from (chr(256 + number) for number in range(256 - len(printable)))


def prompts(lengths: list[int], seed: int = 3) -> list[list[int]]:
    """Token numbers, of words only: no end of text among them."""
    random = np.random.default_rng(seed)
    return [random.integers(1_000, VOCABULARY - 1, size=length).tolist() for length in lengths]


def read_bytes(weights: Path, size: Size) -> int:
    """What one token has to read at least: a file of weights but for the table of places, of which it reads one row."""
    return weights.stat().st_size - 4 * CONTEXT * size.width
