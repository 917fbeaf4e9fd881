"""The program of user code: requests come in over a socket, replies go out.

The gateway starts `python -P -m handrail.serve.predictor_replica FOLDER FD RENDEZVOUS ADOPTABLE_S`, where FOLDER is a
snapshot of a project. That process runs nothing of the user's. It forks the replicas; each of them imports the file,
builds the class, and says that it is ready, or why it is not. A replica ends when its sockets do.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from handrail.core.errors import HandrailError
from handrail.predictors.answering import Answered, Answerer
from handrail.predictors.memory import limit_memory
from handrail.predictors.opening import opened
from handrail.predictors.project import code_of
from handrail.predictors.settings import Settings, read_settings
from handrail.predictors.starting import watched
from handrail.predictors.workplace import Workplaces
from handrail.serve.forkserver import fork_replicas
from handrail.serve.messages import MAX_PAYLOAD_BYTES, Header, framed, joined, receive
from handrail.serve.output import output_of

log = logging.getLogger("handrail.predictors")


def command_of(python: str = sys.executable) -> tuple[str, ...]:
    """The command line of this program in an environment, without its arguments."""
    return (python, "-P", "-m", "handrail.serve.predictor_replica")


def main(folder: str, descriptor: str, rendezvous: str = "", adoptable_s: str = "0") -> None:
    """Forks replicas until the gateway is gone."""
    # Ctrl-C in a terminal reaches the whole group: the gateway decides when its replicas stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=int(descriptor))
    try:
        settings = read_settings(Path(folder))
    except HandrailError as error:
        with control:
            _say([control], {"ready": False, **error.as_dict()})
        return
    workplaces = Workplaces(code_of(Path(folder)))
    ready = {"ready": True, "pid": os.getpid()}
    with contextlib.suppress(ConnectionError):
        fork_replicas(
            control, ready, lambda sockets: serve(settings, workplaces, sockets), rendezvous=rendezvous,
            adoptable_s=float(adoptable_s), output=output_of(os.environ),
        )  # fmt: skip
    workplaces.clear()


def serve(settings: Settings, workplaces: Workplaces, connections: Sequence[socket.socket]) -> None:
    """One replica: gets ready, or says why not, and answers on each connection until all have ended."""
    # Its children are in a group with it, so that they can be found when it is gone.
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    here = workplaces.enter()
    faulthandler.enable()  # a crash of a library says in the log where it was
    # A child that the user's code forks must neither answer for us nor keep our sockets open.
    os.register_at_fork(after_in_child=lambda: _close(connections))
    try:
        answerer = _started(settings, here, connections)
        serve_on(answerer, connections)
    except HandrailError as error:
        _say_why(connections, error)
        raise SystemExit(1) from None
    finally:
        sys.stdout.flush()
        workplaces.leave(here)


def serve_on(answerer: Answerer, connections: Sequence[socket.socket]) -> None:
    """Answers each connection in a thread of its own, the first one in this."""
    first, *others = connections
    threads = [threading.Thread(target=_answer, args=(answerer, one), daemon=True) for one in others]
    for thread in threads:
        thread.start()
    _answer(answerer, first)
    for thread in threads:
        thread.join()


def _started(settings: Settings, here: Path, connections: Sequence[socket.socket]) -> Answerer:
    ours = os.getpid()
    limit = limit_memory(settings.mem)
    with watched(connections[0], settings.ready_s, here, lambda error: _say_why(connections, error)):
        code = opened(settings, here, limit=limit)
    _stay(ours)
    return Answerer(code, here, limit, settings.batches)


def _answer(answerer: Answerer, connection: socket.socket) -> None:
    ours = os.getpid()
    with contextlib.suppress(EOFError, ConnectionError):
        connection.sendall(framed({"ready": True, "pid": ours}))
        while True:
            header, payload = receive(connection)
            answered = answerer.answered(header, payload)
            _stay(ours)
            connection.sendall(_written(answered))
            answerer.run_afterwards(answered)
            _stay(ours)


def _written(answered: Answered) -> bytes:
    content = joined(answered.answers)
    if len(content) > MAX_PAYLOAD_BYTES:
        problem = f"the reply is larger than {MAX_PAYLOAD_BYTES / 2**20:g} MB"
        too_large = {"code": "bug", "problem": problem, "mend": "return less at a time", "field": None}
        answered.header["failed"] = {str(row): too_large for row in range(len(answered.answers))}
        content = joined([b""] * len(answered.answers))
    return framed(answered.header, content)


def _stay(ours: int) -> None:
    """Ends a child that the user's code forked and that has come back to where it does not belong."""
    if os.getpid() != ours:
        os._exit(0)


def _say_why(connections: Sequence[socket.socket], error: HandrailError) -> None:
    log.error("not ready: %s", error)
    _say(connections, {"ready": False, "pid": os.getpid(), **error.as_dict()})


def _say(connections: Sequence[socket.socket], words: Header) -> None:
    for connection in connections:
        with contextlib.suppress(OSError):
            connection.sendall(framed(words))


def _close(connections: Sequence[socket.socket]) -> None:
    for connection in connections:
        connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
