"""People who ask a server together, each with a stream of its own: `generation_people.py PORT FILE`, one JSON out.

FILE holds {"model", "prompts" (token numbers), "tokens"}. Nobody is late: all connections are open before the first asks.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Heard:
    """What one of them got, piece by piece, with the moment of each."""

    begun: float
    pieces: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def events(self) -> list[dict]:
        """The events after the head of the answer; the marks of chunks are lines of their own and are no events."""
        lines = b"".join(piece for _, piece in self.pieces).replace(b"\r\n", b"\n").split(b"\n")
        return [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]

    @property
    def first_s(self) -> float:
        return next(moment for moment, piece in self.pieces if b"data: {" in piece) - self.begun


async def main() -> None:
    port, asked = int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in asked["prompts"]]
    begun = time.perf_counter()
    heard = await asyncio.gather(*(one(*stream, asked, prompt) for stream, prompt in zip(streams, asked["prompts"], strict=True)))  # fmt: skip
    took = time.perf_counter() - begun
    written = [each.events[-1]["usage"]["completion_tokens"] for each in heard]
    if set(written) != {asked["tokens"]}:
        raise SystemExit(f"not everybody got {asked['tokens']} tokens: {written}")
    firsts = sorted(each.first_s for each in heard)
    print(json.dumps({"tokens_per_s": sum(written) / took, "took_s": took, "first_s": firsts[len(firsts) // 2], "last_first_s": firsts[-1]}))  # fmt: skip


async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: dict, prompt: list[int]) -> Heard:
    wish = {"model": asked["model"], "prompt": prompt, "max_tokens": asked["tokens"], "temperature": 0, "stream": True, "stream_options": {"include_usage": True}}  # fmt: skip
    body = json.dumps(wish).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    heard = Heard(time.perf_counter())
    writer.write(head.encode() + body)
    while piece := await reader.read(2**16):
        heard.pieces.append((time.perf_counter(), piece))
    writer.close()
    if b" 200 " not in heard.pieces[0][1][:20]:
        raise RuntimeError(heard.pieces[0][1].decode())
    return heard


asyncio.run(main())
