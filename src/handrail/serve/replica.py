"""Answers for one model version: rows come in over a socket, answers go out.

The gateway starts `python -P -m handrail.serve.replica FOLDER FD RENDEZVOUS ADOPTABLE_S`. That process opens the
bundle, answers its examples once, and forks the replicas. A replica ends when its socket does.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from handrail.core.errors import HandrailError
from handrail.model import Model, load
from handrail.serve.forkserver import fork_replicas
from handrail.serve.messages import Header, framed, joined, receive
from handrail.serve.output import output_of
from handrail.serve.packing import columns_of, rows_in

log = logging.getLogger("handrail.serve")

NO_SECONDS: Final = (0.0, 0.0, 0.0)
Handler = Callable[[Model, bytes], tuple[Header, bytes]]


def main(folder: str, descriptor: str, rendezvous: str = "", adoptable_s: str = "0") -> None:
    """Opens the bundle, answers its examples once, then forks replicas until the gateway is gone."""
    # Ctrl-C in a terminal reaches the whole group: the gateway decides when its replicas stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=int(descriptor))
    try:
        model = load(Path(folder))
        checked = model.check()
    except HandrailError as error:
        with control, contextlib.suppress(ConnectionError):
            control.sendall(framed({"ready": False, **error.as_dict()}))
        return
    # What lives now lives as long as the process: not looked at by the collector, its pages stay shared.
    gc.collect()
    gc.freeze()
    ready = {"ready": True, "pid": os.getpid(), **checked}
    with contextlib.suppress(ConnectionError):
        fork_replicas(
            control, ready, lambda sockets: serve(model, sockets[0]), rendezvous=rendezvous,
            adoptable_s=float(adoptable_s), output=output_of(os.environ),
        )  # fmt: skip


def serve(model: Model, connection: socket.socket) -> None:
    """Answers messages until the other side is gone."""
    with contextlib.suppress(EOFError, ConnectionError):
        connection.sendall(framed({"ready": True, "pid": os.getpid()}))
        while True:
            header, payload = receive(connection)
            connection.sendall(answered(model, header, payload))


def answered(model: Model, header: Header, payload: bytes) -> bytes:
    """The reply to one message, as bytes."""
    reply, content = _HANDLERS[header["do"]](model, payload)
    return framed(reply, content)


def predict(model: Model, payload: bytes) -> tuple[Header, bytes]:
    """Answers of a batch. Where the batch fails, each row is answered alone, so that a bad row fails alone."""
    begun = time.perf_counter()
    rows = rows_in(payload, model.signature)
    failed: dict[str, object] = {}
    answers: list[Any]
    try:
        answers, (encode_s, run_s, _) = model.timed(columns_of(rows, model.signature))
    except Exception:
        answers, failed = _one_by_one(model, rows)
        encode_s = run_s = 0.0
    content = joined([_json(answer) for answer in answers])
    decode_s = time.perf_counter() - begun - encode_s - run_s
    return {"rows": len(answers), "failed": failed, "seconds": (encode_s, run_s, decode_s)}, content


def explain(model: Model, payload: bytes) -> tuple[Header, bytes]:
    """How each input moved the answer of one row, as it was sent."""
    failed: dict[str, object] = {}
    answer = b"null"
    try:
        answer = _json(model.explain(orjson.loads(payload)[0]))
    except Exception as error:
        failed["0"] = _problem(error)
    return {"rows": 1, "failed": failed, "seconds": NO_SECONDS}, joined([answer])


def ping(model: Model, payload: bytes) -> tuple[Header, bytes]:
    """Says that it is there."""
    return {"rows": 0, "failed": {}, "seconds": NO_SECONDS}, b""


_HANDLERS: Final[dict[str, Handler]] = {"predict": predict, "explain": explain, "ping": ping}


def _one_by_one(model: Model, rows: Sequence[Sequence[Any]]) -> tuple[list[Any], dict[str, object]]:
    answers: list[Any] = []
    failed: dict[str, object] = {}
    for index in range(len(rows)):
        try:
            answers += model.timed(columns_of(rows[index : index + 1], model.signature))[0]
        except Exception as error:
            answers.append(None)
            failed[str(index)] = _problem(error)
    return answers, failed


def _problem(error: Exception) -> dict[str, object]:
    """What a client may know of a failure: our own words about its data, never a path or a traceback."""
    if isinstance(error, HandrailError) and error.code in ("data", "usage"):
        return {"code": error.code, "problem": error.problem, "mend": error.mend, "field": error.field}
    if isinstance(error, MemoryError):
        mend = "send less at a time"
        return {"code": "too_large", "problem": "this row takes more memory than there is", "mend": mend, "field": None}
    log.error("a row failed: %.2000r", error)
    return {"code": "bug", "problem": "the model failed on this row", "mend": "report the row", "field": None}


def _json(answer: object) -> bytes:
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


if __name__ == "__main__":
    main(*sys.argv[1:])
