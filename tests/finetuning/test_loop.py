"""The training itself: limits, evaluations, and going on where it was cut off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handrail.core.events import Event, Said, Tried
from handrail.finetuning import loop
from handrail.finetuning.checkpoints import STATE, saved_position
from handrail.finetuning.corpus import Rows, Tokens, rows_of
from handrail.finetuning.learner import Learner
from handrail.finetuning.loop import Learnt, Sample, learn, numbers_at, rate_at
from handrail.finetuning.losses import vocabulary_of
from handrail.finetuning.methods import make_trainable, tuned
from handrail.finetuning.network import new_network
from handrail.finetuning.plan_values import Settings
from handrail.learn.clock import Clock
from tests.finetuning.conftest import CONFIGS

VOCABULARY = 96
SETTINGS = Settings(
    method="lora", first=1, rank=4, rate=1e-2, decay=0.01, length=32, batch=4, half=False, restricted=True, keeps=True,
    steps=24, time_s=None, evaluations=4, seed=0,
)  # fmt: skip
Numbers = dict[str, np.ndarray]


def chain(count: int, seed: int) -> Tokens:
    """Tokens in which the next one is one of three: something to learn."""
    draw = np.random.default_rng(seed)
    ids = [0]
    for _ in range(count):
        ids.append((ids[-1] * 3 + int(draw.integers(0, 3))) % 40)
    return Tokens(np.array(ids, np.int32), np.ones(count + 1, bool), count)


TRAIN, HELD_OUT = rows_of(chain(1_500, 1), 32), rows_of(chain(300, 2), 32)


def trained(
    folder: Path, clock: Clock | None = None, tell: Callable[[Event], None] = lambda _: None,
    held_out: Rows | None = HELD_OUT, family: str = "llama", sample: Sample | None = None, **changes: Any,
) -> tuple[Learnt, Numbers]:  # fmt: skip
    settings = Settings(**{**SETTINGS.__dict__, **changes})
    network = new_network({**CONFIGS[family], "vocab_size": VOCABULARY}, 0)
    make_trainable(network, settings.method, settings.first, settings.rank, half=settings.half)
    learner = Learner(network, settings, vocabulary_of(chain(1_500, 1).ids, VOCABULARY), tell)
    found = learn(learner, TRAIN, held_out, clock or Clock(None), folder, tell, sample=sample)
    return found, tuned(network)


def same(left: Numbers, right: Numbers) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def stopping_after(clock: Clock, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a run."""
    done = []

    def reached(name: str) -> None:
        done.append(name)
        if len(done) == steps:
            clock.stop()

    monkeypatch.setattr(loop, "reached", reached)


@pytest.mark.parametrize("changes", [
    {"method": "lora"}, {"method": "blocks"}, {"method": "blocks", "half": True}, {"method": "blocks", "keeps": False},
    {"method": "full", "first": 0}, {"method": "full", "first": 0, "restricted": False},
    {"method": "lora", "family": "gpt2"},
])  # fmt: skip
def test_a_run_that_was_cut_off_ends_with_the_same_bits_as_one_that_was_not(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, wanted = trained(tmp_path / "whole", **changes)
    clock = Clock(None)
    with monkeypatch.context() as patch:
        stopping_after(clock, 11, patch)
        half, _ = trained(tmp_path / "cut", clock, **changes)
    assert (half.position.step, half.is_whole) == (11, False)
    rest, found = trained(tmp_path / "cut", **changes)
    assert (rest.position.step, rest.is_whole) == (24, True)
    assert same(found, wanted)
    assert rest.position.history == whole.position.history


def test_the_same_seed_gives_the_same_bits_and_another_one_others(tmp_path: Path) -> None:
    first, again, other = (trained(tmp_path / str(place), seed=seed)[1] for place, seed in enumerate((0, 0, 1)))
    assert same(first, again)
    assert not same(first, other)


def test_hidden_values_that_are_kept_change_nothing(tmp_path: Path) -> None:
    kept, made = (trained(tmp_path / str(keeps), keeps=keeps)[1] for keeps in (True, False))
    assert same(kept, made)


def test_it_gets_better_and_the_best_state_is_what_stays(tmp_path: Path) -> None:
    found, _ = trained(tmp_path, method="full", first=0, steps=80)
    losses = [one["loss"] for one in found.position.history]
    assert found.before == losses[0]
    assert found.after == min(losses[1:]) < losses[0] - 0.3


def test_steps_are_counted_exactly(tmp_path: Path) -> None:
    found, _ = trained(tmp_path, steps=7)
    assert found.position.step == 7
    assert found.position.tokens == 7 * 4 * 32
    assert found.ended == "7 steps are done"


def test_the_time_is_kept(tmp_path: Path) -> None:
    clock = Clock(2.0)
    found, _ = trained(tmp_path, clock, steps=None, time_s=2.0)
    assert found.ended == "the time is over"
    assert found.position.step > 1
    assert clock.spent() < 4.0


def test_it_ends_by_itself_when_held_out_text_is_foretold_no_better(tmp_path: Path) -> None:
    found, _ = trained(tmp_path, method="full", first=0, rate=0.2, steps=300, evaluations=60)
    assert "no better 3 times in a row" in found.ended
    assert found.position.step < 300


def test_without_held_out_rows_it_trains_and_says_no_score(tmp_path: Path) -> None:
    found, _ = trained(tmp_path, held_out=None)
    assert (found.before, found.after) == (None, None)
    assert found.position.step == 24


def test_a_state_of_another_network_is_left_alone(tmp_path: Path) -> None:
    clock = Clock(None)
    clock.stop()
    trained(tmp_path, clock)
    assert saved_position(tmp_path) is not None
    found, _ = trained(tmp_path, method="blocks")
    assert found.position.step == 24


def test_a_state_that_is_damaged_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / STATE).write_bytes(b"\xff" * 100)
    found, _ = trained(tmp_path)
    assert found.position.step == 24


def test_it_tells_what_it_does(tmp_path: Path) -> None:
    heard: list[Event] = []
    trained(tmp_path, tell=heard.append)
    tried = [event for event in heard if isinstance(event, Tried)]
    assert [event.name for event in tried][:2] == ["the base", "step 6"]
    assert not any(isinstance(event, Said) for event in heard)


def test_a_text_on_the_way_may_take_a_small_share_of_the_time(tmp_path: Path) -> None:
    given: list[float] = []

    def sample(step: int, most_s: float) -> str:
        given.append(most_s)
        return ""

    trained(tmp_path / "limited", Clock(60.0), sample=sample)
    assert given
    assert all(0 < most_s <= 3.0 for most_s in given)
    given.clear()
    trained(tmp_path / "endless", sample=sample)
    assert set(given) == {loop.SAMPLE_S}


def test_one_step_is_called_a_step(tmp_path: Path) -> None:
    heard: list[Event] = []
    found, _ = trained(tmp_path, tell=heard.append, sample=lambda step, most_s: "so", steps=1)
    assert found.ended == "1 step is done"
    assert [event.text for event in heard if isinstance(event, Said)] == ["after 1 step: so"]


def test_each_pass_goes_through_all_rows_in_an_order_of_its_own() -> None:
    seen = [numbers_at(step, 4, 10, seed=3).tolist() for step in range(5)]
    flat = [number for step in seen for number in step]
    assert sorted(flat[:10]) == sorted(flat[10:]) == list(range(10))
    assert flat[:10] != flat[10:]


def test_the_rate_goes_up_and_then_down() -> None:
    rates = [rate_at(passed / 100) for passed in range(101)]
    assert max(rates) == pytest.approx(1.0, abs=0.01)
    assert rates[0] < rates[5] < rates[8]
    assert rates[8:] == sorted(rates[8:], reverse=True)
    assert rates[-1] == pytest.approx(0.1)
