"""On real decoders with random weights: company, order, pieces and reuse change not a single bit of what is written."""

import json

import numpy as np
import pytest

from handrail.generate.generator import Generator
from handrail.generate.settings import Settings
from handrail.runtimes.decoder import open_decoder, packed, shape_of
from tests.runtimes.decoder.made import expected

VOCABULARY = 64
CASES = [("gpt2", 8), ("gpt2", 4), ("gpt2", 32), ("llama", 8), ("llama", 32), ("qwen3", 8), ("gemma3", 8)]


class Letters:
    """Sixty-three letters and an end."""

    begin, ends, size = None, frozenset({VOCABULARY - 1}), VOCABULARY
    letters = '{}[]":,-. 0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ'

    def token_bytes(self, token):
        return self.letters[token : token + 1].encode()

    def encode(self, text, *, special=False):
        return [self.letters.index(letter) for letter in text]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def decoder(request):
    family, bits = request.param
    config, weights, _ = expected(family)
    tensors = dict(packed(config, weights.__getitem__, weights, bits))
    return open_decoder(shape_of(config, family), tensors, threads=1, slots=9, window=64)


def prompts(count, seed=0):
    draw = np.random.default_rng(seed)
    return [draw.integers(0, VOCABULARY - 1, size).tolist() for size in draw.integers(1, 50, count).tolist()]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_mixed_batch_writes_what_each_would_write_alone(decoder, temperature):
    settings = Settings(max_tokens=40, seed=1, temperature=temperature, logprobs=2)
    together = Generator(decoder, Letters(), prefill_tokens=16).answer(prompts(20), settings)
    for prompt, (found,) in zip(prompts(20), together, strict=True):
        ((lone,),) = Generator(decoder, Letters(), keep=0).answer([prompt], settings)
        assert (found.tokens, found.logprobs) == (lone.tokens, lone.logprobs)


def test_what_is_taken_over_changes_nothing(decoder):
    settings = Settings(max_tokens=20, seed=1, temperature=1.0, logprobs=0, ignore_end=True)
    beginning = prompts(1, seed=2)[0][:30]
    asked = [beginning + some[:9] for some in prompts(12)]
    shared = Generator(decoder, Letters(), prefill_tokens=8)
    answers = shared.answer(asked, settings)
    assert shared.state()["cached_tokens"] >= 10 * (len(beginning) - 1)
    for prompt, found in zip(asked, answers, strict=True):
        assert Generator(decoder, Letters(), keep=0).answer([prompt], settings)[0][0].logprobs == found[0].logprobs


def test_a_text_past_the_window_is_the_same_in_any_company(decoder):
    settings = Settings(max_tokens=150, seed=1, ignore_end=True)
    together = Generator(decoder, Letters()).answer(prompts(10), settings)
    ((lone,),) = Generator(decoder, Letters(), keep=0).answer([prompts(10)[3]], settings)
    assert together[3][0].tokens == lone.tokens
    assert lone.usage.slid_tokens >= 96


def test_json_is_whole_whatever_the_weights_are(decoder):
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "maxLength": 5}, "b": {"type": "integer", "maximum": 99, "minimum": 0}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }
    settings = Settings(max_tokens=60, json_schema=schema, temperature=10, seed=3)
    for (found,) in Generator(decoder, Letters()).answer(prompts(10), settings):
        assert found.finish == "stop"
        assert json.loads(found.text).keys() == {"a", "b"}


def test_one_token_prompts_and_single_slots_work(decoder):
    settings = Settings(max_tokens=5, ignore_end=True, temperature=0)
    found = Generator(decoder, Letters()).answer([[1], [1, 2], [1]], settings)
    assert found[0][0].tokens == found[2][0].tokens
    assert all(len(one.tokens) == 5 for (one,) in found)
