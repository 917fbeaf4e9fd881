"""A decoder whose numbers depend on the tokens of a slot and nothing else, and a tokenizer of bytes."""

from types import SimpleNamespace

import numpy as np

END = 256


class Words:
    """Bytes 0 to 255, the end, and some longer tokens, one of which cuts a character in two."""

    begin = None
    ends = frozenset({END})

    def __init__(self):
        self.pieces = [bytes([byte]) for byte in range(256)] + [b"", b"the ", b"END", b"EN", b"D", b"\xc3", b"\xa9x"]
        self.size = len(self.pieces)

    def encode(self, text, *, special=False):
        return list(text.encode())

    def decode(self, tokens):
        return b"".join(self.pieces[token] for token in tokens).decode("utf-8", "replace")

    def token_bytes(self, token):
        return self.pieces[token]


class HashDecoder:
    """Its logits are drawn from a seed that all tokens of the slot make; what a slot holds can be looked at."""

    def __init__(self, slots=8, window=256, vocabulary=None, sharpness=2.0, script=None):
        self.slots, self.window, self.token_bytes = slots, window, 64
        self.shape = SimpleNamespace(vocabulary=vocabulary or Words().size)
        self.held = np.full((slots, window), -1, np.int64)
        self.prefilled, self.steps, self.moved, self.forgotten = [], [], [], []
        self.sharpness, self.script = sharpness, script

    def step(self, rows, tokens, lengths):
        assert len(tokens) == len(lengths) == rows <= self.slots
        assert lengths.max() < self.window
        self.steps.append(rows)
        self.held[np.arange(rows), lengths] = tokens
        return np.stack([self.logits(self.held[row, : lengths[row] + 1]) for row in range(rows)])

    def prefill(self, slot, tokens, length, *, wants=True):
        assert length + len(tokens) <= self.window
        self.prefilled.append(len(tokens))
        self.held[slot, length : length + len(tokens)] = tokens
        return self.logits(self.held[slot, : length + len(tokens)]) if wants else None

    def move(self, source, target, length):
        self.moved.append(length)
        self.held[target, :length] = self.held[source, :length]

    def forget(self, slot):
        self.forgotten.append(slot)
        self.held[slot] = -1

    def logits(self, tokens):
        assert (tokens >= 0).all(), "a slot was read that holds nothing there"
        if self.script is not None:
            return self.scripted(tokens)
        seed = 1469598103934665603
        for token in tokens.tolist():
            seed = (seed ^ token) * 1099511628211 % 2**64
        generator = np.random.Generator(np.random.PCG64(seed))
        return (generator.standard_normal(self.shape.vocabulary) * self.sharpness).astype(np.float32)

    def scripted(self, tokens):
        """After `prompt`, the tokens of `answer` one by one are certain."""
        prompt, answer = self.script
        logits = np.full(self.shape.vocabulary, -20, np.float32)
        written = len(tokens) - len(prompt)
        logits[answer[written] if written < len(answer) else END] = 20
        return logits
