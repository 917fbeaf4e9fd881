"""The time in which a predictor gets ready: bounded, watched, and explained when it does not end well."""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from handrail.core.errors import HandrailError
from handrail.predictors.blame import place_now


@contextmanager
def watched(
    connection: socket.socket, ready_s: float, project: Path, too_late: Callable[[HandrailError], None]
) -> Iterator[None]:
    """While this is open, the process ends when the other side goes, and tells `too_late` when `ready_s` are over."""
    done, ours = socket.socketpair()
    main = threading.get_ident()

    def watch() -> None:
        readable, _, _ = select.select([connection, ours], [], [], ready_s)
        if ours in readable:
            return
        if not readable:
            too_late(_not_ready(ready_s, place_now(main, project)))
        sys.stderr.flush()
        os._exit(1)

    watcher = threading.Thread(target=watch, name="handrail-start", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.close()
        watcher.join()
        ours.close()


def _not_ready(ready_s: float, place: str | None) -> HandrailError:
    problem = f"importing the file and building the class took longer than {ready_s:g} s"
    mend = "if it needs longer, raise limits.ready; if it hangs, see the line"
    return HandrailError("timeout", problem, mend, where=place)
