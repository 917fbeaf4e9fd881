"""Ours, in process, by what users call: a model is loaded, streams one text, then continues many at once."""

from __future__ import annotations

import time

BEGUN = time.perf_counter()

import handrail

IMPORTED = time.perf_counter()

from pathlib import Path

import numpy as np
from generation_common import Times, alone, asked, peak_mb, tell

from handrail.generate.settings import Settings
from handrail.runtimes.decoder import Decoder
from handrail.tasks.generation.predict import Writer, load


def main() -> None:
    task = asked()
    begun = time.perf_counter()
    model = handrail.load(Path(task["model"]), threads=task["threads"])
    writer = model.writer
    loaded = time.perf_counter()
    stream(writer, task["prompts"][0], 1)
    found = {"import_s": IMPORTED - BEGUN, "load_s": loaded - begun, "first_s": time.perf_counter() - loaded}
    found |= alone(task, lambda prompt: stream(writer, prompt, task["tokens"]))
    if task["together"] or task.get("static"):
        most = max([*task["together"], len(task.get("static", []))])
        del writer, model
        writer = load(handrail.load(Path(task["model"])).bundle, threads=task["threads"], slots=most + 1)
        writer.generator.answer(task["prompts"][:2], settings(2))
    for count in task["together"]:
        begun = time.perf_counter()
        writer.generator.answer(task["prompts"][:count], settings(task["tokens"]))
        found[f"together_{count}_tokens_per_s"] = count * task["tokens"] / (time.perf_counter() - begun)
    if task.get("static"):
        found |= static(writer.decoder, task["static"], task["tokens"])
    tell({**found, "peak_mb": peak_mb(), "version": f"handrail {handrail.__version__}"})


def settings(tokens: int) -> Settings:
    return Settings(max_tokens=tokens, temperature=0.0, ignore_end=True)


def stream(writer: Writer, prompt: list[int], tokens: int) -> Times:
    begun = time.perf_counter()
    return [time.perf_counter() - begun for piece in writer.generator.stream(prompt, settings(tokens)) if piece.tokens]


def static(decoder: Decoder, prompts: list[list[int]], tokens: int) -> dict[str, float]:
    """One batch that all join at once and leave at once, with nothing around it: what continuous batching may cost."""
    begun = time.perf_counter()
    for slot, prompt in enumerate(prompts):
        decoder.prefill(slot, np.array(prompt[:-1]), 0, wants=False)
    read_s = time.perf_counter() - begun
    chosen = np.array([prompt[-1] for prompt in prompts])
    lengths = np.array([len(prompt) - 1 for prompt in prompts], np.int32)
    for _ in range(tokens):
        chosen = decoder.step(len(prompts), chosen, lengths).argmax(axis=-1)
        lengths += 1
    return {"static_tokens_per_s": len(prompts) * tokens / (time.perf_counter() - begun), "static_read_s": read_s}


main()
