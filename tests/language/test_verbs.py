"""`handrail summarize`, `handrail search` and `handrail embed`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.faces.conftest import Cli, cli  # noqa: F401
from tests.language.test_summarizer import BODY, SENTENCES


@pytest.fixture(autouse=True)
def stocked(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDRAIL_HOME", str(store))


def test_a_file_and_standard_input_are_summarised(cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "story.txt"
    file.write_text(BODY, encoding="utf-8")
    done = cli("summarize", str(file), "--sentences", "3")
    assert done.status == 0
    assert done.out.startswith(SENTENCES[0])
    piped = cli("summarize", "-", "--sentences", "3", "--json", stdin=BODY.encode("utf-16"))
    assert json.loads(piped.out)["summary"] == done.out.strip()
    assert len(json.loads(piped.out)["sentences"]) == 3
    without = cli("summarize", str(file), "--ratio", ".5", "--no-first", "--gmm", "--json")
    assert len(json.loads(without.out)["sentences"]) == 5


def test_without_a_language_model_it_says_so_and_chooses_sentences(
    cli: Cli,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HANDRAIL_OFFLINE", "1")
    done = cli("summarize", "-", "--sentences", "3", "--method", "abstractive", "--json", stdin=BODY.encode())
    assert done.status == 0
    assert json.loads(done.out)["method"] == "extractive"
    assert "handrail import smollm2" in " ".join(done.err.split())
    assert cli("summarize", "-", "--method", "abstractive", "--writer", "nobody", stdin=BODY.encode()).status == 4


@pytest.mark.parametrize(
    "words",
    [
        ["--ratio", "nan"],
        ["--ratio", "0"],
        ["--ratio", "2"],
        ["--sentences", "0"],
        ["--sentences", "1e9"],
        ["--language", "English"],
        ["--min-length", "-1"],
        ["--sentences", "3", "--sentences", "4"],
    ],
)
def test_bad_options_are_usage(cli: Cli, words: list[str]) -> None:  # noqa: F811
    done = cli("summarize", "-", *words, stdin=BODY.encode())
    assert done.status == 2
    assert "hint:" in done.err


@pytest.mark.parametrize("content", [b"", b" \n", b"\x89PNG\r\n", b"a\0b", bytes(range(256)) * 40])
def test_what_is_no_text_is_data(cli: Cli, content: bytes) -> None:  # noqa: F811
    done = cli("summarize", "-", stdin=content)
    assert done.status == 3
    assert done.out == ""


def test_documents_are_made_searchable_and_asked(cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    for number, sentence in enumerate(SENTENCES):
        (tmp_path / f"{number}.txt").write_text(sentence, encoding="utf-8")
    built = cli("search", "build", str(tmp_path), "-o", "story")
    assert built.status == 0
    assert "story@1: 10 documents, 10 passages" in built.out
    found = cli("search", "story", SENTENCES[4], "-k", "2")
    assert found.status == 0
    assert found.out.startswith("1.00  4.txt")
    as_json = json.loads(cli("search", "ask", "story", SENTENCES[4], "--json").out)
    assert as_json["matches"][0]["document"] == "4.txt"
    assert json.loads(cli("predict", "story", SENTENCES[4]).out)["matches"][0]["document"] == "4.txt"


def test_a_search_without_a_name_or_of_none_is_refused(cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    assert cli("search", "build", str(tmp_path)).status == 2
    assert cli("search", "build", str(tmp_path), "-o", "empty").status == 3
    assert cli("search", "nosuch", "a question").status == 4
    assert cli("search", "nosuch").status == 2


def test_lines_become_vectors(cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "v.npy"
    assert cli("embed", "-", "-o", str(path), stdin=b"a cat\n\na dog\n").status == 0
    assert np.load(path).shape == (2, 64)
    lines = cli("embed", "-", stdin=b"a cat\n\na dog\n").out.splitlines()
    assert np.allclose([json.loads(line) for line in lines], np.load(path), atol=1e-6)
    assert cli("embed", "-", "-o", "v.csv", stdin=b"a").status == 2
