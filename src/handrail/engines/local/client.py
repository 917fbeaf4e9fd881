"""Asks the engine over its control socket: one request, what it tells on the way, one answer."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from handrail.core.errors import EXIT_AND_HTTP_STATUS, HandrailError, listed
from handrail.engines.local.place import Place
from handrail.store.deployments import Deployments

PING_S: Final = 5.0
MAX_LINE_BYTES: Final = 2**26
# Requests that change nothing, so that nothing goes on when the client leaves.
READS: Final = frozenset({"ping", "status"})

OnEvent = Callable[[Mapping[str, Any]], None]


def ask(
    place: Place, request: Mapping[str, Any], on_event: OnEvent | None = None, timeout_s: float | None = None
) -> dict[str, Any]:
    """What the engine answers; `on_event` gets each event before it. `timeout_s`: the longest silence (None: any).

    Raises HandrailError: the engine's own, or one that says that it is not running, went away or is silent.
    """
    if request["do"] in READS:
        # Where a gateway is replaced by another one, that one answers what the first had heard.
        with contextlib.suppress(EOFError):
            return _asked(place, request, on_event, timeout_s)
    try:
        return _asked(place, request, on_event, timeout_s)
    except EOFError:
        problem = "the engine went away in the middle of its answer"
        mend = "handrail status shows what is there; the same command again ends it"
        raise HandrailError("environment", problem, mend) from None


def _asked(
    place: Place, request: Mapping[str, Any], on_event: OnEvent | None, timeout_s: float | None
) -> dict[str, Any]:
    try:
        with _connected(place, timeout_s) as connection:
            for message in _messages(connection, request, timeout_s, place):
                if "error" in message:
                    raise _refusal(message["error"])
                if "result" in message:
                    return _object(message["result"])
                if on_event is not None:
                    on_event(message)
    except KeyboardInterrupt:
        raise _left(str(request["do"])) from None
    raise EOFError


def is_running(place: Place) -> bool:
    """Whether an engine answers. Raises HandrailError where one is there and says nothing."""
    try:
        ask(place, {"do": "ping"}, timeout_s=PING_S)
    except HandrailError as error:
        if error.code != "not_found":
            raise
        return False
    return True


def not_running(place: Place) -> HandrailError:
    """The error of a request that nobody is there to hear."""
    kept = Deployments(place.home).apis()
    if not kept:
        return HandrailError("not_found", "nothing is deployed: the engine is not running", "handrail deploy NAME")
    problem = f"the engine is not running; it would bring back: {listed(kept)}"
    return HandrailError("not_found", problem, "handrail up")


@contextlib.contextmanager
def _connected(place: Place, timeout_s: float | None) -> Iterator[socket.socket]:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        _connect(connection, place)
        yield connection
    finally:
        connection.close()


def _connect(connection: socket.socket, place: Place) -> None:
    try:
        connection.connect(str(place.control))
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        raise not_running(place) from None
    except OSError as error:
        problem = f"the engine cannot be reached: {(error.strerror or str(error)).lower()}"
        mend = "use the account that started it, or a HANDRAIL_HOME of your own"
        raise HandrailError("environment", problem, mend, where=str(place.control)) from None


def _messages(
    connection: socket.socket, request: Mapping[str, Any], timeout_s: float | None, place: Place
) -> Iterator[dict[str, Any]]:
    """What the engine says, message by message, until it says no more."""
    try:
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as lines:
            while (line := lines.readline(MAX_LINE_BYTES)).endswith(b"\n"):
                yield _object(_parsed(line))
    except TimeoutError:
        problem = f"the engine said nothing for {timeout_s:g} seconds"
        raise HandrailError("timeout", problem, f"what it does, or why it does not start: {place.engine_log}") from None
    except OSError:
        raise EOFError from None
    if line:
        raise EOFError


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise _foreign() from None


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _foreign()
    return value


def _refusal(error: Any) -> HandrailError:
    """The engine's error with the same fields. A code that this Handrail does not know is a newer one's."""
    said = _object(error)
    code = said.get("code")
    return HandrailError(
        code if code in EXIT_AND_HTTP_STATUS else "bug",
        str(said.get("message", "the engine refused without a word")),
        str(said.get("hint", "handrail logs NAME may say more")),
        where=str(said["where"]) if "where" in said else None,
        field=str(said["field"]) if "field" in said else None,
    )


def _left(act: str) -> HandrailError:
    if act in READS:
        return HandrailError("interrupted", "interrupted", "the same command begins again")
    problem = f"interrupted while waiting; the engine goes on with the {act}"
    return HandrailError("interrupted", problem, "handrail status shows how far it is")


def _foreign() -> HandrailError:
    problem = "what answers at the control socket is no Handrail engine of this version"
    return HandrailError("environment", problem, "handrail down, then handrail up")
