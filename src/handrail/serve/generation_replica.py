"""Writes texts for one model version: requests come in over a socket and join a running batch, pieces go out.

The gateway starts `python -P -m handrail.serve.generation_replica FOLDER FD RENDEZVOUS ADOPTABLE_S`. That process
has the bundle answer its examples once and forks the replicas. Each of them opens the weights itself, since threads of
a runtime do not survive a fork; files are mapped, so their pages are shared all the same. A replica ends when its
socket does.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

from handrail.core.errors import HandrailError
from handrail.core.processors import processors
from handrail.generate.pieces import Piece, TokenLogprob
from handrail.generate.settings import Settings, settings_from
from handrail.model import Model, load
from handrail.serve.forkserver import fork_replicas
from handrail.serve.messages import READ_BYTES, Header, Unframer, framed
from handrail.serve.output import output_of
from handrail.serve.processes import THREADS
from handrail.tasks.generation.predict import Writer

log = logging.getLogger("handrail.serve")

# While it writes, it says how it stands so often.
STATE_S: Final = 0.25


class Batch(Protocol):
    """What continues many texts at once: see `generate.generator.Generator`."""

    def submit(
        self, prompt: Sequence[int], settings: Settings, *, client: str, resume: Sequence[int], first_index: int
    ) -> int: ...
    def cancel(self, request: int) -> None: ...
    def step(self) -> list[Piece]: ...
    @property
    def is_idle(self) -> bool: ...
    def state(self) -> Mapping[str, float]: ...


class Voice(Protocol):
    """A model that writes, opened. `slots` is how many texts it continues at once."""

    @property
    def batch(self) -> Batch: ...
    @property
    def slots(self) -> int: ...
    def tokens(self, prompt: Mapping[str, Any]) -> Sequence[int]: ...
    def stops(self, prompt: Mapping[str, Any]) -> Sequence[str]: ...
    def named(self, token: int) -> tuple[str, bytes]: ...


def main(folder: str, descriptor: str, rendezvous: str = "", adoptable_s: str = "0") -> None:
    """Looks at the bundle, then forks replicas until the gateway is gone."""
    run(folder, descriptor, rendezvous, adoptable_s, opened)


def run(folder: str, descriptor: str, rendezvous: str, adoptable_s: str, open_voice: Callable[[Model], Voice]) -> None:
    """The program, with what opens the model in a replica."""
    # Ctrl-C in a terminal reaches the whole group: the gateway decides when its replicas stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=int(descriptor))
    try:
        model = load(Path(folder), threads=threads())
        told = checked(model)
    except HandrailError as error:
        told = {"ready": False, **error.as_dict()}
    if not told["ready"]:
        with control, contextlib.suppress(ConnectionError):
            control.sendall(framed(told))
        return
    # What lives now lives as long as the process: not looked at by the collector, its pages stay shared.
    gc.collect()
    gc.freeze()
    ready = {"pid": os.getpid(), **told}
    with contextlib.suppress(ConnectionError):
        fork_replicas(
            control, ready, lambda sockets: serve(lambda: open_voice(model), sockets[0]), rendezvous=rendezvous,
            adoptable_s=float(adoptable_s), output=output_of(os.environ),
        )  # fmt: skip


def checked(model: Model) -> Header:
    """Whether its members are whole and its examples are answered again, in words for the gateway. Done in a process of
    its own, whose threads end with it; replicas have no need to do it once more."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        told: Header = {"ready": False}
        try:
            told = {"ready": True, **model.check()}
        except HandrailError as error:
            told = {"ready": False, **error.as_dict()}
        finally:
            os.write(writes, orjson.dumps(told))
            os._exit(0)
    os.close(writes)
    with os.fdopen(reads, "rb") as pipe:
        content = pipe.read()
    os.waitpid(child, 0)
    found: Header = orjson.loads(content or b'{"ready": false}')
    return found


def threads() -> int:
    """The cores that a replica uses."""
    given = os.environ.get(THREADS, "")
    return int(given) if given.isdigit() and int(given) else processors()


def serve(open_voice: Callable[[], Voice], connection: socket.socket) -> None:
    """One replica: gets ready, or says why not, and writes until the other side is gone."""
    with contextlib.suppress(EOFError, ConnectionError):
        try:
            voice = open_voice()
        except HandrailError as error:
            log.error("not ready: %s", error)
            connection.sendall(framed({"ready": False, "pid": os.getpid(), **error.as_dict()}))
            raise SystemExit(1) from None
        connection.sendall(framed({"ready": True, "pid": os.getpid(), "slots": voice.slots}))
        Desk(voice, connection).run()


class Desk:
    """Between the socket and the batch. What came is taken between two steps, without waiting for more; only where
    nothing is being written does it wait."""

    def __init__(self, voice: Voice, connection: socket.socket) -> None:
        self._voice = voice
        self._connection = connection
        self._unframer = Unframer()
        self._theirs: dict[int, int] = {}  # our number of a request → the gateway's
        self._ours: dict[int, int] = {}
        self._told = 0.0
        self._lets_know = True

    def run(self) -> None:
        """Until the other side is gone: then EOFError or ConnectionError."""
        batch = self._voice.batch
        while True:
            self._take(wait=batch.is_idle)
            said = [] if batch.is_idle else self._said(batch.step())
            self._say(said)

    def _take(self, *, wait: bool) -> None:
        while select.select([self._connection], [], [], None if wait else 0.0)[0]:
            wait = False
            data = self._connection.recv(READ_BYTES)
            if not data:
                raise EOFError
            for header, payload in self._unframer.feed(data):
                self._do(header["do"], payload)

    def _do(self, verb: str, payload: bytes) -> None:
        if verb == "ping":
            self._lets_know = True
            return
        asked = orjson.loads(payload)
        if verb == "cancel":
            request = self._ours.get(asked["id"])
            if request is not None:
                self._forget(request)
                self._voice.batch.cancel(request)
            return
        try:
            self._submit(asked)
        except Exception as error:
            self._connection.sendall(framed({"pieces": [refused(asked["id"], error)]}))

    def _submit(self, asked: Header) -> None:
        prompt = asked["prompt"]
        settings = settings_from(asked["settings"])
        settings = replace(settings, stop=(*settings.stop, *self._voice.stops(prompt)))
        request = self._voice.batch.submit(
            self._voice.tokens(prompt), settings, client=asked["client"], resume=asked["resume"],
            first_index=asked["index"],
        )  # fmt: skip
        self._theirs[request] = asked["id"]
        self._ours[asked["id"]] = request

    def _said(self, pieces: Sequence[Piece]) -> list[list[Any]]:
        said = []
        for piece in pieces:
            number = self._theirs.get(piece.id)
            if number is None:
                continue  # cancelled
            if piece.finish is not None:
                self._forget(piece.id)
            said.append(self._written(number, piece))
        return said

    def _written(self, number: int, piece: Piece) -> list[Any]:
        usage = None if piece.usage is None else vars(piece.usage)
        logprobs = None if piece.logprobs is None else [self._told_of(one) for one in piece.logprobs]
        problem = None if piece.problem is None else problem_of(piece.problem)
        return [number, piece.text, piece.tokens, logprobs, piece.finish, usage, problem]

    def _told_of(self, one: TokenLogprob) -> list[Any]:
        return [*self._token(one.token, one.logprob), [self._token(token, logprob) for token, logprob in one.top]]

    def _token(self, token: int, logprob: float) -> list[Any]:
        name, content = self._voice.named(token)
        return [name, list(content), logprob]

    def _forget(self, request: int) -> None:
        self._ours.pop(self._theirs.pop(request), None)

    def _say(self, said: list[list[Any]]) -> None:
        now = time.perf_counter()
        told: Header = {"pieces": said} if said else {}
        if self._lets_know or (said and (now - self._told > STATE_S or self._voice.batch.is_idle)):
            told["state"] = self._voice.batch.state()
            self._told, self._lets_know = now, False
        if told:
            self._connection.sendall(framed(told))


def refused(number: int, error: Exception) -> list[Any]:
    """The one piece of a request that cannot be begun."""
    return [number, "", (), None, "failed", None, problem_of(error)]


def problem_of(error: Exception) -> dict[str, object]:
    """What a client may know of a failure: our own words about what it asked, never a path or a traceback."""
    if isinstance(error, HandrailError) and error.code in ("data", "usage", "too_large", "timeout", "overloaded"):
        return {"code": error.code, "problem": error.problem, "mend": error.mend, "field": error.field}
    log.error("a request failed: %.2000r", error)
    return {"code": "bug", "problem": "the model failed on this prompt", "mend": "report the prompt", "field": None}


@dataclass(frozen=True)
class Spoken:
    """An opened bundle as a voice."""

    writer: Writer
    slots: int

    @property
    def batch(self) -> Batch:
        return self.writer.generator

    def tokens(self, prompt: Mapping[str, Any]) -> Sequence[int]:
        if "tokens" in prompt:
            return list(prompt["tokens"])
        if "messages" not in prompt:
            return self.writer.prompt_tokens(prompt["text"])
        tools = prompt.get("tools")
        if tools and not self.writer.chat.takes_tools:
            mend = "leave tools out, or take a model that was taught to call them"
            raise HandrailError("data", "this model's chat template knows no tools", mend, field="tools")
        return self.writer.chat_tokens(prompt["messages"], tools)

    def stops(self, prompt: Mapping[str, Any]) -> Sequence[str]:
        return self.writer.chat.stop if "messages" in prompt else ()

    def named(self, token: int) -> tuple[str, bytes]:
        return self.writer.tokenizer.token_name(token), self.writer.tokenizer.token_bytes(token)


def opened(model: Model) -> Voice:
    """The model of a bundle, with its threads and its pages in memory."""
    writer = model.writer
    writer.generator.answer([writer.prompt_tokens("a")], Settings(max_tokens=2, temperature=0.0))
    # The decoder keeps one slot for a prompt that is being read.
    return Spoken(writer, writer.decoder.slots - 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
