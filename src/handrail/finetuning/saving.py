"""From what was trained to a version in the store: merged, rounded, proven to be the same, tried out, reported."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from handrail.catalog.safetensors_writing import write_safetensors
from handrail.core.bundle import Manifest, to_json, write_bundle
from handrail.core.errors import HandrailError
from handrail.core.events import Progress, Tell, Warned
from handrail.finetuning.corpus import Rows
from handrail.finetuning.preparing import Prompt
from handrail.finetuning.recitation import Copied, Source, run_of, warning
from handrail.finetuning.starts import CONFIG, TUNED, Start, config_json
from handrail.finetuning.tuned import Tuned, joined, packed, with_tuned
from handrail.model import load
from handrail.report.html import draw
from handrail.tasks.generation import predict
from handrail.tasks.generation.export import generation_files
from handrail.tasks.generation.measure import BEGINNINGS, cost_of_rounding, examples_of, foreseen
from handrail.tasks.generation.predict import Writer
from handrail.training.versions import recorded_versions

# What the exported model may foretell worse than the trained one, in nats a token, by the bits of its numbers; more is
# a mistake of ours. Rounding to 4 bits undoes much of what was learnt (0.27 measured after 60 steps of SmolLM2).
MOST_WORSE: Final = {8: 0.1, 4: 1.0, 32: 0.05}
COMPARED_ROWS: Final = 8
WRITTEN_TOKENS: Final = 96
WRITTEN_TEXTS: Final = 8
SHOWN_SAMPLES: Final = 4
TEMPERATURE: Final = 0.8
RECORDED_VERSIONS: Final = ("numpy", "onnxruntime", "torch", "transformers", "tokenizers")


@dataclass(frozen=True)
class Trained:
    """All that saving needs of a training. `report` is what is known already; `left_s` says how much time there is."""

    name: str
    start: Start
    tuned: Tuned  # of this training alone: `start.get` has in it what earlier ones changed
    halves: bool  # whether whole tensors are kept as float16
    special: dict[str, Any]
    chat_template: str | None
    train: np.ndarray  # tokens
    held_out: Rows | None
    prompts: Sequence[Prompt]  # beginnings of held-out texts
    after: float | None  # nats a token on held-out rows
    plan: dict[str, Any]
    data: dict[str, Any]
    report: dict[str, Any]
    seed: int
    bits: int
    left_s: Callable[[], float]


def write_model(trained: Trained, draft: Path, tell: Tell) -> None:
    """Fills `draft` with a bundle. Raises HandrailError ("bug") where the export is not what was trained."""
    tell(Progress("exporting", 0, 0))
    start = trained.start
    names = tuple(dict.fromkeys([*start.names, *(name for name in trained.tuned if "lora_" not in name)]))
    exported = generation_files(
        draft, start.config, with_tuned(start.get, trained.tuned), names, tokenizer_json=start.tokenizer_json,
        special=trained.special, chat_template=trained.chat_template, bits=trained.bits, defaults=_defaults(trained),
    )  # fmt: skip
    write_safetensors(draft / TUNED, packed(joined(start.tuned, trained.tuned), halves=trained.halves))
    manifest = Manifest(
        name=trained.name, task="generation", signature=exported.signature, encode=exported.encode, plan=trained.plan,
        seed=trained.seed, base=start.about, data=trained.data, versions=recorded_versions(RECORDED_VERSIONS),
    )  # fmt: skip
    files = {**exported.files, CONFIG: config_json(start.config)}
    placed = (*exported.placed, TUNED)
    write_bundle(draft, manifest, files, placed)
    model = load(draft)
    writer = predict.load(model.bundle, threads=model._threads, slots=WRITTEN_TEXTS)
    report = _with_export(trained, writer, tell)
    files["examples.json"] = to_json(examples_of(writer, _beginnings(trained)))
    files |= {"report.json": to_json(report), "report.html": draw(report).encode("utf-8")}
    write_bundle(draft, manifest, files, placed)


def _beginnings(trained: Trained) -> Sequence[str]:
    """What examples begin with, and so what the page offers: as its own texts do, where there are some."""
    if trained.plan.get("dialogue"):
        return BEGINNINGS
    return tuple(dict.fromkeys(prompt.words for prompt in trained.prompts))[: len(BEGINNINGS)] or BEGINNINGS


def _defaults(trained: Trained) -> dict[str, Any]:
    """How it writes where nothing is asked: like the base, but with few surprises prose runs in circles."""
    is_prose = not trained.plan.get("dialogue")
    return {**trained.start.defaults, **({"temperature": TEMPERATURE} if is_prose else {})}


def _with_export(trained: Trained, writer: Writer, tell: Tell) -> dict[str, Any]:
    """The report, with what the exported model foretells, writes and copies."""
    report = dict(trained.report)
    report["exported"], said = _compared(trained, writer), []
    if trained.after is not None and "perplexity" in report["exported"]:
        before = math.exp(min(50.0, trained.after))
        said.append(cost_of_rounding(trained.bits, before, report["exported"]["perplexity"]))
    if trained.left_s() > 1.0:
        tell(Progress("writing, to see what it copies", 0, 0))
        written, copies = _written(trained, writer)
        report |= written
        said.append(copies)
    for text in filter(None, said):
        tell(Warned(text))
        report["warnings"] = [*report["warnings"], text]
    return report


def _compared(trained: Trained, writer: Writer) -> dict[str, Any]:
    """Nats a token on the same held-out rows, by the trained network and by the export of it."""
    if trained.held_out is None or trained.after is None:
        return {"bits": trained.bits}
    rows = trained.held_out.some(slice(0, COMPARED_ROWS)) if trained.left_s() < 20 else trained.held_out
    total, places = 0.0, 0
    for inputs, targets, counted in zip(rows.inputs, rows.targets, rows.counted, strict=True):
        foretold = foreseen(writer.decoder, [*inputs.tolist(), int(targets[-1])])  # (length,)
        total -= float(foretold[counted].sum())
        places += int(counted.sum())
    loss = total / max(1, places)
    exact = len(rows) == len(trained.held_out)
    if exact and not loss - trained.after <= MOST_WORSE[trained.bits]:
        problem = f"the exported model foretells worse than the trained one ({loss:.3f} for {trained.after:.3f} nats)"
        raise HandrailError("bug", f"{problem}, so it was not saved", "report this with the plan that was printed")
    found: dict[str, Any] = {"bits": trained.bits, "rows": len(rows)}
    return {**found, "loss": loss, "perplexity": math.exp(min(50.0, loss))} if exact else found


def _written(trained: Trained, writer: Writer) -> tuple[dict[str, Any], str]:
    """What it writes on from the beginnings of texts it never saw, likeliest and drawn, and how much is copied.

    With what is to be said of that, "" where it is nothing.
    """
    shown = trained.prompts[:WRITTEN_TEXTS]
    prompts = [prompt.tokens for prompt in shown]
    settings = replace(writer.defaults, max_tokens=WRITTEN_TOKENS, seed=trained.seed, temperature=0.0, stop=())
    some = trained.train[:4_000].tolist()
    source = Source(trained.train, run_of(len(writer.tokenizer.decode(some)), len(some)))
    greedy = [one[0] for one in writer.generator.answer(prompts, settings)]
    drawn = [one[0] for one in writer.generator.answer(prompts, replace(settings, temperature=TEMPERATURE))]
    copied = {
        "greedy": source.copied([one.tokens for one in greedy]),
        "sampled": source.copied([one.tokens for one in drawn]),
    }
    new: Copied | None = None
    if trained.held_out is not None:
        new = source.copied([row.tolist() for row in trained.held_out.inputs])
    samples = [
        {"prompt": prompt.words, "text": one.text} for prompt, one in zip(shown[:SHOWN_SAMPLES], drawn, strict=False)
    ]
    said = warning(copied["greedy"], copied["sampled"], new)
    recitation = {kind: one.as_dict() for kind, one in copied.items()} | ({"held_out": new.as_dict()} if new else {})
    return {"recitation": recitation, "samples": samples}, said
