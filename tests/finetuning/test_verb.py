"""`handrail finetune` and `handrail export --format`, as they are typed."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from handrail.faces.cli import carry_out

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home: Path) -> Typed:
    """Runs words as `handrail` would: status, stdout, stderr."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
        capsys.readouterr()
        status = carry_out(words)
        told = capsys.readouterr()
        return status, told.out, told.err

    return call


def test_a_text_is_learnt_and_what_to_type_next_is_said(typed: Typed, text: Path, tiny_base: Path) -> None:
    status, out, err = typed("finetune", str(text), "--base", str(tiny_base), "--steps", "6", "--samples", "0")
    assert status == 0
    assert "story@1 saved" in out
    assert "next: handrail generate story --prompt" in out
    for word in ("base", "method", "precision", "memory", "time", "✓ step 6"):
        assert word in err
    status, out, _ = typed("report", "story")
    assert status == 0
    assert "bits per byte" in out
    assert "Copied word by word" in out


def test_as_json_it_is_one_object(typed: Typed, text: Path, tiny_base: Path) -> None:
    status, out, _ = typed("finetune", str(text), "--base", str(tiny_base), "--steps", "4", "--json")
    assert status == 0
    found = json.loads(out)
    assert found["model"] == "story@1"
    assert found["steps"] == 4
    assert found["after"]["bits_per_byte"] > 0


def test_a_dry_run_shows_the_plan(typed: Typed, text: Path, tiny_base: Path) -> None:
    status, out, err = typed("finetune", str(text), "--base", str(tiny_base), "--dry-run", "--json")
    assert status == 0
    assert json.loads(out)["settings"]["time_s"] == 600
    assert "method" in err


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ((), 2, "DATA is missing"),
        (("nowhere.txt",), 3, "no such file"),
        (("TEXT", "--time", "soon"), 2, "--time must be"),
        (("TEXT", "--steps", "0"), 2, "--steps must be"),
        (("TEXT", "--epochs", "many"), 2, "--epochs must be a number"),
        (("TEXT", "--method", "lorra"), 2, "did you mean 'lora'?|Did you mean 'lora'?"),
        (("TEXT", "--base", "smollm3"), 4, "no base is called"),
    ],
)
def test_what_is_off_is_said_in_two_lines(
    words: tuple[str, ...], status: int, said: str, typed: Typed, text: Path
) -> None:
    found, _, err = typed("finetune", *(str(text) if word == "TEXT" else word for word in words))
    assert found == status
    assert any(part in err for part in said.split("|"))
    assert err.splitlines()[-1].startswith("hint: ")


def test_a_model_is_written_for_others(typed: Typed, text: Path, tiny_base: Path, tmp_path: Path) -> None:
    typed("finetune", str(text), "--base", str(tiny_base), "--steps", "2", "--samples", "0")
    status, out, _ = typed("export", "story", "--format", "gguf", "--bits", "8", "-o", str(tmp_path / "story.gguf"))
    assert status == 0
    assert "wrote" in out
    assert (tmp_path / "story.gguf").read_bytes()[:4] == b"GGUF"
