"""How well a model foresees texts, and whether it still foresees what it wrote when it was made.

All of it works on the decoder alone: open a model for it that answers nothing else meanwhile.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from handrail.core.errors import HandrailError
from handrail.runtimes.decoder import Decoder
from handrail.tasks.generation.predict import Writer

# Tokens that go through the graph at once: their logits are held, each as long as the vocabulary.
CHUNK: Final = 64
EXAMPLE_TOKENS: Final = 24
# How far the mean logarithm of the probability of an example's tokens may be from what it was. CPUs multiply whole
# numbers in different orders and widths, which moves it by some thousandths; other weights move it by tenths.
TOLERANCE: Final = 0.05
SPEED_TOKENS, SPEED_TRIES = 8, 5
MOST_TOKENS: Final = 20_000
# The share of its perplexity that rounding to so many bits may cost without a word.
USUAL_LOSS: Final = {8: 0.01, 4: 0.03}
BEGINNINGS: Final = ("The", "Once upon a time", "In the morning,")


def foreseen(decoder: Decoder, tokens: Sequence[int]) -> np.ndarray:
    """The natural logarithm of the probability of each token but the first, given those before it: `(tokens - 1,)`.

    A text longer than the window is cut into windows that overlap by half, so that no token is asked for without what
    stands before it.
    """
    window = decoder.window
    found = [_window(decoder, tokens[:window])]
    start = window
    while start < len(tokens):
        half = window // 2
        found.append(_window(decoder, tokens[start - half : start + half])[half - 1 :])
        start += half
    return np.concatenate(found)


def text_quality(writer: Writer, text: str) -> dict[str, Any]:
    """How well a text is foreseen: `bits_per_byte` of its UTF-8, which models with different tokens share, and
    `perplexity`, the choices that are left for each token. A long text is measured up to its 20,000th token."""
    tokens = _text_tokens(writer, text)
    logprobs = foreseen(writer.decoder, tokens)
    size = sum(len(writer.tokenizer.token_bytes(token)) for token in tokens[1:])
    mean = float(logprobs.mean())
    return {
        "bits_per_byte": float(-logprobs.sum() / math.log(2) / max(1, size)),
        "perplexity": math.exp(min(700.0, -mean)),
        "tokens": len(logprobs),
        "bytes": size,
    }


def cost_of_rounding(bits: int, before: float, after: float) -> str:
    """What is to be said of perplexities before and after weights were rounded; "" where it is as usual."""
    lost = after / before - 1
    if lost <= USUAL_LOSS.get(bits, math.inf):
        return ""
    milder = "--bits 8 costs less" if bits == 4 else "--bits 32 costs nothing"
    way = f"{before:.2f} → {after:.2f}"
    return f"rounding to {bits} bits costs {lost:.1%} of perplexity ({way}), more than usual: {milder}"


def speed(writer: Writer, count: int = SPEED_TOKENS) -> float:
    """Tokens a second, one after another, of the quickest of a few tries: what else the machine does only slows."""
    decoder = writer.decoder
    tokens = writer.prompt_tokens(BEGINNINGS[0])
    decoder.prefill(0, np.asarray(tokens, np.int64), 0)
    token, seconds = np.asarray(tokens[-1:], np.int64), []
    for start in range(len(tokens), len(tokens) + SPEED_TRIES * count, count):
        begun = time.perf_counter()
        for place in range(start, start + count):
            decoder.step(1, token, np.array([min(place, decoder.window - 1)], np.int32))
        seconds.append(time.perf_counter() - begun)
    decoder.forget(0)
    return count / max(1e-9, min(seconds))


def examples_of(writer: Writer, prompts: Sequence[str] = BEGINNINGS) -> list[dict[str, Any]]:
    """What the model writes on from a few beginnings where it takes the likeliest token each time, and how likely
    that is."""
    return [
        {"input": {"prompt": prompt}, "answer": _greedy(writer, writer.prompt_tokens(prompt))} for prompt in prompts
    ]


def apart(writer: Writer, examples: Sequence[dict[str, Any]]) -> list[float]:
    """For each example, how far the mean log probability of its tokens is from what it was when the model was made.

    The tokens are given and not written anew: where two are equally likely, two CPUs take different ones, and from
    there on write different texts, though both are right.
    """
    return [_distance(writer, example["input"]["prompt"], example["answer"]) for example in examples]


def _greedy(writer: Writer, prompt: Sequence[int]) -> dict[str, Any]:
    decoder, tokens = writer.decoder, list(prompt)
    for length in range(len(prompt), min(len(prompt) + EXAMPLE_TOKENS, decoder.window)):
        given = tokens if length == len(prompt) else tokens[-1:]
        logits = decoder.prefill(0, np.asarray(given, np.int64), length - len(given))
        assert logits is not None
        tokens.append(int(logits.argmax()))
    decoder.forget(0)
    written = tokens[len(prompt) :]
    return {"text": writer.tokenizer.decode(written), "tokens": written,
            "logprob": _mean_logprob(writer, prompt, written)}  # fmt: skip


def _distance(writer: Writer, prompt: str, answer: dict[str, Any]) -> float:
    tokens = answer["tokens"]
    if not all(type(token) is int and 0 <= token < writer.decoder.shape.vocabulary for token in tokens):
        return math.inf
    found = _mean_logprob(writer, writer.prompt_tokens(prompt), tokens)
    return abs(found - float(answer["logprob"]))


def _mean_logprob(writer: Writer, prompt: Sequence[int], tokens: Sequence[int]) -> float:
    if not tokens:
        return 0.0
    whole = [*prompt, *tokens][-writer.window :]
    found = foreseen(writer.decoder, whole)
    return round(float(found[-min(len(tokens), len(found)) :].mean()), 6)


def _text_tokens(writer: Writer, text: str) -> list[int]:
    """Tokens of a text after a mark, so that the first word is foreseen, too."""
    tokens = writer.tokenizer.encode(text)[:MOST_TOKENS]
    if not tokens:
        raise HandrailError("data", "an empty text", "give a text of a few pages: the longer, the surer")
    begin = writer.tokenizer.begin if writer.tokenizer.begin is not None else min(writer.tokenizer.ends, default=None)
    found = [*([] if begin is None else [begin]), *tokens]
    if len(found) < 2:
        raise HandrailError("data", "a text of one token", "give a text of a few pages: the longer, the surer")
    return found


def _window(decoder: Decoder, tokens: Sequence[int]) -> np.ndarray:
    """Log probabilities `(tokens - 1,)` of the tokens of one window."""
    array = np.asarray(tokens, dtype=np.int64)
    slot = decoder.slots - 1
    parts = []
    for start in range(0, len(array) - 1, CHUNK):
        asked = array[start : min(start + CHUNK, len(array) - 1)]
        logits = decoder.foresee(slot, asked, start)
        wanted = array[start + 1 : start + 1 + len(asked)]
        highest = logits.max(axis=1, keepdims=True)
        total = highest[:, 0] + np.log(np.exp(logits - highest, dtype=np.float32).sum(axis=1, dtype=np.float64))
        parts.append(logits[np.arange(len(asked)), wanted] - total)
    decoder.forget(slot)
    return np.concatenate(parts) if parts else np.zeros(0)
