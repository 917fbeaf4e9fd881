"""Attention made of products: the same as torch's, for heads that share keys and for those that do not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from handrail.finetuning.attention import LONGEST, attend


def asked(length: int, sharing: int) -> tuple[SimpleNamespace, list[torch.Tensor]]:
    torch.manual_seed(length)
    module = SimpleNamespace(num_key_value_groups=sharing, is_causal=True)
    shapes = [(2, 2 * sharing, length, 16), (2, 2, length, 16), (2, 2, length, 16)]
    return module, [torch.randn(shape).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("sharing", [1, 3])
@pytest.mark.parametrize("length", [1, 2, 33, LONGEST + 1])
def test_attention_and_its_gradients_are_those_of_torch(length: int, sharing: int) -> None:
    module, given = asked(length, sharing)
    found, _ = attend(module, *given, None, scaling=0.2)  # type: ignore[arg-type]
    query, key, value = given
    same = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, scale=0.2, is_causal=True, enable_gqa=True
    ).transpose(1, 2)
    assert torch.allclose(found, same, atol=1e-5)
    ways = [torch.autograd.grad(made.square().sum(), given, retain_graph=True) for made in (found, same)]
    for ours, expected in zip(*ways, strict=True):
        assert torch.allclose(ours, expected, atol=1e-4)


def test_masks_are_left_to_torch() -> None:
    module, given = asked(8, 1)
    mask = torch.eye(8, dtype=torch.bool)[None, None]
    found, _ = attend(module, *given, mask)  # type: ignore[arg-type]
    assert torch.allclose(found, given[2].transpose(1, 2), atol=1e-6)
