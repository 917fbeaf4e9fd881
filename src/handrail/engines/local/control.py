"""The control socket: one request a line, what happens on the way line by line, one answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from handrail.core.errors import HandrailError, did_you_mean, listed

MAX_LINE_BYTES: Final = 2**24

log = logging.getLogger("handrail.engine")

Say = Callable[[str, str], None]
# A request and where to tell what happens, to the answer.
Verb = Callable[[Mapping[str, Any], Say], Awaitable[dict[str, Any]]]


async def answering(listening: socket.socket, verbs: Mapping[str, Verb]) -> asyncio.Server:
    """Answers with these verbs whoever comes to this socket."""
    return await asyncio.start_unix_server(
        lambda reader, writer: _asked(reader, writer, verbs), sock=listening, limit=MAX_LINE_BYTES
    )


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, verbs: Mapping[str, Verb]) -> None:
    def say(api: str, text: str) -> None:
        _write(writer, {"event": "step", "api": api, "text": text})

    try:
        line = await reader.readline()
        if line:
            _write(writer, await _answered(line, verbs, say))
            await writer.drain()
    except (ConnectionError, ValueError):
        pass  # it left, or sent a line without end
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _answered(line: bytes, verbs: Mapping[str, Verb], say: Say) -> dict[str, Any]:
    """What goes on, goes on to its end even when the client leaves: `say` then tells nobody."""
    try:
        request = json.loads(line)
        word = request.get("do") if isinstance(request, dict) else None
        if not isinstance(word, str) or word not in verbs:
            mend = did_you_mean(str(word), verbs).strip() or f"there are {listed(verbs, 20)}"
            raise HandrailError("usage", "the engine does not know this request: it may be older", mend)
        return {"result": await asyncio.shield(asyncio.ensure_future(verbs[word](request, say)))}
    except HandrailError as error:
        return error.as_dict()
    except Exception as error:
        log.exception("a request to the engine failed")
        said = HandrailError("bug", f"the engine failed: {error!r}", "see logs/engine.log in HANDRAIL_HOME")
        return said.as_dict()


def _write(writer: asyncio.StreamWriter, message: Mapping[str, Any]) -> None:
    if not writer.is_closing():
        writer.write(json.dumps(message).encode() + b"\n")
