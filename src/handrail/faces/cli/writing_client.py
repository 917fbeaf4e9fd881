"""What `handrail client` prints for a model that writes: OpenAI's own client pointed at it, or a curl line."""

from __future__ import annotations

import json
import shlex

CLIENT = '''\
"""Asks the model {plain}, written by `handrail client`. It needs OpenAI's client: pip install openai

    answer = ask("Hello!")              # a text
    for piece in tell("Once upon"):     # a text that goes on, piece by piece
        print(piece, end="", flush=True)
"""

import os
from collections.abc import Iterator

import openai

MODEL = {name}
# The key of `handrail keys add`, where the server asks for one.
client = openai.OpenAI(base_url={url}, api_key=os.environ.get("HANDRAIL_KEY", "none"))


def ask(words: str, *, system: str = "", max_tokens: int = 256, temperature: float = 0.8) -> str:
    """The answer to what somebody says."""
    before = [{{"role": "system", "content": system}}] if system else []
    answer = client.chat.completions.create(
        model=MODEL, messages=[*before, {{"role": "user", "content": words}}],
        max_completion_tokens=max_tokens, temperature=temperature,
    )
    return answer.choices[0].message.content or ""


def tell(start: str, *, max_tokens: int = 256, temperature: float = 0.8, seed: int | None = None) -> Iterator[str]:
    """How a text goes on, piece by piece while it is written."""
    for event in client.completions.create(
        model=MODEL, prompt=start, max_tokens=max_tokens, temperature=temperature, seed=seed, stream=True
    ):
        yield event.choices[0].text


if __name__ == "__main__":
    for piece in tell("Once upon a time", max_tokens=64):
        print(piece, end="", flush=True)
    print()
'''


def writing_client(name: str, address: str) -> str:
    """The source of a module that asks and tells."""
    return CLIENT.format(plain=name, name=json.dumps(name), url=json.dumps(f"{address}/v1"))


def writing_curl_line(name: str, address: str, key: str = "") -> str:
    """A request whose answer comes while it is written."""
    asked = json.dumps({"prompt": "Once upon a time", "max_tokens": 64, "stream": True})
    return f"curl -N {address}/{name}/generate -H 'content-type: application/json'{key} -d {shlex.quote(asked)}\n"
