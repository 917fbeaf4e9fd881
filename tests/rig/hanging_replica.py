"""A replica whose model loops, blocks in native code or waits for ever when it is asked about a certain age."""

from __future__ import annotations

import ctypes
import runpy
import threading

from handrail.model import Model

LOOPS, BLOCKS, WAITS = 701.0, 702.0, 703.0
honest = Model.timed


def timed(self, columns):  # type: ignore[no-untyped-def]
    ages = columns["age"].tolist()
    if LOOPS in ages:
        while True:
            pass
    if BLOCKS in ages:
        ctypes.PyDLL(None).pause()  # keeps Python's lock, as a library that is stuck would
    if WAITS in ages:
        threading.Event().wait()
    return honest(self, columns)


if __name__ == "__main__":
    Model.timed = timed
    runpy.run_module("handrail.serve.replica", run_name="__main__")
