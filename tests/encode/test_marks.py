"""Names of special tokens in a text: those that a plain list of them would find."""

from __future__ import annotations

import random
import re

from handrail.encode.marks import pattern_of


def listed(names):
    return re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))))


def test_the_longest_name_at_each_place_is_found():
    draw = random.Random(0)
    for _ in range(500):
        names = {"".join(draw.choices("ab<\n", k=draw.randint(1, 6))) for _ in range(draw.randint(1, 12))}
        text = "".join(draw.choices("ab<\n", k=60))
        assert pattern_of(sorted(names)).findall(text) == listed(names).findall(text)


def test_names_within_names_may_be_many():
    names = ["a" * size for size in range(1, 201)]
    assert [len(found) for found in pattern_of(names).findall("a" * 450)] == [200, 200, 50]
