"""Fine-tuning: how much better in five minutes, how fast beside a plain loop, and a network from scratch.

    python benchmarks/finetune.py --data DIR [--only five,plain,scratch] [--quick] [--json]

DIR holds corpus/tinyshakespeare.txt. The last tenth of it is held out and never trained on, as nanoGPT does. `plain` is
what a first script would be: transformers' own model and loss, float32, AdamW over everything; ours gets the same rows
in the same steps, and its own rate; both are scored in float32 over the whole vocabulary. `--quick` runs each for seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

BASE = "smollm2"
ROWS_SCORED = 32
PLAIN_RATE = 1e-4
ROWS_A_STEP = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("HANDRAIL_BENCHMARK_DATA"))
    parser.add_argument("--only", default="five,plain,scratch", type=lambda text: text.split(","))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--method", default=None)
    parser.add_argument("--rate", default=None, type=float)
    parser.add_argument("--steps", default=30, type=int)
    options = parser.parse_args()
    acts: dict[str, Callable[[argparse.Namespace, Path], dict[str, object]]] = {
        "five": five_minutes, "plain": against_plain, "scratch": from_scratch,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            found = acts[name](options, Path(folder))
            if options.json:
                print(json.dumps({name: found}), flush=True)
            else:
                print(name, *(f"  {what}: {value}" for what, value in found.items()), sep="\n", flush=True)


def five_minutes(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """SmolLM2-135M on tinyshakespeare, all in all."""
    import handrail

    train, test = halves(options.data, folder)
    begun = time.monotonic()
    model = handrail.finetune(
        train, test=test, base=BASE, time="60s" if options.quick else "5m", method=options.method, rate=options.rate,
        samples=0, home=_home(folder), name="shakespeare", tell=_heard,
    )  # fmt: skip
    took = time.monotonic() - begun
    training = model.report["training"]
    before, after = (training[key]["bits_per_byte"] for key in ("before", "after"))
    return {
        "bits per byte before, after": f"{before:.4f}, {after:.4f} ({1 - after / before:.1%} fewer)",
        "perplexity before, after": f"{training['before']['perplexity']:.1f}, {training['after']['perplexity']:.1f}",
        "as exported, 8 bits": f"perplexity {model.report['exported'].get('perplexity')}",
        "tokens trained, steps": f"{training['tokens']:,}, {training['steps']:,}",
        "method": model.report["plan"]["settings"]["method"],
        "copied": {kind: f"{one['share']:.1%}" for kind, one in model.report["recitation"].items()},
        "seconds, all in all": f"{took:.1f}",
        "peak RSS, MB": _peak_mb(),
    }


def against_plain(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """The same rows and steps, by a plain loop in float32 and by ours."""
    import torch

    steps = 3 if options.quick else options.steps
    start, ids, held = _tokens(options, folder)
    ours = _ours(start, ids, held, steps, options)
    plain = _plain(start, ids, held, steps)
    return {
        "threads": torch.get_num_threads(),
        "before, nats a token": f"{ours['before']:.4f}",
        f"plain float32, {steps} steps": f"{plain['tokens_s']:.0f} tokens/s, loss {plain['after']:.4f}",
        f"ours ({ours['method']}), {steps} steps": f"{ours['tokens_s']:.0f} tokens/s, loss {ours['after']:.4f}",
        "times as fast": f"{ours['tokens_s'] / plain['tokens_s']:.2f}",
        "loss, ours less plain": f"{ours['after'] - plain['after']:+.4f}",
    }


def from_scratch(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Characters, a network of its own, three minutes: validation loss in nats a character."""
    import handrail

    train, test = halves(options.data, folder)
    begun = time.monotonic()
    model = handrail.finetune(
        train, test=test, characters=True, time="20s" if options.quick else "3m", rate=options.rate, samples=0,
        home=_home(folder), name="letters", tell=_heard,
    )  # fmt: skip
    training = model.report["training"]
    return {
        "validation loss, nats a character": f"{training['after']['loss']:.4f} (best at step {training['best_step']:,})",
        "tokens trained, steps": f"{training['tokens']:,}, {training['steps']:,}",
        "seconds, all in all": f"{time.monotonic() - begun:.1f}",
    }


def halves(data: Path, folder: Path) -> tuple[str, str]:
    """The first nine tenths and the last, as files."""
    text = (data / "corpus" / "tinyshakespeare.txt").read_text()
    cut = int(0.9 * len(text))
    train, test = folder / "shakespeare.txt", folder / "test.txt"
    train.write_text(text[:cut])
    test.write_text(text[cut : cut + 40_000] if len(text) > 100_000 else text[cut:])
    return str(train), str(test)


def _tokens(options: argparse.Namespace, folder: Path) -> tuple[Any, np.ndarray, Any]:
    from handrail.encode.tokens import tokenizer_from
    from handrail.finetuning.corpus import Tokens, rows_of
    from handrail.finetuning.starts import start_of
    from handrail.store import Store

    start = start_of(BASE, Store(_home(folder)), lambda _: None)
    tokenizer = tokenizer_from(start.tokenizer_json, start.special)
    train, test = (Path(path).read_text() for path in halves(options.data, folder))
    ids, held = (np.array(tokenizer.encode(text), np.int32) for text in (train, test))
    held = held[: ROWS_SCORED * 256 + 1]
    return start, ids, rows_of(Tokens(held, np.ones(len(held), bool), 1), 256)


def _ours(start: Any, ids: np.ndarray, held: Any, steps: int, options: argparse.Namespace) -> dict[str, Any]:
    import torch

    from handrail.core.allocator import keeping_memory
    from handrail.finetuning.corpus import Tokens, rows_of
    from handrail.finetuning.learner import Learner
    from handrail.finetuning.loop import learn
    from handrail.finetuning.losses import vocabulary_of
    from handrail.finetuning.machine import powers
    from handrail.finetuning.methods import make_trainable, tuned
    from handrail.finetuning.network import network_of
    from handrail.finetuning.plan import plan
    from handrail.finetuning.plan_values import Material, Order
    from handrail.finetuning.preparing import shape_of_start
    from handrail.finetuning.tuned import with_tuned
    from handrail.learn.clock import Clock

    material = Material(len(ids), held.inputs.size, len(np.unique(ids)), len(ids))
    order = Order(method=options.method, steps=steps, rate=options.rate)
    settings = plan(shape_of_start(start), material, vars(powers()), order, {"name": BASE}).settings
    settings = replace(settings, batch=ROWS_A_STEP)
    network = network_of(start.config, start.get, start.names)
    before = _scored(network.model, held)
    torch.manual_seed(0)
    make_trainable(network, settings.method, settings.first, settings.rank, half=settings.half)
    learner = Learner(network, settings, vocabulary_of(ids, start.config["vocab_size"]), _heard)
    rows = rows_of(Tokens(ids, np.ones(len(ids), bool), 1), settings.length)
    with tempfile.TemporaryDirectory() as state, keeping_memory():
        begun = time.monotonic()
        learn(learner, rows, None, Clock(None), Path(state), lambda _: None)
        took = time.monotonic() - begun
    after = _scored(network_of(start.config, with_tuned(start.get, tuned(network)), start.names).model, held)
    tokens = steps * settings.batch * settings.length
    return {"before": before, "after": after, "tokens_s": tokens / took, "method": settings.method}


def _plain(start: Any, ids: np.ndarray, held: Any, steps: int) -> dict[str, float]:
    import torch

    from handrail.finetuning.corpus import Tokens, rows_of
    from handrail.finetuning.loop import numbers_at, rate_at
    from handrail.finetuning.network import network_of

    model = network_of(start.config, start.get, start.names).model
    model.config._attn_implementation = "sdpa"
    model.train()
    rows = rows_of(Tokens(ids, np.ones(len(ids), bool), 1), 256)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PLAIN_RATE, betas=(0.9, 0.95), weight_decay=0.01)
    begun = time.monotonic()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = PLAIN_RATE * rate_at(step / steps)
        part = rows.some(numbers_at(step, ROWS_A_STEP, len(rows), 0))
        logits = model(input_ids=torch.from_numpy(part.inputs)).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(part.targets).flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    took = time.monotonic() - begun
    return {"after": _scored(model, held), "tokens_s": steps * part.inputs.size / took}


def _scored(model: Any, held: Any) -> float:
    """Nats a token in float32, over the whole vocabulary."""
    import torch

    model.eval()
    total = 0.0
    with torch.no_grad():
        for inputs, targets in zip(held.inputs, held.targets, strict=True):
            logits = model(input_ids=torch.from_numpy(inputs[None])).logits[0]
            total += torch.nn.functional.cross_entropy(logits, torch.from_numpy(targets), reduction="sum").item()
    return total / held.targets.size


def _heard(event: object) -> None:
    if os.environ.get("VERBOSE"):
        print(event, flush=True)


def _home(folder: Path) -> Path:
    """A store of its own, with the bases that are at hand already."""
    from handrail.store.home import default_home

    home = folder / "home"
    home.mkdir(exist_ok=True)
    if not (home / "bases").exists():
        (default_home() / "bases").mkdir(parents=True, exist_ok=True)
        (home / "bases").symlink_to(default_home() / "bases")
    return home


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
