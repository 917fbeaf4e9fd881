"""Searches and encoders behind HTTP: what is answered, and what the OpenAPI document says of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

import handrail
from handrail.faces.cli.serve import put_addresses
from handrail.store import Store
from handrail.training.importing import import_base
from tests.language.test_summarizer import BODY, SENTENCES
from tests.serve.served import serving

ROOT = Path(__file__).parents[2]
TEXTS = ["The cat sat on the mat.", "Stocks fell in early trade.", "A recipe for onion soup."]
PLAIN = {"content-type": "text/plain"}


@pytest.fixture(scope="module")
def bundles(store: Path) -> dict[str, Path]:
    """A search and an encoder, as folders."""
    handrail.Search.build(TEXTS, name="texts", home=store)
    import_base("tiny", "reader", home=store)
    return {name: Store(store).find(f"{name}@1") for name in ("texts", "reader")}


def test_a_question_gets_the_best_passages(bundles: dict[str, Path]) -> None:
    with serving(bundles["texts"]) as served:
        status, _, content = served.ask("POST", "/texts/search", {"question": TEXTS[1], "k": 2})
        assert status == 200
        found = json.loads(content)["matches"]
        assert found[0]["document"] == "2"
        assert len(found) == 2
        assert served.ask("POST", "/texts/search", {"question": ""})[0] == 400
        assert served.ask("POST", "/texts/summarize", b"A text.", PLAIN)[0] == 404
        document = json.loads(served.ask("GET", "/openapi.json")[2])
        validate(document, cls=OpenAPIV31SpecValidator)
        schemas = document["components"]["schemas"]
        assert schemas["texts.answer"]["required"] == ["vector", "matches"]
        assert document["paths"]["/texts/search"]["post"]["tags"] == ["texts"]


def test_the_page_of_a_search_asks_a_question(bundles: dict[str, Path]) -> None:
    with serving(bundles["texts"]) as served:
        page = served.ask("GET", "/texts", None, {"accept": "text/html"})[2].decode()
        assert "Finds the passages that mean most nearly what a question asks" in page
        assert "<button class=main>Search</button>" in page
        assert "/texts/search</pre>" in page


def test_a_search_that_is_served_says_how_to_ask(bundles: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    put_addresses("http://here", [handrail.load(bundles["texts"]), handrail.load(bundles["reader"])], asks=False)
    said = capsys.readouterr()
    assert "POST http://here/texts/search" in said.out
    assert "POST http://here/reader/predict" in said.out
    assert """http://here/texts/search --json '{"question": "The cat sat on the mat.", "k": 3}'""" in said.err


def test_a_summary_over_http_is_the_summarizers(bundles: dict[str, Path], store: Path) -> None:
    summarizer = handrail.Summarizer("reader", home=store)
    with serving(bundles["reader"]) as served:

        def asked(path: str, body: bytes = BODY.encode()) -> Any:
            status, _, content = served.ask("POST", path, body, PLAIN)
            return json.loads(content).get("summary") if status == 200 else status

        by_ratio = summarizer(BODY, ratio=0.4, min_length=25, max_length=500)
        assert asked("/summarize_by_ratio?ratio=0.4") == by_ratio == asked("/reader/summarize?ratio=0.4")
        by_number = summarizer(BODY, num_sentences=3, min_length=25, max_length=500)
        assert asked("/summarize_by_sentence?num_sentences=3") == by_number == asked("/summarize?num_sentences=3")
        assert asked("/summarize", SENTENCES[0].encode()) == SENTENCES[0]
        assert [asked("/summarize?ratio=3"), asked("/summarize", b" "), asked("/reader/search")] == [400, 422, 404]
        document = json.loads(served.ask("GET", "/openapi.json")[2])
        validate(document, cls=OpenAPIV31SpecValidator)
        assert {path for path in document["paths"] if "summarize" in path} == {
            "/summarize", "/summarize_by_ratio", "/summarize_by_sentence", "/reader/summarize",
        }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ["texts", "reader"])
def test_schemathesis_finds_nothing(bundles: dict[str, Path], tmp_path: Path, name: str) -> None:
    hooks = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.serve.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", "--no-color", "--seed", "1"]
    options = ["--max-examples", "20", "--generation-database", "none", "--suppress-health-check", "all"]
    options += ["--include-path-regex", f"^/({name}|summarize)"]
    with serving(bundles[name]) as served:
        found = subprocess.run(
            [*command, *options, f"http://127.0.0.1:{served.port}/openapi.json"],
            cwd=tmp_path, env=hooks, capture_output=True, text=True, timeout=250, check=False,
        )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
