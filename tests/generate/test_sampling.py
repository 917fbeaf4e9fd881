"""Sampling does exactly what the settings say: it is compared with a plain way that sorts everything."""

import math

import numpy as np
import pytest

from handrail.core.errors import HandrailError
from handrail.generate.chance import chance
from handrail.generate.penalties import Penalties, penalties_for
from handrail.generate.sampling import Sampler
from handrail.generate.settings import Settings

VOCABULARY = 5003
DRAWS = 1000


def plain_probabilities(logits, settings):
    """Temperature, top-k, top-p, min-p, one after another, on the whole sorted vocabulary."""
    scaled = logits.astype(np.float64) / settings.temperature
    shares = np.exp(scaled - scaled.max())
    order = np.argsort(-logits, kind="stable")
    kept = order[: settings.top_k] if settings.top_k else order
    inner = shares[kept] / shares[kept].sum()
    if settings.top_p < 1:
        kept = kept[: int(np.searchsorted(inner.cumsum(), settings.top_p)) + 1]
    kept = kept[shares[kept] >= settings.min_p * shares.max()]
    out = np.zeros_like(shares)
    out[kept] = shares[kept] / shares[kept].sum()
    return out


def logits_of(kind):
    draw = np.random.default_rng(3)
    sharpness = {"flat": 0.3, "trained": 3.0, "peaked": 12.0, "equal": 0.0}[kind]
    return (draw.standard_normal(VOCABULARY) * sharpness).astype(np.float32)


@pytest.mark.parametrize("kind", ["flat", "trained", "peaked", "equal"])
@pytest.mark.parametrize(
    "settings",
    [
        Settings(temperature=1.0), Settings(temperature=0.3), Settings(temperature=10.0), Settings(top_k=1),
        Settings(top_k=7), Settings(top_k=40, top_p=0.9), Settings(top_k=3000), Settings(top_k=3000, top_p=0.5),
        Settings(top_p=0.9), Settings(top_p=0.1), Settings(top_p=0.0), Settings(top_p=0.999), Settings(min_p=0.1),
        Settings(min_p=1.0), Settings(top_p=0.8, min_p=0.05), Settings(top_k=20, top_p=0.8, min_p=0.2),
        Settings(top_k=10**6),
    ],
    ids=lambda settings: ",".join(f"{name}={value}" for name, value in vars(settings).items() if value),
)  # fmt: skip
def test_draws_are_distributed_as_the_settings_say(kind, settings):
    logits, sampler = logits_of(kind), Sampler(VOCABULARY)
    expected = plain_probabilities(logits, settings)
    tokens = np.array([sampler.choose(logits, settings, (number + 0.5) / DRAWS) for number in range(DRAWS)])
    assert (expected[tokens] > 0).mean() > 0.9985, "drawn although not allowed, beyond what float32 can tell apart"
    # Evenly spaced chances visit each token as often as its share, give or take one for each end of its stretch.
    found = np.bincount(tokens, minlength=VOCABULARY)
    assert np.abs(found - expected * DRAWS).max() <= 3


def test_temperature_0_takes_the_likeliest_token():
    logits = logits_of("trained")
    assert Sampler(VOCABULARY).choose(logits, Settings(temperature=0), 0.99) == logits.argmax()


@pytest.mark.parametrize("aim", [0.0, 0.5, 1 - 2**-53])
@pytest.mark.parametrize("settings", [Settings(), Settings(top_k=9), Settings(top_p=0.9), Settings(min_p=0.01)])
def test_what_is_not_allowed_is_never_drawn_not_even_at_the_edges(aim, settings):
    logits = np.full(VOCABULARY, -np.inf, np.float32)
    logits[[17, 4000]] = 1, 0.5
    assert Sampler(VOCABULARY).choose(logits, settings, aim) in (17, 4000)


@pytest.mark.parametrize("size", [1, 2, 63, 64, 65, 130])
@pytest.mark.parametrize("settings", [Settings(), Settings(top_k=2), Settings(top_p=0.5), Settings(min_p=0.5)])
def test_small_vocabularies_work(size, settings):
    logits = np.arange(size, dtype=np.float32)
    assert 0 <= Sampler(size).choose(logits, settings, 0.7) < size
    assert Sampler(size).logprob(logits, 0, 20).top[0][0] == size - 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("temperature", [0, 1])
def test_numbers_that_are_none_fail_in_words(bad, temperature):
    logits = logits_of("trained")
    logits[5] = bad
    with pytest.raises(HandrailError, match="not finite"):
        Sampler(VOCABULARY).choose(logits, Settings(temperature=temperature), 0.5)


def test_nothing_allowed_fails_in_words():
    with pytest.raises(HandrailError):
        Sampler(10).choose(np.full(10, -np.inf, np.float32), Settings(), 0.5)


def test_logprobs_are_a_log_softmax_and_the_likeliest_come_in_order():
    logits = logits_of("trained")
    expected = logits.astype(np.float64) - np.log(np.exp(logits.astype(np.float64)).sum())
    found = Sampler(VOCABULARY).logprob(logits, 8, 20)
    assert found.logprob == pytest.approx(expected[8], abs=1e-5)
    assert [token for token, _ in found.top] == np.argsort(-logits, kind="stable")[:20].tolist()
    assert [value for _, value in found.top] == pytest.approx(np.sort(expected)[::-1][:20].tolist(), abs=1e-5)
    whole = sum(math.exp(value) for _, value in Sampler(VOCABULARY).logprob(logits, 8, VOCABULARY).top)
    assert whole == pytest.approx(1, abs=1e-4)


def test_chances_are_even_and_differ_by_seed_index_and_place():
    values = np.array([chance(seed, index, place) for seed in range(10) for index in range(10) for place in range(100)])
    assert len(set(values.tolist())) == 10_000
    assert (values >= 0).all() and (values < 1).all()
    assert np.abs(np.histogram(values, 20, (0, 1))[0] / 500 - 1).max() < 0.2
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.05
    assert chance(-1, 0, 0) != chance(1, 0, 0)


def test_penalties_change_what_occurred_and_nothing_else():
    settings = Settings(repetition_penalty=2.0, presence_penalty=0.5, frequency_penalty=0.25)
    penalties = Penalties(settings, np.array([1, 2, 2]))
    penalties.count([2, 3, 3, 3])
    logits = np.array([1, 1, -1, 4, 5], np.float32)
    penalties.apply(logits)
    assert logits.tolist() == [1, 0.5, -2 - 0.5 - 0.25, 2 - 0.5 - 0.75, 5]


def test_penalties_grow_with_what_is_written():
    penalties = Penalties(Settings(presence_penalty=1.0), np.array([0]))
    penalties.count(range(1000))
    logits = np.zeros(1200, np.float32)
    penalties.apply(logits)
    assert (logits[:1000] == -1).all() and (logits[1000:] == 0).all()


def test_nothing_is_counted_where_nothing_is_penalised():
    assert penalties_for(Settings(), np.array([1])) is None
