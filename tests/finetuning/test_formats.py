"""A fine-tuned model in the formats of others, read by their own libraries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import peft
import pytest
import torch
import transformers

import handrail
from handrail.catalog.decoders import decoder_base
from handrail.core.bundle import open_bundle
from handrail.core.errors import HandrailError
from handrail.encode.tokens import tokenizer_from
from handrail.finetuning import plan
from handrail.finetuning.formats import export_weights
from handrail.finetuning.starts import Start, of_bundle
from handrail.store import Store
from tests.finetuning.conftest import made_base, story

TOKENS = torch.arange(5, 40).reshape(1, -1)


def taught(text: Path, base: Path, **options: object) -> Start:
    handrail.finetune(text, **{"base": str(base), "name": "taught", "steps": 4, "samples": 0, **options})  # type: ignore[arg-type]
    store = Store()
    return of_bundle(open_bundle(store.find("taught")), store.home / "bases", lambda _: None)


def tensors_of(start: Start) -> dict[str, np.ndarray]:
    return {name: start.get(name) for name in start.names}


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3", "gemma3_text"])
def test_a_folder_is_what_transformers_opens(family: str, text: Path, tmp_path: Path, home: Path) -> None:
    start = taught(text, made_base(tmp_path / family, family))
    folder = export_weights("taught", "safetensors", tmp_path / "out")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    wanted = tensors_of(start)
    for name, parameter in model.named_parameters():
        assert np.allclose(parameter.detach().numpy(), wanted[name], atol=2e-3)
    assert "made with handrail" in (folder / "README.md").read_text(encoding="utf-8").casefold()


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # what peft asks of transformers
@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3", "gemma3_text"])
@pytest.mark.parametrize("goes_on", [False, True])
def test_an_adapter_is_what_peft_opens(
    family: str, goes_on: bool, text: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = made_base(tmp_path / family, family)
    start = taught(text, made)
    if goes_on:  # first in the last blocks only, since the text is little, and then in all of them
        monkeypatch.setattr(plan, "SMALL_TOKENS", 0)
        start = taught(text, Path("taught"))
        assert len({array.shape for name, array in start.tuned.items() if "q_proj" in name or "c_attn" in name}) > 2
    folder = export_weights("taught", "adapter", tmp_path / "out")
    base = transformers.AutoModelForCausalLM.from_pretrained(made, dtype=torch.float32)
    found = dict(peft.PeftModel.from_pretrained(base, folder).merge_and_unload().named_parameters())
    for name, array in tensors_of(start).items():
        assert np.allclose(found[name].detach().numpy(), array, atol=1e-5)


def test_whole_blocks_have_no_adapter(text: Path, tiny_base: Path, tmp_path: Path, home: Path) -> None:
    taught(text, tiny_base, method="blocks")
    with pytest.raises(HandrailError, match="there is no adapter"):
        export_weights("taught", "adapter", tmp_path / "out")


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3", "gemma3_text"])
@pytest.mark.parametrize(("bits", "apart"), [(16, 1e-3), (8, 6e-3)])
def test_a_gguf_file_is_read_back_as_it_was(
    family: str, bits: int, apart: float, text: Path, tmp_path: Path, home: Path
) -> None:
    start = taught(text, made_base(tmp_path / family, family))
    path = export_weights("taught", "gguf", tmp_path / "out.gguf", bits=bits)
    read = decoder_base(str(path), tmp_path, lambda _: None)
    bare = {name.removeprefix("transformer."): array for name, array in tensors_of(start).items()}
    assert set(read.names) == set(bare)
    for name, array in bare.items():
        assert np.allclose(read.get(name), array, atol=apart * max(1.0, float(np.abs(array).max()) * 3))
    line = story(1)
    again, before = (tokenizer_from(one.tokenizer_json, one.special).encode(line) for one in (read, start))
    assert again == before
    for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "n_embd", "n_layer", "head_dim"):
        if key in start.config:
            assert read.config[key] == start.config[key]


def test_characters_are_no_gguf_and_what_is_it_is_said(text: Path, tmp_path: Path, home: Path) -> None:
    handrail.finetune(text, from_scratch=True, characters=True, name="letters", steps=2, samples=0)
    with pytest.raises(HandrailError, match="only tokenizers that join bytes") as caught:
        export_weights("letters", "gguf", tmp_path / "out.gguf")
    assert "safetensors" in caught.value.mend


def test_unknown_formats_and_bits_are_named(text: Path, tiny_base: Path, tmp_path: Path, home: Path) -> None:
    taught(text, tiny_base)
    with pytest.raises(HandrailError, match="unknown format 'ggfu'") as caught:
        export_weights("taught", "ggfu", tmp_path / "out")
    assert "gguf" in caught.value.mend
    with pytest.raises(HandrailError, match="GGUF of 3 bits"):
        export_weights("taught", "gguf", tmp_path / "out.gguf", bits=3)
