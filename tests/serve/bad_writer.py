"""A replica that writes slowly, and that crashes or hangs when it is asked about certain words."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from handrail.generate.generator import Generator
from handrail.generate.pieces import Piece
from handrail.serve import generation_replica

CRASHES, HANGS = "CRASH", "HANG"
# Long enough for a test to be there in the middle of a text, short enough for many of them.
STEP_S = float(os.environ.get("STEP_S", "0.005"))
honest_step, honest_tokens = Generator.step, generation_replica.Spoken.tokens


def step(self: Generator) -> list[Piece]:
    threading.Event().wait(STEP_S)
    return honest_step(self)


def tokens(self: generation_replica.Spoken, prompt: Mapping[str, Any]) -> Sequence[int]:
    text = str(prompt.get("text"))
    if CRASHES in text:
        os.kill(os.getpid(), signal.SIGSEGV)
    if HANGS in text:
        threading.Event().wait()
    return honest_tokens(self, prompt)


Generator.step = step  # type: ignore[method-assign]
generation_replica.Spoken.tokens = tokens  # type: ignore[method-assign]
generation_replica.main(*sys.argv[1:])
