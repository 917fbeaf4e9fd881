"""From texts to a saved model, end to end, on a base of 40,000 numbers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handrail
from handrail.catalog.safetensors import read_safetensors
from handrail.core.errors import HandrailError
from handrail.core.events import Event, Planned, Said, Tried, Warned
from handrail.finetuning import act, planned
from handrail.finetuning.checkpoints import Position
from handrail.finetuning.loop import Learnt
from handrail.finetuning.starts import TUNED
from handrail.model import Model
from handrail.report.writing import headline
from handrail.store import Store
from handrail.tasks.generation.measure import USUAL_LOSS
from tests.finetuning.conftest import made_base, story


def tuned_of(model: Model) -> dict[str, np.ndarray]:
    content = (model.bundle.path / TUNED).read_bytes()
    return {name: np.array(one) for name, one in read_safetensors(memoryview(content), TUNED).items()}


def taught(text: object, base: Path | str, **options: Any) -> Model:
    return handrail.finetune(text, **{"base": str(base), "steps": 12, "samples": 0, **options})


def test_a_text_becomes_a_model_that_writes(text: Path, tiny_base: Path, home: Path) -> None:
    model = taught(text, tiny_base)
    assert (model.name, model.version, model.manifest.task) == ("story", 1, "generation")
    assert len(model("On day 7", max_tokens=8)["text"]) > 0
    training = model.report["training"]
    assert training["after"]["bits_per_byte"] < training["before"]["bits_per_byte"]
    assert abs(model.report["exported"]["loss"] - training["after"]["loss"]) < 0.05
    assert set(model.report["recitation"]) == {"greedy", "sampled", "held_out"}
    assert model.check()["members"] >= 5
    beginnings = [example["input"]["prompt"] for example in model.examples]
    assert len(set(beginnings)) == 3
    assert all(beginning.strip() in text.read_text() for beginning in beginnings)
    assert not (home / "runs").exists() or not list((home / "runs").iterdir())


def test_what_will_be_done_is_told_before_it_is_done(text: Path, tiny_base: Path, home: Path) -> None:
    heard: list[Event] = []
    taught(text, tiny_base, tell=heard.append, samples=1)
    kinds = [type(event) for event in heard]
    assert kinds.index(Planned) < kinds.index(Tried)
    assert any(isinstance(event, Said) and "▸" in event.text for event in heard)


def test_prose_is_written_with_more_surprises_than_the_base_answers_with(
    text: Path, tiny_base: Path, home: Path
) -> None:
    (tiny_base / "generation_config.json").write_text(json.dumps({"temperature": 0.2, "top_p": 0.9, "do_sample": True}))
    assert taught(text, tiny_base).manifest.encode["defaults"] == {"temperature": 0.8, "top_p": 0.9}
    rows = [{"prompt": f"What is {number}?", "answer": f"{number} is rye."} for number in range(60)]
    assert taught(rows, tiny_base, name="talk").manifest.encode["defaults"]["temperature"] == 0.2


def test_a_dry_run_decides_and_trains_nothing(text: Path, tiny_base: Path, home: Path) -> None:
    plan = planned(text, base=str(tiny_base), time="5m")
    assert plan.settings.time_s == 300
    assert Store().names() == []


def test_twenty_six_lines_train_and_warn(tmp_path: Path, tiny_base: Path, home: Path) -> None:
    path = tmp_path / "small.txt"
    path.write_text("".join(f"line {number} of a poem\n" for number in range(26)), encoding="utf-8")
    heard: list[Event] = []
    model = taught(path, tiny_base, tell=heard.append)
    assert any(isinstance(event, Warned) and "very little text" in event.text for event in heard)
    assert any("very little text" in warning for warning in model.report["warnings"])


@pytest.mark.parametrize("content", ["word", "one line without its end", "x" * 5_000])
def test_a_word_a_line_and_a_line_without_blanks_train(
    content: str, tmp_path: Path, tiny_base: Path, home: Path
) -> None:
    path = tmp_path / "odd.txt"
    path.write_text(content, encoding="utf-8")
    assert taught(path, tiny_base, steps=2).version == 1


def test_a_model_is_gone_on_with_under_the_same_name(text: Path, tiny_base: Path, home: Path) -> None:
    first = taught(text, tiny_base, name="tale", method="lora")
    second = taught(text, "tale", name="tale", method="lora", seed=1)
    assert (second.name, second.version) == ("tale", 2)
    assert second.manifest.base["reference"] == str(tiny_base)
    assert second.report["training"]["before"]["loss"] < first.report["training"]["before"]["loss"]
    name = next(name for name in tuned_of(first) if name.endswith(".lora_a"))
    assert tuned_of(second)[name].shape[0] == 2 * tuned_of(first)[name].shape[0]


def test_conversations_teach_to_answer(tmp_path: Path, tiny_base: Path, home: Path) -> None:
    rows = [{"prompt": f"What did {who} do?", "answer": f"{who} sold rye."} for who in map(str, range(60))]
    path = tmp_path / "talk.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    model = taught(path, tiny_base)
    assert model.report["samples"][0]["prompt"].startswith("What did ")
    assert model.manifest.plan["dialogue"]
    assert "encode/chat_template.txt" in model.manifest.files
    answer = model.chat([{"role": "user", "content": "What did 7 do?"}], max_tokens=8)
    assert answer["message"]["role"] == "assistant"


@pytest.mark.parametrize("characters", [False, True])
def test_from_scratch_there_is_a_tokenizer_and_a_network_of_its_own(characters: bool, text: Path, home: Path) -> None:
    model = handrail.finetune(text, from_scratch=True, characters=characters, steps=10, samples=0)
    assert model.manifest.base == {}
    assert "On day 12, für 3 €" in model.writer.tokenizer.decode(model.writer.tokenizer.encode("On day 12, für 3 €"))
    again = handrail.finetune(text, base="story", name="story", steps=3, samples=0, method="full")
    assert again.version == 2


def test_text_to_score_with_may_be_given(tmp_path: Path, text: Path, tiny_base: Path, home: Path) -> None:
    test = tmp_path / "test.txt"
    test.write_text(story(40, seed=77), encoding="utf-8")
    model = taught(text, tiny_base, test=str(test))
    training = model.report["training"]
    assert model.report["asked"]["test"] == "YOUR_TEST_FILE"
    assert "handrail finetune YOUR_FILE" in model.bundle.read("report.html").decode()
    assert training["held_out_bytes"] == len(test.read_bytes())
    assert 0 < training["scored_tokens"] <= model.manifest.data["held_out_tokens"]
    assert f"on {training['scored_tokens']:,} tokens of text never seen in training" in headline(model.report)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"steps": 0}, "steps"), ({"steps": 2.5}, "steps"), ({"time": "5 weeks"}, "time"), ({"time": 1}, "time"),
        ({"epochs": float("nan")}, "epochs"), ({"method": "lorra"}, "method"), ({"bits": 7}, "bits"),
        ({"seed": -1}, "seed"), ({"from_scratch": True}, "base"), ({"rate": 5}, "rate"),
    ],
)  # fmt: skip
def test_what_is_off_is_named(options: dict[str, Any], field: str, text: Path, tiny_base: Path, home: Path) -> None:
    with pytest.raises(HandrailError) as caught:
        taught(text, tiny_base, **options)
    assert caught.value.field == field
    assert Store().names() == []


def test_a_base_that_writes_nothing_or_is_unknown_is_refused(text: Path, home: Path) -> None:
    with pytest.raises(HandrailError, match="no base is called 'smollm9'") as caught:
        handrail.finetune(text, base="smollm9", steps=1)
    assert "smollm2" in caught.value.mend


def test_a_run_whose_time_was_over_before_a_step_saves_nothing(
    text: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    untaught = Learnt(3.0, None, Position(), "the time is over", True)
    monkeypatch.setattr(act, "learn", lambda *given, **named: untaught)
    with pytest.raises(HandrailError, match="nothing was learnt: the time is over before the first step") as caught:
        taught(text, tiny_base)
    assert caught.value.field == "time"
    assert Store().names() == []


def test_what_was_stopped_before_it_learnt_is_not_saved(
    text: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setattr(act, "learn", lambda *given, **named: Learnt(3.0, None, Position(), "it was stopped", False))
    with pytest.raises(HandrailError, match="stopped before the first step") as caught:
        taught(text, tiny_base)
    assert caught.value.code == "interrupted"
    assert Store().names() == []


def test_what_an_earlier_training_added_is_added_once(text: Path, tiny_base: Path, home: Path) -> None:
    taught(text, tiny_base, steps=40)
    report = taught(text, "story", name="story", bits=32, steps=4).report
    assert report["exported"]["loss"] == pytest.approx(report["training"]["after"]["loss"], abs=0.01)


def test_what_rounding_costs_is_said_where_it_is_more_than_usual(
    text: Path, tiny_base: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Event] = []
    monkeypatch.setitem(USUAL_LOSS, 4, -1.0)
    report = taught(text, tiny_base, steps=4, bits=4, tell=heard.append).report
    before, after = report["training"]["after"]["perplexity"], report["exported"]["perplexity"]
    assert after != before
    (said,) = [one for one in report["warnings"] if "rounding" in one]
    assert f"{before:.2f} → {after:.2f}" in said
    assert said in [one.text for one in heard if isinstance(one, Warned)]


def test_without_torch_it_says_what_to_install(text: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    found = handrail.finetuning.importlib.util.find_spec  # type: ignore[attr-defined]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "torch" else found(name))
    with pytest.raises(HandrailError, match="torch is not installed") as caught:
        handrail.finetune(text, steps=1)
    assert "handrail[torch]" in caught.value.mend
    assert "MB" in caught.value.mend


def test_ctrl_c_keeps_the_best_and_the_same_command_goes_on(text: Path, tiny_base: Path, home: Path) -> None:
    heard: list[Event] = []

    def interrupting(event: Event) -> None:
        heard.append(event)
        if isinstance(event, Tried) and event.name == "step 8":
            os.kill(os.getpid(), signal.SIGINT)

    model = taught(text, tiny_base, steps=60, tell=interrupting)
    assert model.version == 1
    assert model.report["training"]["steps"] < 60
    assert any(isinstance(event, Said) and "the same command goes on" in event.text for event in heard)
    heard.clear()
    rest = taught(text, tiny_base, steps=60, tell=heard.append)
    assert (rest.version, rest.report["training"]["steps"]) == (2, 60)
    assert any(isinstance(event, Said) and "going on after step" in event.text for event in heard)
    whole = taught(text, tiny_base, steps=60, resume=False)
    left, right = tuned_of(rest), tuned_of(whole)
    assert all(np.array_equal(left[name], right[name]) for name in right)


SCRIPT = """
import sys, torch, handrail
from handrail.finetuning import loop
torch.set_num_threads(1)
loop.CHECKPOINT_EVERY_S = 0.0
loop.CHECKPOINT_SHARE = 1e9
handrail.finetune(sys.argv[1], base=sys.argv[2], name="killed", steps=30, samples=0)
"""


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_to_the_same_bits(
    text: Path, tiny_base: Path, home: Path, tmp_path: Path
) -> None:
    points = tmp_path / "points"
    points.mkdir()
    environment = {**os.environ, "HANDRAIL_FAILPOINTS": str(points)}
    command = [sys.executable, "-c", SCRIPT, str(text), str(tiny_base)]
    killer = "import os, sys; sys.path.insert(0, '.')\nfrom handrail.finetuning import loop\n"
    killer += "count = []\nbefore = loop.reached\n"
    killer += "def reached(name):\n    count.append(name)\n    len(count) == 17 and os.kill(os.getpid(), 9)\n"
    killed = subprocess.run([sys.executable, "-c", killer + "loop.reached = reached\n" + SCRIPT, *command[3:]],
                            env=environment, check=False, capture_output=True)  # fmt: skip
    assert killed.returncode == -9
    assert Store().names() == []
    assert list((home / "runs").iterdir())
    subprocess.run(command, env=environment, check=True, capture_output=True)
    rest = handrail.load("killed")
    assert rest.report["training"]["steps"] == 30
    whole = taught(text, tiny_base, name="whole", steps=30)
    left, right = tuned_of(rest), tuned_of(whole)
    assert all(np.array_equal(left[name], right[name]) for name in right)


@pytest.mark.parametrize("family", ["gpt2", "gemma3_text", "qwen3"])
def test_bases_of_other_families_are_taught_too(family: str, text: Path, tmp_path: Path, home: Path) -> None:
    model = taught(text, made_base(tmp_path / family, family), steps=4)
    exported, after = model.report["exported"]["loss"], model.report["training"]["after"]["loss"]
    assert abs(exported - after) < 0.05
