"""Searches and encoders on the engine: their routes are there, and keys of single APIs hold for them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import handrail
from handrail.deploy.spec import ApiSpec
from handrail.serve.keys import add_key
from handrail.training.importing import import_base
from tests.engines.engine import engine_at

PLAIN = {"content-type": "text/plain"}
TEXT = b"The first sentence is about cats. The second sentence is about trains. The third one is about soup."


def test_a_deployed_search_finds_and_a_deployed_encoder_summarises(store: Path, tmp_path: Path) -> None:
    handrail.Search.build(["a cat", "a train", "a soup"], name="texts", home=store)
    import_base("tiny", "reader", home=store)
    home = tmp_path / "home"
    shutil.copytree(store, home)
    secret = add_key(tmp_path / "keys.json", "ours")
    with engine_at(home, versions=0) as engine:
        engine.deploy(ApiSpec("texts", model="texts@1"))
        engine.deploy(ApiSpec("reader", model="reader@1", keys=str(tmp_path / "keys.json")))

        def asked(path: str, body: object, headers: dict[str, str], key: str = "") -> tuple[int, Any]:
            shown = {**headers, **({"authorization": f"Bearer {key}"} if key else {})}
            status, _, content = engine.served.ask("POST", path, body, shown)
            return status, json.loads(content)

        status, found = asked("/texts/search", {"question": "a train", "k": 1}, {})
        assert (status, found["matches"][0]["text"]) == (200, "a train")
        question = {"model": "reader", "input": "a text"}
        for path, body, headers in (
            ("/summarize", TEXT, PLAIN),
            ("/summarize_by_ratio", TEXT, PLAIN),
            ("/reader/summarize", TEXT, PLAIN),
            ("/v1/embeddings", question, {"content-type": "application/json"}),
        ):
            assert asked(path, body, headers)[0] == 401
            assert asked(path, body, headers, secret)[0] == 200
        assert asked("/v1/embeddings", {**question, "model": "texts"}, {"content-type": "application/json"})[0] == 200
