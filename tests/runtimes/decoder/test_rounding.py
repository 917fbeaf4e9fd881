"""Whole numbers stand for what they were rounded from, and what was rounded before is not rounded twice."""

from __future__ import annotations

import numpy as np
import pytest

from handrail.runtimes.decoder import open_decoder, packed, shape_of
from handrail.runtimes.decoder.rounding import rounded
from tests.runtimes.decoder.made import TOKENS, expected

RANDOM = np.random.RandomState(0)


def back(parts: dict[str, np.ndarray], bits: int, inner: int) -> np.ndarray:
    """The numbers that whole ones stand for."""
    whole = parts[f"w.q{bits}"]
    if bits == 4:
        whole = np.stack([whole & 15, whole >> 4], axis=-1).reshape(*whole.shape[:2], -1)
    found = (whole.astype(np.float32) - (1 << (bits - 1))) * parts["w.s"][..., None]
    if "w.m" in parts:
        found += parts["w.m"].T[..., None]
    return found.reshape(len(whole), -1)[:, :inner]


def on_a_grid(weight: np.ndarray) -> np.ndarray:
    """Numbers as a file of Q4_1 has them: 16 steps from the least to the greatest of 32."""
    grouped = weight.reshape(len(weight), -1, 32)
    low, high = grouped.min(-1, keepdims=True), grouped.max(-1, keepdims=True)
    step = ((high - low) / 15).astype(np.float16).astype(np.float32)
    return (np.rint((grouped - low) / step).clip(0, 15) * step + low).reshape(weight.shape).astype(np.float32)


@pytest.mark.parametrize("inner", [32, 48, 64, 100, 128, 576, 768])
@pytest.mark.parametrize(("bits", "most"), [(8, 0.008), (4, 0.13)])
def test_what_comes_back_is_near(inner: int, bits: int, most: float) -> None:
    weight = RANDOM.uniform(-1, 1, (1100, inner)).astype(np.float32)

    parts = dict(rounded("w", weight, bits))

    assert parts["w.s"].shape == parts[f"w.q{bits}"].shape[:2]
    assert np.abs(back(parts, bits, inner) - weight).max() <= most


@pytest.mark.parametrize("bits", [8, 4])
def test_zeros_stay_zeros(bits: int) -> None:
    parts = dict(rounded("w", np.zeros((3, 64), np.float32), bits))

    assert not back(parts, bits, 64).any()


def test_a_grid_of_before_is_kept_to_the_number() -> None:
    weight = on_a_grid(RANDOM.uniform(-1, 0.7, (40, 96)).astype(np.float32))

    parts = dict(rounded("w", weight, 4))

    np.testing.assert_allclose(back(parts, 4, 96), weight, atol=1e-6)
    assert "w.m" not in dict(rounded("w", RANDOM.uniform(-1, 0.7, (40, 96)).astype(np.float32), 4))


def test_a_model_of_four_bits_is_not_rounded_twice() -> None:
    config, weights, _ = expected("llama")
    before = {name: on_a_grid(array) if array.ndim == 2 and "mlp.down" not in name else array
              for name, array in weights.items()}  # fmt: skip
    shape = shape_of(config, "llama")

    exact, found = (
        open_decoder(shape, dict(packed(config, before.__getitem__, before, bits))).foresee(0, np.array(TOKENS), 0)
        for bits in (32, 4)
    )
    anew = open_decoder(shape, dict(packed(config, weights.__getitem__, weights, 4))).foresee(0, np.array(TOKENS), 0)
    plain = open_decoder(shape, dict(packed(config, weights.__getitem__, weights, 32))).foresee(0, np.array(TOKENS), 0)

    assert np.abs(found - exact).mean() < 0.5 * np.abs(anew - plain).mean()


def test_a_model_of_four_bits_reads_a_prompt_whose_logits_nobody_wants() -> None:
    config, weights, _ = expected("llama")
    before = {
        name: on_a_grid(array) if array.ndim == 2 and "mlp.down" not in name else array
        for name, array in weights.items()
    }
    tensors = dict(packed(config, before.__getitem__, before, 4))
    assert "layer1.up.m" in tensors
    decoder = open_decoder(shape_of(config, "llama"), tensors)

    wanted = decoder.prefill(0, np.array(TOKENS[:6]), 0)

    assert decoder.prefill(0, np.array(TOKENS[:4]), 0, wants=False) is None
    np.testing.assert_array_equal(decoder.prefill(0, np.array(TOKENS[4:6]), 4), wanted)
