"""A base so small that it trains in a second, text of our own, and what builds both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from handrail.catalog.safetensors_writing import write_safetensors
from handrail.finetuning.documents import Document
from handrail.finetuning.network import new_network
from handrail.finetuning.scratch import new_start

PLACES = ("the mill", "the harbour", "the upper village", "the ferry", "the old bridge")
PEOPLE = ("Anna", "the miller", "old Tom", "the ferryman", "my sister")
ACTS = ("sold three sacks of rye", "counted the boats", "mended a net", "waited for the rain", "lost a silver button")

CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {
        "model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    },
    "gpt2": {"model_type": "gpt2", "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 128},
    "qwen3": {
        "model_type": "qwen3", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
    },
    "gemma3_text": {
        "model_type": "gemma3_text", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 128,
        "sliding_window": 16, "rms_norm_eps": 1e-6,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    },
}  # fmt: skip


def story(sentences: int, seed: int = 0) -> str:
    """Plain sentences, some to a paragraph, always the same for a seed."""
    draw = np.random.default_rng(seed)
    lines = []
    for number in range(sentences):
        person, act, place = (draw.choice(words) for words in (PEOPLE, ACTS, PLACES))
        lines.append(f"On day {draw.integers(1, 400)} {person} {act} near {place}.")
        if number % 6 == 5:
            lines.append("")
    return "\n".join(lines) + "\n"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small are slower with several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder with a Llama of 40,000 random numbers and a tokenizer of some hundred pieces."""
    folder = tmp_path_factory.mktemp("bases") / "tiny"
    return made_base(folder, "llama")


def made_base(folder: Path, family: str) -> Path:
    start = new_start([Document(story(400, seed=9))], characters=False)
    size = start.config["vocab_size"]
    end = start.special["begin"]
    config = {**CONFIGS[family], "vocab_size": size, "bos_token_id": end, "eos_token_id": end}
    network = new_network(config, 0)
    folder.mkdir(parents=True)
    tensors = {name: one.detach().numpy() for name, one in network.model.named_parameters()}
    write_safetensors(folder / "model.safetensors", tensors.items())
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "tokenizer.json").write_bytes(start.tokenizer_json)
    said = {"eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>", "add_bos_token": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(said), encoding="utf-8")
    return folder


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "story.txt"
    path.write_text(story(300), encoding="utf-8")
    return path
