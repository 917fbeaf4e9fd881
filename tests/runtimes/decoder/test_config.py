"""A config.json is believed only where its decoder is built, and a shape only where a model could have it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from handrail.core.errors import HandrailError
from handrail.runtimes.decoder import shape_from, shape_of
from handrail.runtimes.decoder.shape import rotations
from tests.runtimes.decoder.made import FAMILIES, expected


@pytest.mark.parametrize("family", FAMILIES)
def test_a_shape_comes_back_from_json_as_it_was(family: str) -> None:
    shape = shape_of(expected(family)[0], family)

    assert shape_from(json.loads(json.dumps(shape.as_dict()))) == shape


@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_are_counted_nearly(family: str) -> None:
    config, weights, _ = expected(family)
    counted = sum(array.size for array in weights.values())

    assert abs(shape_of(config, family).parameters - counted) < 0.1 * counted


def test_settings_of_older_folders_are_understood() -> None:
    gemma = expected("gemma3")[0]
    newer = ("rope_parameters", "layer_types", "_sliding_window_pattern")
    older = {key: value for key, value in gemma.items() if key not in newer}
    older |= {"rope_theta": 1e6, "rope_local_base_freq": 1e4, "sliding_window_pattern": 2, "rope_scaling": {
        "rope_type": "linear", "factor": 8.0}}  # fmt: skip

    assert shape_of(older, "x") == shape_of(gemma, "x")


def test_windows_hold_for_the_layers_that_have_them() -> None:
    config = {**expected("qwen2")[0], "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
    config.pop("layer_types")

    assert shape_of(config, "x").local_layers == (1,)
    assert shape_of({**config, "use_sliding_window": False}, "x").local == 0
    assert shape_of(expected("mistral")[0], "x").local_layers == (0, 1)


def test_stretched_places_keep_quick_waves_and_slow_down_slow_ones() -> None:
    shape = shape_of(expected("llama3")[0], "x")

    cosines, sines = rotations(shape, shape.rope, 40)

    assert cosines.shape == sines.shape == (40, 8)
    np.testing.assert_allclose(cosines[:, 0], np.cos(np.arange(40)), atol=1e-6)
    np.testing.assert_allclose(sines[:, -1], np.sin(np.arange(40) * 500000 ** (-14 / 16) / 8), atol=1e-6)


@pytest.mark.parametrize(
    ("family", "change", "said"),
    [
        ("llama", {"auto_map": {"AutoModel": "evil.py"}}, "auto_map"),
        ("llama", {"model_type": "mamba"}, "mamba"),
        ("llama", {"model_type": ["llama"]}, "not built"),
        ("llama", {"hidden_act": "relu"}, "relu"),
        ("llama", {"hidden_act": ["silu"]}, "cannot be taken"),
        ("llama", {"attention_bias": True}, "biases"),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "yarn"),
        ("llama", {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "part of each head"),
        ("llama", {"vocab_size": 2**60}, "vocabulary"),
        ("llama", {"num_hidden_layers": -1}, "layers"),
        ("llama", {"num_hidden_layers": True}, "layers"),
        ("llama", {"num_hidden_layers": 2.5}, "layers"),
        ("llama", {"num_attention_heads": 0}, "cannot be taken"),
        ("llama", {"num_attention_heads": "four"}, "cannot be taken"),
        ("llama", {"num_key_value_heads": 3}, "do not fit"),
        ("llama", {"head_dim": 12}, "do not fit"),
        ("llama", {"rms_norm_eps": "nan"}, "impossible number"),
        ("llama", {"tie_word_embeddings": "yes"}, "neither true nor false"),
        ("gpt2", {"n_embd": None}, "cannot be taken"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scaled"),
        ("gpt2", {"activation_function": "relu"}, "relu"),
        ("gemma3", {"attn_logit_softcapping": 50.0}, "softcapping"),
        ("gemma3", {"layer_types": ["full_attention"]}, "kinds"),
        ("gemma3", {"layer_types": ["full_attention", "linear_attention"]}, "kinds"),
        ("gemma3", {"query_pre_attn_scalar": 0}, "cannot be taken"),
        ("gemma3", {"sliding_window": -5}, "window"),
        ("gemma3", {"num_hidden_layers": 10**15, "layer_types": None}, "layers"),
        ("mistral", {"num_hidden_layers": 10**15}, "layers"),
        ("mistral", {"sliding_window": 2**50}, "window"),
    ],
)
def test_a_config_that_is_not_built_says_what_is_off(family: str, change: dict[str, Any], said: str) -> None:
    with pytest.raises(HandrailError, match=said) as caught:
        shape_of({**expected(family)[0], **change}, "config.json")

    assert (caught.value.code, caught.value.where) == ("data", "config.json")
    assert "GPT-2" in caught.value.mend


@pytest.mark.parametrize("name", ["hidden_size", "model_type", "intermediate_size", "max_position_embeddings"])
def test_a_config_that_lacks_something_says_what(name: str) -> None:
    config = expected("llama")[0]
    del config[name]

    with pytest.raises(HandrailError, match=f"it lacks '{name}'"):
        shape_of(config, "x")


@pytest.mark.parametrize(
    "change",
    [
        {"family": "rnn"}, {"layers": 10**9}, {"layers": True}, {"tied": 1}, {"rope": {}}, {"rope": []},
        {"rope": {"theta": 0}}, {"rope": {"theta": 1e4, "low": 4, "high": 1, "factor": 8, "original": 9}},
        {"rope": {"theta": 1e4, "low": 1, "high": 4}}, {"local": 5}, {"local_layers": [0]},
        {"local": 5, "local_layers": [7]}, {"local": 5, "local_layers": ["0"]}, {"epsilon": 0}, {"epsilon": "tiny"},
        {"scale": float("nan")}, {"scale": -1}, {"head_width": 10**6}, {"context": None},
    ],
)  # fmt: skip
def test_a_shape_that_no_model_has_is_refused(change: dict[str, Any]) -> None:
    shape = shape_of(expected("llama")[0], "x").as_dict()

    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        shape_from({**shape, **change})


def test_a_shape_that_lacks_something_is_refused() -> None:
    shape = shape_of(expected("llama")[0], "x").as_dict()

    for name in shape:
        with pytest.raises(KeyError):
            shape_from({key: value for key, value in shape.items() if key != name})
