"""A generator of text in a few lines: which word followed which two, or which one, in a text that it read."""

import random
import re
from collections import defaultdict
from itertools import pairwise

ENDS = (".", "!", "?")


class Generator:
    def __init__(self, text, seed=None):
        self.random = random.Random(seed)
        self.followers = defaultdict(list)
        words = text.split()
        for place in range(len(words) - 1):
            for depth in (1, 2):
                before = tuple(_plain(word) for word in words[max(0, place + 1 - depth) : place + 1])
                self.followers[before].append(words[place + 1])
        self.starts = [words[0]] + [word for last, word in pairwise(words) if last.endswith(ENDS)]

    def __len__(self):
        return sum(len(before) == 1 for before in self.followers)

    def continue_(self, text, num_words):
        words = text.split()
        for _ in range(num_words):
            words.append(self._next(words))
        while not words[-1].endswith(ENDS) and len(words) < 2 * num_words:
            words.append(self._next(words))
        return " ".join(words)

    def _next(self, words):
        for depth in (2, 1):
            known = self.followers.get(tuple(_plain(word) for word in words[-depth:]))
            if known:
                return self.random.choice(known)
        return self.random.choice(self.starts)


def _plain(word):
    return re.sub(r"\W", "", word).lower()
