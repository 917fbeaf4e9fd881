"""A replica that leaks memory and a file descriptor with each batch: what a soak has to notice."""

from __future__ import annotations

import os
import runpy

from handrail.model import Model

LEAKED_BYTES = 20_000
honest = Model.timed
leaked: list[object] = []


def timed(self, columns):  # type: ignore[no-untyped-def]
    leaked.append(bytearray(os.urandom(64)) * (LEAKED_BYTES // 64))
    if len(leaked) % 50 == 0:
        leaked.append(os.open(os.devnull, os.O_RDONLY))
    return honest(self, columns)


if __name__ == "__main__":
    Model.timed = timed
    runpy.run_module("handrail.serve.replica", run_name="__main__")
