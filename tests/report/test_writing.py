"""What is said about a model that writes."""

from __future__ import annotations

from typing import Any

import pytest

from handrail.report import terminal, writing
from handrail.report.html import draw

REPORT: dict[str, Any] = {
    "training": {
        "steps": 1, "tokens": 512, "ended": "it was stopped",
        "before": {"loss": 4.0, "perplexity": 54.6, "bits_per_byte": 2.0},
        "after": {"loss": 2.0, "perplexity": 7.39, "bits_per_byte": 1.0},
    },
    "exported": {"bits": 8, "rows": 3, "loss": 2.2, "perplexity": 9.03},
    "samples": [{"prompt": "ROMEO:\n", "text": "O!\nIs it you?"}],
}  # fmt: skip


def test_what_was_exported_is_scored_in_the_same_measures() -> None:
    assert writing.rows(REPORT)[-1] == ("as exported, 8 bits", "9.030", "1.100")


def test_the_headline_is_that_of_the_model_as_it_was_saved() -> None:
    assert "perplexity 54.600 → 9.030, bits per byte 2.000 → 1.100: 45 % fewer" in writing.headline(REPORT)
    unmeasured = {**REPORT, "exported": {"bits": 8}}
    assert "bits per byte 2.000 → 1.000: 50 % fewer" in writing.headline(unmeasured)


def test_one_step_is_called_a_step() -> None:
    assert ("It ended after 1 step and 512 tokens: it was stopped.",) in dict(terminal.lines(REPORT))["in words"]


def test_lines_of_a_text_are_marked_in_the_terminal() -> None:
    assert dict(terminal.lines(REPORT))["what it writes"] == [("ROMEO: ⏎ ▸O! ⏎ Is it you?",)]


def test_kinds_of_text_stand_in_one_order_wherever_they_were_kept() -> None:
    page = str(writing.recitation({"recitation": {kind: {"share": 0.0} for kind in ("held_out", "sampled", "greedy")}}))
    places = [page.index(f">{words}<") for words in writing.KINDS.values()]
    assert places == sorted(places)


@pytest.mark.parametrize(("dialogue", "words"), [(False, "writing like the texts"), (True, "answering like the texts")])
def test_the_card_says_what_it_is_for_and_how_to_make_it_again(dialogue: bool, words: str) -> None:
    asked = {"base": "smollm2", "steps": 9, "balance": True}
    report = {
        **REPORT,
        "task": "generation",
        "name": "romeo",
        "seed": 3,
        "asked": asked,
        "plan": {"dialogue": dialogue},
    }
    page = draw(report)
    assert words in page
    assert "handrail finetune YOUR_FILE --name romeo --seed 3 --base smollm2 --steps 9 --balance" in page
    assert "512 tokens that it saw" in page
    assert "target" not in page


def test_the_page_of_a_model_that_writes_begins_with_its_score() -> None:
    page = draw({**REPORT, "task": "generation", "name": "romeo"})
    assert page.index(writing.headline(REPORT)) < page.index("How it learnt")
    assert page.count(writing.headline(REPORT)) == 1
