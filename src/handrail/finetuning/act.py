"""From texts to a model that writes like them, in one straight line."""

from __future__ import annotations

import hashlib
import json
import math
import time as clocks
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch

from handrail import __version__
from handrail.core.allocator import keeping_memory
from handrail.core.errors import HandrailError, counted
from handrail.core.events import Said, Tell, Warned
from handrail.core.processors import processors
from handrail.finetuning.asked import Request
from handrail.finetuning.checkpoints import forget_state
from handrail.finetuning.corpus import Rows, rows_of
from handrail.finetuning.learner import Learner
from handrail.finetuning.loop import Learnt, Sample, learn
from handrail.finetuning.losses import vocabulary_of
from handrail.finetuning.methods import make_trainable, tuned
from handrail.finetuning.network import Network, network_of, new_network, quiet_libraries
from handrail.finetuning.preparing import Prepared, prepared
from handrail.finetuning.saving import Trained, write_model
from handrail.learn.clock import Clock
from handrail.model import Model, load
from handrail.store.runs import held
from handrail.training.run import stopping_on_interrupt

# What comes after the training: a fixed part, and seconds for each million parameters.
RESERVE_S, RESERVE_S_A_MILLION = 5.0, 0.15
RESERVE_SHARE: Final = 0.3
SAMPLE_TOKENS: Final = 40


def carry_out(request: Request, tell: Tell, started: float) -> Model:
    """The model, saved as the next version of its name; its time has run since `started`, of the monotonic clock.

    Raises HandrailError in one sentence, with what to type; a run that was cut off is gone on with next time.
    """
    ready = prepared(request, tell)
    ready.store.refuse_unwritable()
    settings, start = ready.plan.settings, ready.start
    rows = rows_of(ready.train, settings.length)
    held_rows = rows_of(ready.held_out, settings.length) if len(ready.held_out) > 1 else None
    network = _network(request, ready)
    learner = Learner(network, settings, vocabulary_of(ready.train.ids, ready.shape.vocabulary), tell)
    clock = Clock(_left(ready, started))
    run = ready.store.run(_key(request, ready))
    with held(run, keeps=clock.stopped) as kept:
        if not request.resume:
            forget_state(kept.folder)
        # Steps of small new networks are over before a second thread has begun.
        threads = 1 if request.from_scratch else processors()
        with stopping_on_interrupt(clock, tell), keeping_memory(), _threads(threads):
            sample = _sampler(network, ready) if request.samples else None
            learnt = learn(learner, rows, held_rows, clock, kept.folder, tell, sample=sample)
        seen = counted(learnt.position.tokens, "token")
        tell(Said(f"after {counted(learnt.position.step, 'step')} and {seen}: {learnt.ended}"))
        refuse_untaught(learnt)
        if learnt.before is not None and learnt.after is not None and learnt.after > learnt.before:
            tell(
                Warned("held-out text is foretold worse than by the base: the text may be too little, or of many kinds")
            )
        judged_rows = None if held_rows is None else held_rows.spread(learnt.position.judged_rows)
        trained = Trained(
            name=request.name, start=start, tuned=tuned(network),
            halves=settings.method != "lora" and not request.from_scratch, special=ready.special,
            chat_template=ready.chat_template, train=ready.train.ids, held_out=judged_rows, prompts=ready.prompts(),
            after=learnt.after, plan=ready.plan.as_dict(), data=_data(ready),
            report=_report(request, ready, learnt, held_rows, judged_rows), seed=settings.seed, bits=request.bits,
            left_s=lambda: _until(settings.time_s, started),
        )  # fmt: skip
        with ready.store.draft() as draft:
            write_model(trained, draft, tell)
            published = ready.store.publish(draft, request.name)
    if not learnt.is_whole:
        tell(Said("it was stopped, and its best state saved: the same command goes on with the training"))
    ready.store.record_run(request.name, int(published.name), clocks.monotonic() - started)
    return load(f"{request.name}@{published.name}", home=ready.store.home)


def refuse_untaught(learnt: Learnt) -> None:
    """Raises HandrailError where no step was taken: what would be saved is the base under another name."""
    if learnt.position.step == 0 and not learnt.is_whole:
        mend = "the same command begins again"
        raise HandrailError("interrupted", "it was stopped before the first step: nothing was learnt or saved", mend)
    if learnt.position.step == 0:
        problem = f"nothing was learnt: {learnt.ended} before the first step"
        raise HandrailError("usage", problem, "give it more: --time 10m, or a smaller --base", field="time")


def _network(request: Request, ready: Prepared) -> Network:
    """The base with what is to learn prepared; a new one where it is from scratch."""
    start, settings = ready.start, ready.plan.settings
    if request.from_scratch:
        network = new_network(start.config, settings.seed)
    else:
        network = network_of(start.config, start.get, start.names)
    torch.manual_seed(settings.seed)
    make_trainable(network, settings.method, settings.first, settings.rank, half=settings.half)
    network.model.to(ready.machine.device)
    return network


def _left(ready: Prepared, started: float) -> float | None:
    """Seconds that the training itself may take: the whole act ends in time."""
    time_s = ready.plan.settings.time_s
    if time_s is None:
        return None
    reserve = min(RESERVE_SHARE * time_s, RESERVE_S + RESERVE_S_A_MILLION * ready.shape.size / 1e6)
    return max(1.0, _until(time_s, started) - reserve)


def _until(time_s: float | None, started: float) -> float:
    return math.inf if time_s is None else started + time_s - clocks.monotonic()


def _key(request: Request, ready: Prepared) -> str:
    """The same for the same text, base and way of training: what lets a run that was cut off go on.

    Limits are not in it: more steps or time may be given to the same run.
    """
    text = hashlib.sha256()
    for document in ready.reading.documents:
        text.update(json.dumps([document.text, document.messages], ensure_ascii=True).encode())
    settings, start = ready.plan.settings, ready.start
    told = [__version__, text.hexdigest(), start.reference, start.about.get("sha256"), request.name, settings.method,
            settings.first, settings.length, settings.batch, settings.rate, settings.half, settings.seed,
            request.characters, sorted(start.tuned), len(ready.held_out)]  # fmt: skip
    return "finetune-" + hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()[:24]


def _sampler(network: Network, ready: Prepared) -> Sample | None:
    """Writes on from one of the prompts with the network as it is now."""
    prompts, tokenizer, device = ready.prompts(), ready.tokenizer, ready.machine.device
    if not prompts:
        return None

    def sample(step: int, most_s: float) -> str:
        torch.manual_seed(step)
        prompt = prompts[step % len(prompts)]
        half = torch.autocast(device, dtype=torch.bfloat16, enabled=ready.plan.settings.half)
        with torch.no_grad(), quiet_libraries(), half:
            made = network.model.generate(
                torch.tensor([prompt.tokens], device=device), max_new_tokens=SAMPLE_TOKENS, do_sample=True, top_k=50,
                temperature=0.8, pad_token_id=ready.end, use_cache=True,
                max_time=most_s,
            )  # fmt: skip
        text = tokenizer.decode(made[0].tolist()[len(prompt.tokens) :])
        return f"{prompt.words}▸{text}".replace("\n", " ⏎ ")

    return sample


@contextmanager
def _threads(most: int) -> Iterator[None]:
    """At most so many threads while the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, most)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _data(ready: Prepared) -> dict[str, Any]:
    reading = ready.reading
    return {"source": reading.source, "documents": len(reading.documents), "tokens": len(ready.train),
            "held_out_tokens": len(ready.held_out), "bytes": reading.read_bytes, "trivial": []}  # fmt: skip


def _report(
    request: Request, ready: Prepared, learnt: Learnt, held_rows: Rows | None, judged_rows: Rows | None
) -> dict[str, Any]:
    """What is known before the export: see saving.py for the rest."""
    counted = 0 if held_rows is None else int(held_rows.counted.sum())
    per_byte = counted / math.log(2) / max(1, ready.held_out.size_bytes)
    position = learnt.position
    return {
        "name": request.name,
        "task": "generation",
        "base": ready.start.about,
        "asked": request.told(),
        "seed": request.order.seed,
        "plan": ready.plan.as_dict(),
        "notes": [*ready.reading.notes, ready.split.reason],
        "warnings": [*ready.plan.warnings],
        "training": {
            "steps": position.step, "tokens": position.tokens, "ended": learnt.ended,
            "best_step": position.best_step, "held_out_bytes": ready.held_out.size_bytes,
            "scored_tokens": 0 if judged_rows is None else int(judged_rows.counted.sum()),
            "before": _scored(learnt.before, per_byte), "after": _scored(learnt.after, per_byte),
            "curve": [{**one, "bits_per_byte": one["loss"] * per_byte} for one in position.history],
        },
    }  # fmt: skip


def _scored(loss: float | None, per_byte: float) -> dict[str, float] | None:
    if loss is None:
        return None
    return {"loss": loss, "perplexity": math.exp(min(50.0, loss)), "bits_per_byte": loss * per_byte}
