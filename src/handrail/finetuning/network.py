"""A decoder that can be trained: built by transformers, filled with a base's numbers, seen in two halves."""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
import transformers
from torch import nn
from transformers.initialization import no_init_weights

from handrail.core.errors import HandrailError
from handrail.finetuning import attention

PREFIXES: Final = ("", "model.", "transformer.")
# Fine-tuning takes no chances: what a dropout would add is noise, and hidden values of frozen blocks could not be kept.
DROPOUTS: Final = ("attention_dropout", "attn_pdrop", "embd_pdrop", "resid_pdrop", "hidden_dropout", "dropout")
Get = Callable[[str], np.ndarray]


@dataclass(frozen=True)
class Network:
    """A model of transformers and its parts: blocks in order, and the table that turns hidden values into logits."""

    model: nn.Module
    decoder: nn.Module
    blocks: nn.ModuleList
    head: nn.Parameter  # (vocabulary, width)

    @property
    def size(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())


def network_of(config: Mapping[str, Any], get: Get, names: Iterable[str]) -> Network:
    """The model that `config` (a config.json) describes, with the tensors that `get` gives by name, in float32.

    Raises HandrailError ("bundle") for configs that bring code along, and tensors that are not there or do not fit.
    """
    with quiet_libraries(), no_init_weights():
        model = _built(config)
        model.tie_weights()
    _fill(model, get, frozenset(names))
    return network_in(model)


def new_network(config: Mapping[str, Any], seed: int) -> Network:
    """A model of that config with numbers drawn at random, as its makers draw them."""
    torch.manual_seed(seed)
    with quiet_libraries():
        return network_in(_built(config))


def network_in(model: nn.Module) -> Network:
    """The parts of a model of transformers."""
    decoder = model.base_model
    blocks = next(part for _, part in decoder.named_children() if isinstance(part, nn.ModuleList))
    return Network(model, decoder, blocks, model.get_output_embeddings().weight)


def halves(network: Network, first: int) -> tuple[nn.Module, nn.Module]:
    """The decoder in two: what comes before block `first`, and the blocks from there on with the closing norm.

    The upper one takes `inputs_embeds`, the hidden values that the lower one gives as `last_hidden_state`. Both use
    the parameters of `network`.
    """
    lower, upper = _shallow(network.decoder), _shallow(network.decoder)
    held = next(name for name, part in network.decoder.named_children() if part is network.blocks)
    norm = list(network.decoder._modules)[-1] if held == "h" else "norm"
    setattr(lower, held, nn.ModuleList(network.blocks[:first]))
    setattr(lower, norm, nn.Identity())
    setattr(upper, held, nn.ModuleList(network.blocks[first:]))
    upper.config = _config_from(network.decoder.config, first)
    if hasattr(upper, "wpe"):
        nothing = torch.zeros_like(upper.wpe.weight, requires_grad=False)
        upper.wpe = nn.Embedding.from_pretrained(nothing)  # places were added before the first block
    return lower, upper


def _shallow(module: nn.Module) -> nn.Module:
    """The same module with a list of parts of its own."""
    other = copy.copy(module)
    other._modules = dict(module._modules)
    return other


def _config_from(config: Any, first: int) -> Any:
    """The config of the blocks from `first` on: what it says block by block begins there."""
    other = copy.deepcopy(config)
    if getattr(other, "layer_types", None):
        other.layer_types = list(other.layer_types)[first:]
    other.num_hidden_layers = config.num_hidden_layers - first
    return other


def _built(config: Mapping[str, Any]) -> nn.Module:
    if "auto_map" in config:
        problem = "this model needs code of its own (auto_map), which is never run"
        raise HandrailError("bundle", problem, "choose a base that transformers knows by itself: --base smollm2")
    known = {name: value for name, value in config.items() if name not in ("architectures", "dtype", "torch_dtype")}
    try:
        settings = transformers.AutoConfig.for_model(**known)
        settings.update({name: 0.0 for name in DROPOUTS if hasattr(settings, name)})
        settings.use_cache = False
        return transformers.AutoModelForCausalLM.from_config(
            settings, attn_implementation=attention.NAME, dtype=torch.float32
        )
    except (ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        problem = f"transformers cannot build it: {' '.join(str(error).split())[:160]}"
        raise HandrailError("bundle", problem, "choose a base of the GPT-2, Llama or Gemma family") from error


def _fill(model: nn.Module, get: Get, names: frozenset[str]) -> None:
    """Copies every tensor. What is tied to another one is filled with it; what is made by the model itself stays."""
    tied = {id(model.get_input_embeddings().weight)}
    for name, parameter in model.named_parameters():
        given = _given(name, names)
        if given is None:
            if id(parameter) in tied:
                continue
            problem = f"the base has no tensor '{name}'"
            raise HandrailError("bundle", problem, "download it again, or choose another --base")
        array = get(given)
        if tuple(array.shape) != tuple(parameter.shape):
            problem = f"the tensor '{given}' is {array.shape}, and the config wants {tuple(parameter.shape)}"
            raise HandrailError("bundle", problem, "download it again, or choose another --base")
        parameter.detach().numpy()[...] = array
        tied.add(id(parameter))


def _given(name: str, names: frozenset[str]) -> str | None:
    """The name under which the base has it: files of some models leave the first part of it out."""
    bare = name.removeprefix("model.").removeprefix("transformer.")
    return next((found for found in (name, *(f"{front}{bare}" for front in PREFIXES)) if found in names), None)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keeps what transformers and torch have to say about themselves away from the terminal."""
    logger = logging.getLogger("transformers")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
