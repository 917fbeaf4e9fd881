"""The training itself: one loop, read from top to bottom.

Rows of tokens go through the blocks that stay as they are, then through those that learn; the loss is taken over the
tokens of the data and a few others; AdamW moves what learns. Held-out rows say how good it is, with the whole
vocabulary; the best state is what is kept in the end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import torch

from handrail.core.errors import counted
from handrail.core.events import Progress, Said, Tell, Tried, Warned
from handrail.core.failpoints import reached
from handrail.finetuning.checkpoints import Position, load_state, save_state, saved_position
from handrail.finetuning.corpus import Rows
from handrail.finetuning.learner import Learner
from handrail.tasks import Clock

CLIP: Final = 1.0
WARM_UP: Final = 0.08
# Where the rate ends, as a share of where it is highest.
LEAST_RATE: Final = 0.1
# So many evaluations in a row that are no better end the training.
PATIENCE: Final = 3
BETTER: Final = 1e-4
CHECKPOINT_EVERY_S: Final = 30.0
# Saving may take this share of the time.
CHECKPOINT_SHARE: Final = 0.05
TELL_EVERY_S: Final = 0.5
# A text is only written on the way where there is time for so many, and is cut short where it takes longer.
SAMPLE_SHARE: Final = 20
SAMPLE_S: Final = 5.0
# The restricted loss may fall so far below the exact one on held-out rows before it is given up.
MOST_DRIFT: Final = 0.1
# Looking at the held-out rows once may take this share of the time.
JUDGING_SHARE: Final = 0.03
# What is set aside for the last look, as a multiple of what the one before took.
JUDGING_MARGIN: Final = 1.3
Sample = Callable[[int, float], str]  # the step, and the seconds it may take


@dataclass(frozen=True)
class Learnt:
    """Nats a token on held-out rows before and after (None where none are held out), the way there, and its end."""

    before: float | None
    after: float | None
    position: Position
    ended: str
    is_whole: bool  # False: it was stopped, and the same command goes on with it


@dataclass
class Pace:
    """What steps and evaluations take, so that a limit is not run over."""

    begun: float = field(default_factory=time.monotonic)
    step_s: float = 0.0
    judging_s: float = 0.0
    saving_s: float = 0.0
    sampling_s: float = 0.0
    saved: float = field(default_factory=time.monotonic)
    told: float = 0.0


def learn(
    learner: Learner, train: Rows, held_out: Rows | None, clock: Clock, folder: Path, tell: Tell,
    *, sample: Sample | None = None,
) -> Learnt:  # fmt: skip
    """Trains until a limit, until it gets no better, or until the clock is stopped; `learner` then holds the best.

    What is in `folder` of a run of the same kind is gone on with: with limits in steps, to the same bits.
    """
    settings, pace = learner.settings, Pace()
    optimizer = torch.optim.AdamW(
        learner.trained.values(), lr=settings.rate, betas=(0.9, 0.95), weight_decay=settings.decay, fused=True
    )
    learner.check(train.some(slice(0, 1)))
    position = _gone_on(learner, optimizer, folder, tell) or _begun(learner, held_out, clock, pace, tell)
    held_out = None if held_out is None else held_out.spread(position.judged_rows)
    before_s = position.spent_s
    while not (ended := _end(position, settings.steps, clock, pace, held_out)):
        begun = time.monotonic()
        position.spent_s = before_s + begun - pace.begun
        passed = _passed(position, settings.steps, clock)
        for group in optimizer.param_groups:
            group["lr"] = settings.rate * rate_at(passed)
        numbers = numbers_at(position.step, settings.batch, len(train), settings.seed)  # (batch,)
        rows = train.some(numbers)
        counted = max(1, int(rows.counted.sum()))
        loss = learner.loss(rows, numbers, settings.seed + position.step) / counted
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.trained.values(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        position.step += 1
        position.tokens += rows.inputs.size
        pace.step_s = _smoothed(pace.step_s, time.monotonic() - begun)
        _tell_progress(position, settings.steps, clock, loss, pace, tell)
        reached("finetune.stepped")
        if held_out is not None and _is_due(position, settings.steps, clock, settings.evaluations):
            _judge(learner, position, held_out, clock.expired, pace, tell)
            if sample is not None and clock.left() > SAMPLE_SHARE * pace.sampling_s:
                pace.sampling_s = _tell_sample(sample, position.step, min(SAMPLE_S, clock.left() / SAMPLE_SHARE), tell)
        if _may_save(pace):
            _save(learner, optimizer, position, folder, pace)
    if held_out is not None and _last_judged(position) < position.step:
        _judge(learner, position, held_out, clock.stopped, pace, tell)
    position.spent_s = before_s + time.monotonic() - pace.begun
    if clock.stopped():
        _save(learner, optimizer, position, folder, pace)
    if position.best_step:
        learner.go_back()
    before = position.history[0]["loss"] if position.history else None
    after = position.best_loss if position.best_step else None
    return Learnt(before, after, position, ended, not clock.stopped())


def rate_at(passed: float) -> float:
    """The share of the highest rate after a share of the training: up in a line, down along a cosine."""
    if passed < WARM_UP:
        return max(passed / WARM_UP, 0.05)
    down = (passed - WARM_UP) / (1 - WARM_UP)
    return LEAST_RATE + (1 - LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, down)))


def numbers_at(step: int, batch: int, rows: int, seed: int) -> np.ndarray:
    """The rows of a step: each pass goes through all of them in an order of its own."""
    places = step * batch + np.arange(batch)
    return np.array([_order(int(place) // rows, rows, seed)[int(place) % rows] for place in places])


@lru_cache(maxsize=4)
def _order(turn: int, rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 17, turn]).permutation(rows)


def _begun(learner: Learner, held_out: Rows | None, clock: Clock, pace: Pace, tell: Tell) -> Position:
    position = Position()
    if held_out is not None:
        tell(Progress("scoring the base", 0, 0))
        position.judged_rows = _affordable(learner, held_out, clock)
        held_out = held_out.spread(position.judged_rows)
        _judge(learner, position, held_out, clock.expired, pace, tell)
    return position


def _affordable(learner: Learner, held_out: Rows, clock: Clock) -> int:
    """How many held-out rows can be looked at several times in the time that is left."""
    if math.isinf(clock.left()):
        return len(held_out)
    begun, some = time.monotonic(), held_out.some(slice(0, learner.settings.batch))
    learner.judged(some, clock.expired)
    a_row = (time.monotonic() - begun) / len(some)
    return max(1, min(len(held_out), int(JUDGING_SHARE * clock.left() / a_row)))


def _gone_on(learner: Learner, optimizer: torch.optim.Optimizer, folder: Path, tell: Tell) -> Position | None:
    """Where a run that was cut off stood, with its numbers put back; None where there is nothing to go on with."""
    position = saved_position(folder)
    if position is None:
        return None
    try:
        learner.best = load_state(folder, learner.trained, optimizer)
    except (KeyError, RuntimeError):
        return None
    learner.is_exact = learner.is_exact or position.exact
    tell(Said(f"going on after step {position.step:,} of a run that was cut off"))
    return position


def _end(position: Position, steps: int | None, clock: Clock, pace: Pace, held_out: Rows | None) -> str:
    """Why the training is over; "" while it is not."""
    if clock.stopped():
        return "it was stopped"
    if steps is not None and position.step >= steps:
        return f"{counted(steps, 'step')} {'is' if steps == 1 else 'are'} done"
    if clock.left() < pace.step_s + (JUDGING_MARGIN * pace.judging_s if held_out is not None else 0.0):
        return "the time is over"
    if position.best_step and _best_at(position) < len(position.history) - PATIENCE:
        return f"held-out text was foretold no better {PATIENCE} times in a row"
    return ""


def _last_judged(position: Position) -> int:
    return int(position.history[-1]["step"]) if position.history else -1


def _best_at(position: Position) -> int:
    return next(place for place, one in enumerate(position.history) if one["step"] == position.best_step)


def _passed(position: Position, steps: int | None, clock: Clock) -> float:
    """The share of the training that is over: of its steps or of its time, whichever is more."""
    done = 0.0 if steps is None else position.step / steps
    left = clock.left()
    return done if math.isinf(left) else max(done, position.spent_s / max(1e-9, position.spent_s + left))


def _is_due(position: Position, steps: int | None, clock: Clock, evaluations: int) -> bool:
    return _passed(position, steps, clock) * evaluations >= len(position.history)


def _judge(
    learner: Learner, position: Position, held_out: Rows, stopped: Callable[[], bool], pace: Pace, tell: Tell
) -> None:
    """Measures, remembers the best, gives the restricted softmax up where it drifts."""
    begun = time.monotonic()
    judged = learner.judged(held_out, stopped)
    if judged is None:
        return
    pace.judging_s = time.monotonic() - begun
    better = position.step > 0 and judged.loss < position.best_loss - BETTER
    if better:
        position.best_loss, position.best_step = judged.loss, position.step
        learner.remember()
    position.history.append({"step": position.step, "tokens": position.tokens, "loss": judged.loss})
    name = f"step {position.step:,}" if position.step else "the base"
    perplexity = math.exp(min(judged.loss, 50.0))
    tell(Tried(name, "perplexity", perplexity, position.spent_s, better))
    if not learner.is_exact and judged.drift > MOST_DRIFT:
        learner.is_exact = position.exact = True
        tell(Warned(f"the softmax over few tokens is off by {judged.drift:.2f} nats: from here on all are looked at"))


def _tell_progress(
    position: Position, steps: int | None, clock: Clock, loss: torch.Tensor, pace: Pace, tell: Tell
) -> None:
    now = time.monotonic()
    if now - pace.told < TELL_EVERY_S:
        return
    pace.told = now
    speed = position.tokens / max(1e-9, position.spent_s)
    doing = f"step {position.step:,}{f' of {steps:,}' if steps else ''}, {speed:,.0f} tokens/s, loss {loss.item():.2f}"
    best = f"perplexity {math.exp(min(position.best_loss, 50.0)):.1f}" if position.best_step else ""
    tell(Progress(doing, _passed(position, steps, clock), 1.0, best))


def _tell_sample(sample: Sample, step: int, most_s: float, tell: Tell) -> float:
    begun = time.monotonic()
    tell(Said(f"after {counted(step, 'step')}: {sample(step, most_s)}"))
    return time.monotonic() - begun


def _may_save(pace: Pace) -> bool:
    waited = time.monotonic() - pace.saved
    return waited > CHECKPOINT_EVERY_S and waited * CHECKPOINT_SHARE > pace.saving_s


def _save(learner: Learner, optimizer: torch.optim.Optimizer, position: Position, folder: Path, pace: Pace) -> None:
    begun = time.monotonic()
    save_state(folder, position, learner.trained, optimizer, learner.best)
    pace.saved = time.monotonic()
    pace.saving_s = pace.saved - begun


def _smoothed(before: float, now: float) -> float:
    return now if before == 0.0 else max(now, 0.7 * before + 0.3 * now)
