"""A replica with a model that crashes, hangs or fails when it is asked about a certain age."""

from __future__ import annotations

import os
import signal
import sys
import threading

from handrail.model import Model
from handrail.serve import replica

CRASHES, HANGS, FAILS = 666.0, 777.0, 888.0
honest = Model.timed


def timed(self, columns):  # type: ignore[no-untyped-def]
    ages = columns["age"].tolist()
    if CRASHES in ages:
        os.kill(os.getpid(), signal.SIGSEGV)
    if HANGS in ages:
        threading.Event().wait()
    if FAILS in ages:
        raise ValueError("/secret/path")
    return honest(self, columns)


Model.timed = timed
replica.main(*sys.argv[1:])
