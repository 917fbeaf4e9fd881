"""Networks of every family: filled, halved, trained in part, and written down."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from handrail.core.errors import HandrailError
from handrail.finetuning.methods import make_trainable, trained_parameters, tuned
from handrail.finetuning.network import Network, halves, network_of, new_network
from handrail.finetuning.tuned import joined, with_tuned
from tests.finetuning.conftest import CONFIGS

VOCABULARY = 80
FAMILIES = pytest.mark.parametrize("family", CONFIGS)


def base_of(family: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    config = {**CONFIGS[family], "vocab_size": VOCABULARY}
    model = new_network(config, 0).model
    return config, {name: one.detach().numpy().copy() for name, one in model.named_parameters()}


def tokens() -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (2, 24), generator=torch.Generator().manual_seed(1))


def trained_some(network: Network, steps: int = 3) -> None:
    optimizer = torch.optim.AdamW(trained_parameters(network).values(), lr=1e-2)
    for _ in range(steps):
        logits = network.model(input_ids=tokens()).logits[:, :-1]
        functional.cross_entropy(logits.reshape(-1, VOCABULARY), tokens()[:, 1:].reshape(-1)).backward()
        optimizer.step()
        optimizer.zero_grad()


@FAMILIES
def test_a_network_is_filled_with_the_numbers_it_is_given(family: str) -> None:
    config, tensors = base_of(family)
    network = network_of(config, tensors.__getitem__, tensors)
    for name, parameter in network.model.named_parameters():
        assert np.array_equal(parameter.detach().numpy(), tensors[name])
    assert len(network.blocks) == 3
    assert network.head.shape == (VOCABULARY, 32)


@FAMILIES
@pytest.mark.parametrize("first", [1, 2])
def test_both_halves_one_after_the_other_are_the_whole(family: str, first: int) -> None:
    config, tensors = base_of(family)
    network = network_of(config, tensors.__getitem__, tensors)
    lower, upper = halves(network, first)
    with torch.no_grad():
        whole = network.decoder(input_ids=tokens(), use_cache=False).last_hidden_state
        below = lower(input_ids=tokens(), use_cache=False).last_hidden_state
        assert torch.equal(upper(inputs_embeds=below, use_cache=False).last_hidden_state, whole)


@FAMILIES
@pytest.mark.parametrize("method", ["lora", "blocks", "full"])
def test_what_was_trained_makes_the_base_into_the_trained_network(family: str, method: str) -> None:
    config, tensors = base_of(family)
    network = network_of(config, tensors.__getitem__, tensors)
    make_trainable(network, method, 1, 4, half=False)
    trained_some(network)
    again = network_of(config, with_tuned(tensors.__getitem__, tuned(network)), tensors)
    before = network_of(config, tensors.__getitem__, tensors)
    with torch.no_grad():
        wanted, found, old = (one.model(input_ids=tokens()).logits for one in (network, again, before))
    assert torch.allclose(found, wanted, atol=1e-5)
    assert not torch.allclose(old, wanted, atol=1e-3)


@pytest.mark.parametrize(("first", "second"), [("lora", "lora"), ("lora", "blocks"), ("blocks", "lora")])
def test_a_training_on_top_of_another_adds_up(first: str, second: str) -> None:
    config, tensors = base_of("llama")
    network = network_of(config, tensors.__getitem__, tensors)
    make_trainable(network, first, 1, 4, half=False)
    trained_some(network)
    earlier = tuned(network)
    network = network_of(config, with_tuned(tensors.__getitem__, earlier), tensors)
    make_trainable(network, second, 1, 2, half=False)
    trained_some(network)
    both = joined(earlier, tuned(network))
    again = network_of(config, with_tuned(tensors.__getitem__, both), tensors)
    with torch.no_grad():
        wanted, found = (one.model(input_ids=tokens()).logits for one in (network, again))
    assert torch.allclose(found, wanted, atol=1e-5)


def test_what_is_frozen_is_halved_and_what_learns_is_not() -> None:
    config, tensors = base_of("llama")
    network = network_of(config, tensors.__getitem__, tensors)
    make_trainable(network, "blocks", 2, 0, half=True)
    kinds = {name.split(".")[2]: one.dtype for name, one in network.model.named_parameters() if "layers" in name}
    assert kinds == {"0": torch.bfloat16, "1": torch.bfloat16, "2": torch.float32}


def test_a_config_that_brings_code_is_refused() -> None:
    config, tensors = base_of("llama")
    with pytest.raises(HandrailError, match="auto_map"):
        network_of({**config, "auto_map": {"AutoModel": "x.Y"}}, tensors.__getitem__, tensors)


def test_a_config_that_nobody_knows_is_refused_in_words() -> None:
    with pytest.raises(HandrailError, match="transformers cannot build it"):
        new_network({"model_type": "klingon", "vocab_size": 10}, 0)


def test_a_base_without_a_tensor_or_with_one_of_another_shape_is_refused() -> None:
    config, tensors = base_of("llama")
    name = "model.layers.1.mlp.up_proj.weight"
    with pytest.raises(HandrailError, match="the base has no tensor"):
        network_of(config, tensors.__getitem__, tensors.keys() - {name})
    with pytest.raises(HandrailError, match=r"is \(2, 2\), and the config wants"):
        network_of(config, {**tensors, name: np.zeros((2, 2), np.float32)}.__getitem__, tensors)
