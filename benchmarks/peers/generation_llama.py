"""llama.cpp by xllamacpp: its server in this process, continuous batching on, prompts as token numbers."""

from __future__ import annotations

import time

BEGUN = time.perf_counter()

from concurrent.futures import ThreadPoolExecutor

import xllamacpp
from generation_common import Times, alone, asked, peak_mb, tell

IMPORTED = time.perf_counter()


def main() -> None:
    task = asked()
    most = max([1, *task["together"]])
    server = opened(task, most)
    loaded = time.perf_counter()
    complete(server, task["prompts"][0], 1)
    found = {"import_s": IMPORTED - BEGUN, "load_s": loaded - IMPORTED, "first_s": time.perf_counter() - loaded}
    found |= alone(task, lambda prompt: complete(server, prompt, task["tokens"]))
    for count in task["together"]:
        with ThreadPoolExecutor(count) as pool:
            begun = time.perf_counter()
            list(pool.map(lambda prompt: complete(server, prompt, task["tokens"]), task["prompts"][:count]))
            found[f"together_{count}_tokens_per_s"] = count * task["tokens"] / (time.perf_counter() - begun)
    version = getattr(xllamacpp, "__version__", "")
    tell({**found, "peak_mb": peak_mb(), "version": f"xllamacpp {version}"})


def opened(task: dict, slots: int) -> xllamacpp.Server:
    params = xllamacpp.CommonParams()
    params.model.path = task["model"]
    params.n_parallel = slots
    params.n_ctx = slots * task["window"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = task["threads"]
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.ui = False
    params.verbosity = -1
    return xllamacpp.Server(params)


def complete(server: xllamacpp.Server, prompt: list[int], tokens: int) -> Times:
    begun, times = time.perf_counter(), []
    body = {"prompt": prompt, "n_predict": tokens, "temperature": 0.0, "ignore_eos": True, "stream": True, "cache_prompt": False}  # fmt: skip

    def take(piece: object) -> None:
        if isinstance(piece, dict) and "code" in piece:
            raise SystemExit(str(piece))
        moment = time.perf_counter() - begun
        for part in piece if isinstance(piece, list) else [piece]:
            times.append(moment)
            ended.append(part)

    ended: list[object] = []
    server.handle_completions(body, take)
    return times


main()
