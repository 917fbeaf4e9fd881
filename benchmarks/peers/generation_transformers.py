"""GPT-2 by transformers' `generate`, fp32, as in 2020: what ours is compared with. Needs torch and transformers."""

from __future__ import annotations

import time

BEGUN = time.perf_counter()

import torch
import transformers
from generation_common import Times, alone, asked, peak_mb, tell

IMPORTED = time.perf_counter()


class Clock(transformers.generation.streamers.BaseStreamer):
    """Notes when each token comes; the first call brings the prompt."""

    def __init__(self) -> None:
        self.times: Times = []

    def put(self, value: torch.Tensor) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        pass


def main() -> None:
    task = asked()
    torch.set_num_threads(task["threads"])
    model = transformers.AutoModelForCausalLM.from_pretrained(task["model"], dtype=torch.float32).eval()
    loaded = time.perf_counter()
    generate(model, task["prompts"][:1], 1)
    found = {"import_s": IMPORTED - BEGUN, "load_s": loaded - IMPORTED, "first_s": time.perf_counter() - loaded}
    found |= alone(task, lambda prompt: one(model, prompt, task["tokens"]))
    for count in task["together"]:
        begun = time.perf_counter()
        generate(model, task["prompts"][:count], task["tokens"])
        found[f"together_{count}_tokens_per_s"] = count * task["tokens"] / (time.perf_counter() - begun)
    tell(
        {
            **found,
            "peak_mb": peak_mb(),
            "version": f"transformers {transformers.__version__}, torch {torch.__version__}",
        }
    )


def one(model: torch.nn.Module, prompt: list[int], tokens: int) -> Times:
    clock, begun = Clock(), time.perf_counter()
    generate(model, [prompt], tokens, clock)
    return [moment - begun for moment in clock.times[1:]]


def generate(model: torch.nn.Module, prompts: list[list[int]], tokens: int, streamer: Clock | None = None) -> None:
    """Prompts of one length; an end of text does not end it."""
    given = torch.tensor(prompts)
    with torch.inference_mode():
        model.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=tokens, min_new_tokens=tokens,
                       do_sample=False, pad_token_id=0, streamer=streamer)  # fmt: skip


main()
