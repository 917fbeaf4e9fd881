"""A decoder says what transformers says, whatever it is asked beside, in whatever pieces it is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from handrail.core.errors import HandrailError
from handrail.runtimes.decoder import Decoder, open_decoder, packed, shape_of
from tests.runtimes.decoder.made import FAMILIES, TOKENS, expected


def opened(family: str, bits: int = 32, *, slots: int = 4, window: int = 128) -> Decoder:
    config, weights, _ = expected(family)
    tensors = dict(packed(config, weights.__getitem__, weights, bits))
    return open_decoder(shape_of(config, family), tensors, threads=1, slots=slots, window=window)


def stepped(decoder: Decoder, tokens: list[int], begin: int, slot_rows: int = 1) -> np.ndarray:
    for place in range(begin, len(tokens)):
        given = np.full(slot_rows, tokens[place], np.int64)
        logits = decoder.step(slot_rows, given, np.full(slot_rows, place, np.int32))
    return logits.copy()


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_transformers(family: str) -> None:
    decoder, (_, _, logits) = opened(family), expected(family)

    for place, row in logits.items():
        found = decoder.prefill(0, np.array(TOKENS[: place + 1]), 0)
        assert found is not None
        np.testing.assert_allclose(found, row, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_goes_on_where_a_prompt_ended(family: str) -> None:
    decoder, (_, _, logits) = opened(family), expected(family)

    decoder.prefill(0, np.array(TOKENS[:40]), 0, wants=False)

    np.testing.assert_allclose(stepped(decoder, TOKENS[:41], 40)[0], logits[40], atol=1e-5)
    np.testing.assert_allclose(stepped(decoder, TOKENS, 41)[0], logits[59], atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("bits", "near"), [(8, 0.02), (4, 0.3)])
def test_whole_numbers_say_nearly_the_same(family: str, bits: int, near: float) -> None:
    decoder, (_, _, logits) = opened(family, bits), expected(family)

    found = decoder.prefill(0, np.array(TOKENS), 0)

    assert found is not None
    assert np.abs(found - logits[59]).mean() < near * np.abs(logits[59]).mean() * 5
    assert np.corrcoef(found, logits[59])[0, 1] > (0.999 if bits == 8 else 0.9)


@pytest.mark.parametrize("bits", [32, 8, 4])
@pytest.mark.parametrize("family", ["gpt2", "qwen3", "gemma3"])
def test_a_row_is_the_same_to_the_last_bit_whatever_runs_beside_it(family: str, bits: int) -> None:
    decoder = opened(family, bits, slots=9)
    lengths = np.array([3, 40, 7, 1, 20, 33, 2, 11, 5], np.int32)
    for slot, length in enumerate(lengths):
        decoder.prefill(slot, np.array(TOKENS[:length]), 0, wants=False)

    together = decoder.step(9, np.array(TOKENS[:9]), lengths).copy()

    for rows in (1, 2, 5, 8):
        np.testing.assert_array_equal(decoder.step(rows, np.array(TOKENS[:rows]), lengths[:rows]), together[:rows])


@pytest.mark.parametrize("bits", [32, 8, 4])
@pytest.mark.parametrize("family", ["gpt2", "qwen3", "gemma3"])
def test_a_prompt_in_pieces_is_the_same_to_the_last_bit(family: str, bits: int) -> None:
    decoder = opened(family, bits)
    whole = decoder.prefill(0, np.array(TOKENS), 0)
    assert whole is not None

    for size in (1, 7, 16, 59):
        for begin in range(0, 60, size):
            found = decoder.prefill(1, np.array(TOKENS[begin : begin + size]), begin)
        assert found is not None
        np.testing.assert_array_equal(found, whole)


def test_each_token_of_a_text_can_be_foreseen() -> None:
    decoder, (_, _, logits) = opened("llama"), expected("llama")

    found = decoder.foresee(2, np.array(TOKENS), 0)

    assert found.shape == (60, 64)
    for place, row in logits.items():
        np.testing.assert_allclose(found[place], row, atol=1e-5)


def test_a_piece_whose_logits_nobody_wants_gives_none() -> None:
    assert opened("gpt2").prefill(0, np.array(TOKENS[:5]), 0, wants=False) is None


def test_a_moved_slot_goes_on_as_before() -> None:
    decoder = opened("llama")
    decoder.prefill(0, np.array(TOKENS[:20]), 0, wants=False)
    decoder.prefill(3, np.array(TOKENS[:40]), 0, wants=False)

    decoder.move(3, 0, 40)

    np.testing.assert_allclose(stepped(decoder, TOKENS[:41], 40)[0], expected("llama")[2][40], atol=1e-5)


def test_a_forgotten_slot_gives_its_memory_back() -> None:
    decoder = opened("gpt2", slots=3, window=128)
    decoder.prefill(0, np.array(TOKENS), 0, wants=False)
    decoder.prefill(1, np.array(TOKENS), 0, wants=False)

    decoder.forget(1)

    numbers = decoder._arena.numbers
    assert numbers[:, 0, :, :60].any()
    assert not numbers[:, 1].any()


def test_a_large_arena_costs_nothing_until_it_is_used() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before = resident()
    decoder = opened("gpt2", slots=20_000)

    assert decoder.slots * decoder.window * decoder.token_bytes > 2**31
    assert resident() - before < 2**27


def test_a_prompt_may_fill_the_window_to_its_last_place() -> None:
    decoder = opened("gpt2", window=60)

    found = decoder.prefill(0, np.array(TOKENS), 0)

    assert found is not None
    np.testing.assert_allclose(found, expected("gpt2")[2][59], atol=1e-5)


def test_the_window_is_never_longer_than_the_model_was_made_for() -> None:
    assert opened("gpt2", window=100_000).window == 128


@pytest.mark.parametrize("name", ["layer0.qkv.w", "table.w", "norm.w", "layer1.up.b"])
@pytest.mark.parametrize("harm", ["missing", "too short", "of other numbers"])
def test_weights_that_do_not_fit_are_refused(name: str, harm: str) -> None:
    config, weights, _ = expected("gpt2")
    tensors = dict(packed(config, weights.__getitem__, weights, 32))
    if harm == "missing":
        del tensors[name]
    elif harm == "too short":
        tensors[name] = tensors[name][:-1]
    else:
        tensors[name] = tensors[name].astype(np.int64)

    with pytest.raises(HandrailError, match="do not belong together") as caught:
        open_decoder(shape_of(config, "gpt2"), tensors)

    assert caught.value.code == "bundle"


def test_whole_numbers_that_do_not_fit_are_refused() -> None:
    config, weights, _ = expected("llama")
    tensors = dict(packed(config, weights.__getitem__, weights, 8))
    for name in ("layer0.qkv.q8", "layer0.qkv.s", "head.q8", "table.s", "layer1.down.q8"):
        with pytest.raises(HandrailError, match="do not belong together"):
            open_decoder(shape_of(config, "llama"), {**tensors, name: tensors[name][:-1]})


@pytest.mark.parametrize(("family", "front"), [("gpt2", "transformer."), ("llama", "model.")])
def test_names_with_and_without_the_model_in_front_are_known(family: str, front: str) -> None:
    config, weights, _ = expected(family)
    bare = {name.removeprefix(front): array for name, array in weights.items()}

    given, found = (dict(packed(config, source.__getitem__, source, 8)) for source in (weights, bare))

    assert given.keys() == found.keys()
    assert all(np.array_equal(given[name], found[name]) for name in given)
