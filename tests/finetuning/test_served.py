"""The whole way: conversations teach a base, the model is served, and OpenAI's client streams a chat from it."""

from __future__ import annotations

import json
from pathlib import Path

import openai
import pytest

import handrail
from tests.serve.served import serving

QUESTION = "What did 7 do?"


@pytest.mark.slow
def test_openai_s_client_streams_a_chat_from_a_model_that_was_taught(
    tmp_path: Path, tiny_base: Path, home: Path
) -> None:
    rows = [{"prompt": f"What did {who} do?", "answer": f"{who} sold rye."} for who in map(str, range(60))]
    path = tmp_path / "talk.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    model = handrail.finetune(path, base=str(tiny_base), name="talk", steps=120, samples=0)
    messages = [{"role": "user", "content": QUESTION}]
    wanted = model.chat(messages, max_tokens=12, temperature=0.0)
    with serving(model.bundle.path) as served:
        address = f"http://127.0.0.1:{served.port}/v1"
        with openai.OpenAI(base_url=address, api_key="none", max_retries=0) as client:
            stream = client.chat.completions.create(
                model="talk", messages=[{"role": "user", "content": QUESTION}], max_tokens=12, temperature=0,
                stream=True,
            )  # fmt: skip
            choices = [choice for chunk in stream for choice in chunk.choices]
    assert len(choices) > 2
    said = "".join(choice.delta.content or "" for choice in choices)
    assert said.strip() == wanted["message"]["content"]
    assert "sold rye." in said
    assert choices[-1].finish_reason in ("stop", "length")
