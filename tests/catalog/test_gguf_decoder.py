"""A model comes out of a GGUF file as it would out of its Hugging Face folder."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers

from handrail.catalog.gguf_decoder import PARTS, GgufDecoder, gguf_decoder
from handrail.core.errors import HandrailError
from handrail.runtimes.decoder import open_decoder, packed, shape_of
from tests.catalog.test_gguf import described, pair, text, whole
from tests.runtimes.decoder.made import TOKENS, expected

KINDS = {"llama": "llama", "llama3": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma3": "gemma3", "gpt2": "gpt2"}
ENDS = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "transformer.wte": "token_embd", "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm",
}  # fmt: skip
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
BY_BYTES = ["<|end|>", "<|user|>", "Ġ", *LETTERS, "Ġt", "he", "Ġthe", "ca", "cat", "Ġcat", ".", "!", "?"]


def value(key: str, item: Any) -> bytes:
    if isinstance(item, str):
        return pair(key, 8, text(item))
    if isinstance(item, bool):
        return pair(key, 7, bytes([item]))
    if isinstance(item, int):
        return pair(key, 4, struct.pack("<I", item))
    if isinstance(item, float):
        return pair(key, 6, struct.pack("<f", item))
    kind, rows = (8, b"".join(map(text, item))) if isinstance(item[0], str) else (5, np.array(item, "<i4").tobytes())
    if isinstance(item[0], float):
        kind, rows = 6, np.array(item, "<f4").tobytes()
    return pair(key, 9, struct.pack("<IQ", kind, len(item)) + rows)


def file_of(pairs: dict[str, Any], tensors: dict[str, np.ndarray]) -> bytes:
    heads, data = [], b""
    for name, array in tensors.items():
        heads.append(described(name, list(reversed(array.shape)), 0, len(data)))
        data += array.astype("<f4").tobytes()
        data = data.ljust(-(-len(data) // 32) * 32, b"\0")
    return whole([value(key, item) for key, item in pairs.items()], heads, data)


def tokens_said() -> dict[str, Any]:
    return {
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm", "tokenizer.ggml.tokens": BY_BYTES,
        "tokenizer.ggml.token_type": [3, 3] + [1] * (len(BY_BYTES) - 2),
        "tokenizer.ggml.merges": ["Ġ t", "h e", "Ġt he", "c a", "ca t", "Ġ cat"],
        "tokenizer.ggml.eos_token_id": 0, "tokenizer.chat_template": "{{ messages }}",
    }  # fmt: skip


def their_name(kind: str, name: str) -> str:
    stem, _, end = name.rpartition(".")
    if stem in ENDS:
        return f"{ENDS[stem]}.{end}"
    number, _, part = stem.replace("model.layers.", "").replace("transformer.h.", "").partition(".")
    theirs = next(key for key, ours in PARTS[kind].items() if ours == part)
    return f"blk.{number}.{theirs}.{end}"


def turned(kind: str, theirs: str, array: np.ndarray, config: dict[str, Any]) -> np.ndarray:
    if kind == "llama" and (".attn_q." in theirs or ".attn_k." in theirs):
        heads = config["num_attention_heads" if "_q." in theirs else "num_key_value_heads"]
        return array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
    if kind == "gpt2" and array.ndim == 2 and theirs.startswith("blk"):
        return array.T
    return array + 1 if kind == "gemma3" and theirs.endswith("norm.weight") else array


def converted(family: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A small model as the converter of the format would write it."""
    kind, (config, weights, _) = KINDS[family], expected(family)
    tensors = {}
    for name, array in weights.items():
        theirs = their_name(kind, name)
        tensors[theirs] = turned(kind, theirs, array, config)
    sizes = ("n_layer", "n_embd", "n_head", "n_head") if kind == "gpt2" else (
        "num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads")  # fmt: skip
    layers, width, heads, key_heads = (config[name] for name in sizes)
    said: dict[str, Any] = {
        "general.architecture": kind, "general.name": "Small", "general.license": "cc0-1.0",
        f"{kind}.block_count": layers, f"{kind}.embedding_length": width, f"{kind}.attention.head_count": heads,
        f"{kind}.attention.head_count_kv": key_heads, f"{kind}.context_length": 128,
        f"{kind}.feed_forward_length": config.get("intermediate_size", 4 * width),
        f"{kind}.attention.layer_norm_epsilon": 1e-5, f"{kind}.attention.layer_norm_rms_epsilon": 1e-6,
    }  # fmt: skip
    if config.get("head_dim"):
        said[f"{kind}.attention.key_length"] = config["head_dim"]
    if family == "llama3":
        said["llama.rope.freq_base"] = 500000.0
    if kind == "gemma3":
        said |= {"gemma3.attention.sliding_window": 16, "gemma3.rope.freq_base": 1000000.0}
    return {**said, **tokens_said()}, tensors


def opened(folder: Path, pairs: dict[str, Any], tensors: dict[str, np.ndarray]) -> GgufDecoder:
    path = folder / "small.gguf"
    path.write_bytes(file_of(pairs, tensors))
    return gguf_decoder(path)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gpt2"])
def test_logits_are_those_of_transformers(tmp_path: Path, family: str) -> None:
    found = opened(tmp_path, *converted(family))
    shape = shape_of(found.config, family)

    decoder = open_decoder(shape, dict(packed(found.config, found.get, found.names, 32)), window=64)
    logits = decoder.prefill(0, np.array(TOKENS), 0)

    assert logits is not None
    np.testing.assert_allclose(logits, expected(family)[2][59], atol=1e-4)
    assert (found.title, found.licence) == ("Small", "cc0-1.0")


def test_norms_of_gemma_have_no_1_in_them(tmp_path: Path) -> None:
    found, (config, weights, _) = opened(tmp_path, *converted("gemma3")), expected("gemma3")

    for name, array in weights.items():
        np.testing.assert_allclose(found.get(name), array, atol=1e-6)
    assert found.config["head_dim"] == config["head_dim"]
    assert shape_of(found.config, "x").local_layers == (0, 1)


def test_stretched_places_are_understood_from_their_table(tmp_path: Path) -> None:
    pairs, tensors = converted("llama3")
    speed = 500000.0 ** -(np.arange(8) / 8)
    kept = np.clip((8192 * speed / (2 * np.pi) - 1) / 3, 0, 1)

    found = opened(tmp_path, pairs, {**tensors, "rope_freqs.weight": 1 / (kept + (1 - kept) / 32)})

    assert found.config["rope_parameters"]["factor"] == pytest.approx(32)
    assert found.config["rope_parameters"]["rope_type"] == "llama3"
    with pytest.raises(HandrailError, match="not known"):
        opened(tmp_path, pairs, {**tensors, "rope_freqs.weight": np.linspace(1, 9, 8)})


def test_the_tokenizer_cuts_merges_and_gives_the_text_back(tmp_path: Path) -> None:
    tokenizer = tokenizers.Tokenizer.from_str(opened(tmp_path, *converted("llama")).tokenizer_json.decode())

    found = tokenizer.encode("<|user|>the cat.")

    assert found.tokens == ["<|user|>", "t", "he", "Ġcat", "."]
    assert tokenizer.decode(found.ids) == "the cat."
    assert tokenizer.decode(found.ids, skip_special_tokens=False) == "<|user|>the cat."


def test_a_tokenizer_by_scores_falls_back_to_bytes(tmp_path: Path) -> None:
    pairs, tensors = converted("llama")
    bytes_of = [f"<0x{number:02X}>" for number in range(256)]
    tokens = ["<unk>", "<s>", "</s>", *bytes_of, "▁", "t", "h", "e", "th", "he", "the", "▁the"]
    pairs = {key: item for key, item in pairs.items() if not key.startswith("tokenizer.")}
    pairs |= {
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * 263 + [-5.0, -2.0, -4.0, -1.0],
        "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * 8,
        "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.unknown_token_id": 0,
    }  # fmt: skip
    found = opened(tmp_path, pairs, tensors)
    tokenizer = tokenizers.Tokenizer.from_str(found.tokenizer_json.decode())

    encoded = tokenizer.encode("the é")

    assert encoded.tokens == ["<s>", "▁the", "▁", "<0xC3>", "<0xA9>"]
    assert tokenizer.decode(encoded.ids) == "the é"
    assert (found.config["bos_token_id"], found.config["eos_token_id"]) == (1, 2)


def test_a_mark_at_the_end_of_a_turn_ends_an_answer_too(tmp_path: Path) -> None:
    pairs, tensors = converted("llama")

    found = opened(tmp_path, pairs | {"tokenizer.ggml.eot_token_id": 1}, tensors)

    assert found.config["eos_token_id"] == [0, 1]
    assert found.chat_template == "{{ messages }}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"general.architecture": "mamba"}, "mamba"),
        ({"llama.attention.head_count": "four"}, "cannot be taken"),
        ({"llama.attention.head_count": 0}, "cannot be taken"),
        ({"llama.rope.scaling.type": "yarn"}, "yarn"),
        ({"tokenizer.ggml.model": "t5"}, "t5"),
        ({"tokenizer.ggml.pre": "some-new-one"}, "some-new-one"),
        ({"tokenizer.ggml.tokens": [1, 2]}, "no list of texts"),
        ({"tokenizer.ggml.tokens": ["a", "a"]}, "twice"),
        ({"tokenizer.ggml.tokens": ["a" * 2000]}, "characters"),
        ({"tokenizer.ggml.merges": ["x y"]}, "merges tokens"),
        ({"tokenizer.ggml.merges": ["nothing"]}, "merges tokens"),
        ({"tokenizer.ggml.eos_token_id": 5_000}, "eos token"),
        ({"tokenizer.ggml.token_type": [1, 1]}, "not one for each"),
    ],
)
def test_a_model_that_cannot_be_taken_says_why(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    pairs, tensors = converted("llama")

    with pytest.raises(HandrailError, match=said) as caught:
        opened(tmp_path, {**pairs, **change}, tensors)

    assert caught.value.code == "data"


@pytest.mark.parametrize("name", ["llama.block_count", "tokenizer.ggml.tokens", "general.architecture"])
def test_a_model_that_lacks_something_says_what(tmp_path: Path, name: str) -> None:
    pairs, tensors = converted("llama")
    del pairs[name]

    with pytest.raises(HandrailError, match=f"it lacks '{name.removeprefix('llama.')}'"):
        opened(tmp_path, pairs, tensors)


def test_a_tensor_that_is_not_known_is_refused(tmp_path: Path) -> None:
    pairs, tensors = converted("llama")

    with pytest.raises(HandrailError, match="ssm_a"):
        opened(tmp_path, pairs, {**tensors, "blk.0.ssm_a.weight": np.zeros(4)})


def test_a_tensor_under_two_names_is_refused(tmp_path: Path) -> None:
    pairs, tensors = converted("llama")

    with pytest.raises(HandrailError, match="twice"):
        opened(tmp_path, pairs, {**tensors, "blk.00.ffn_up.weight": tensors["blk.0.ffn_up.weight"]})


@pytest.mark.parametrize("said", ["", 0, False])
def test_where_no_heads_of_keys_are_said_there_are_as_many_as_others(tmp_path: Path, said: Any) -> None:
    pairs, tensors = converted("llama")

    found = opened(tmp_path, {**pairs, "llama.attention.head_count_kv": said}, tensors)

    assert found.config["num_key_value_heads"] == found.config["num_attention_heads"]
