"""Fits texts: features, heads on each rung judged by cross-validation, the best one fitted on all rows, exported."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from handrail.catalog.fetch import Base, base
from handrail.core.bundle import to_npy
from handrail.core.errors import HandrailError
from handrail.core.events import Progress, Said, Tried, Warned
from handrail.core.signature import Output, Signature
from handrail.data.look import Look
from handrail.data.table import Table
from handrail.data.targets import parts_of
from handrail.encode.ngrams import NGrams, fit_ngrams
from handrail.encode.wordpiece import WordPiece
from handrail.learn.folds import fold_numbers
from handrail.runtimes.onnx import load as load_graph
from handrail.store.home import default_home
from handrail.tasks import Fitted, Job
from handrail.tasks.text_classification.heads import (
    fit_heads,
    honest_temperature,
    mean_log_loss,
    probabilities,
    signs_of,
)
from handrail.tasks.text_classification.predict import joined_texts

BASE = "minilm"
BATCH = 64
# Sentence vectors are turned into this many directions of most variance before the head sees them.
DIRECTIONS = 384
# Embedding may use this share of the time that is left, and fetching the base this much.
EMBED_SHARE, FETCH_SHARE = 0.6, 0.3
FINISH_SHARE = 1.5
CURVE_SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)


@dataclass(frozen=True)
class Rung:
    """A head to try: on n-grams, on sentence vectors × `scale`, or both (0 leaves a block out)."""

    name: str
    ngrams: bool
    scale: float
    strength: float


RUNGS = (
    Rung("n-grams", True, 0.0, 1.0),
    Rung("n-grams + sentence vectors", True, 2.0, 0.3),
    Rung("n-grams, gentler", True, 0.0, 0.3),
    Rung("n-grams + sentence vectors, gentler", True, 2.0, 0.1),
    Rung("n-grams + sentence vectors, firmer", True, 2.0, 1.0),
    Rung("n-grams + sentence vectors, equal", True, 1.0, 1.0),
    Rung("sentence vectors", False, 2.0, 0.3),
)


@dataclass(frozen=True)
class Blocks:
    """Features of rows: sparse n-grams, and sentence vectors already turned (None where there are none)."""

    ngrams: object
    vectors: np.ndarray | None

    def of(self, rung: Rung, rows: np.ndarray | None = None) -> object:
        """The rung's features of `rows` (all by default), as one sparse matrix."""
        import scipy.sparse

        parts = [self.ngrams] if rung.ngrams else []
        if rung.scale and self.vectors is not None:
            parts.append(scipy.sparse.csr_matrix(self.vectors * rung.scale))
        whole = scipy.sparse.hstack(parts, format="csr")
        return whole if rows is None else whole[rows]


@dataclass(frozen=True)
class Vectors:
    """Sentence vectors of training and replay rows, turned: (raw − `centre`) @ `turn`."""

    base: Base
    train: np.ndarray
    replay: np.ndarray
    centre: np.ndarray
    turn: np.ndarray


def fit(job: Job) -> Fitted:
    """Raises HandrailError ("interrupted") when it was stopped before the first rung was judged."""
    texts, others = _texts(job.look, job.train), _texts(job.look, job.replay)
    answers = answers_of(job.look, job.train)
    ngrams = fit_ngrams(texts, max_features=job.plan.settings["features"])
    folds = fold_numbers(job.look, _strata(answers), _fold_count(job, answers), job.order.seed)
    blocks = Blocks(_sparse(ngrams, texts), None)
    curve = _learning_curve(job, blocks, answers, folds)
    tried = list(_judged(job, RUNGS[:1], blocks, answers, folds))
    vectors = _vectors(job, texts, others) if job.plan.settings["embeddings"] and tried else None
    blocks = dataclasses.replace(blocks, vectors=None if vectors is None else vectors.train)
    rungs = [rung for rung in RUNGS[1:] if vectors is not None or not rung.scale]
    tried += _judged(job, rungs, blocks, answers, folds, tried)
    if not tried:
        raise HandrailError("interrupted", "stopped before the first model was ready", "give it more --time")
    best = min(tried, key=lambda one: one.loss)
    job.tell(Progress(f"fitting '{best.rung.name}' on all rows", 0, 0))
    return _fitted(job, best, tried, ngrams, blocks, vectors, answers, others, curve)


@dataclass(frozen=True)
class Judged:
    """A rung with its out-of-fold margins (NaN in folds that time did not allow), its loss and what a fold takes."""

    rung: Rung
    margins: np.ndarray
    loss: float
    temperature: float
    fold_s: float


def answers_of(look: Look, table: Table) -> np.ndarray:
    """`(rows, outputs)` of 0 and 1: one output for two labels (the second label), else one a label."""
    cells = table.columns[look.target]
    places = {label: place for place, label in enumerate(look.labels)}
    answers = np.zeros((len(cells), len(places)), dtype=np.int64)
    if look.problem == "multilabel":
        for row, cell in enumerate(cells):
            answers[row, [places[part] for part in parts_of(cell, look.label_separator) if part in places]] = 1
        return answers
    answers[np.arange(len(cells)), [places[word] for word in look.target_field.parse_column(cells)]] = 1
    return answers[:, 1:] if len(places) == 2 else answers


def _texts(look: Look, table: Table) -> list[str]:
    return joined_texts({field.name: field.parse_column(table.columns[field.name]) for field in look.inputs()})


def _strata(answers: np.ndarray) -> np.ndarray:
    return answers[:, 0] if answers.shape[1] == 1 else answers.argmax(axis=1)


def _fold_count(job: Job, answers: np.ndarray) -> int:
    fewest = int(np.bincount(_strata(answers)).min()) if job.look.problem != "multilabel" else len(answers)
    return max(2, min(int(job.plan.settings["folds"]), max(2, fewest)))


def _sparse(ngrams: NGrams, texts: list[str]) -> object:
    import scipy.sparse

    starts, features, values = ngrams.encode(texts)
    return scipy.sparse.csr_matrix((values, features, starts), shape=(len(texts), max(1, len(ngrams.hashes))))


def _judged(
    job: Job, rungs: tuple[Rung, ...] | list[Rung], blocks: Blocks, answers: np.ndarray, folds: np.ndarray,
    before: list[Judged] | None = None,
) -> Iterator[Judged]:  # fmt: skip
    """Rungs as they are judged. One is begun only when two of its folds and the final fit should end in time."""
    judged = list(before or [])
    for rung in rungs:
        if job.order.trials is not None and len(judged) >= job.order.trials:
            return
        slowest = max((one.fold_s for one in judged), default=0.0)
        if judged and job.clock.left() < slowest * (2 + FINISH_SHARE):
            return
        started = time.monotonic()
        key = f"margins-{rung.name}"
        saved = job.checkpoint.get(key)
        try:
            found = saved or _margins(job, rung, blocks, answers, folds, needed=not judged)
        except TimeoutError:
            return
        margins, fold_s = found["margins"], float(found["fold_s"])
        seconds = time.monotonic() - started
        known = np.isfinite(margins).all(axis=1)
        if saved is None and known.all():
            job.checkpoint.put(key, found)
        temperature = honest_temperature(margins[known], answers[known], job.look.problem)
        loss = mean_log_loss(margins[known], answers[known], temperature, job.look.problem)
        best = min((one.loss for one in judged), default=np.inf)
        note = "" if known.all() else f"{len(np.unique(folds[known]))} of {int(folds.max()) + 1} folds"
        note = "used again" if saved else note
        job.tell(Tried(rung.name, "log_loss", loss, seconds, loss < best, note))
        judged.append(Judged(rung, margins, loss, temperature, fold_s))
        yield judged[-1]


def _margins(
    job: Job, rung: Rung, blocks: Blocks, answers: np.ndarray, folds: np.ndarray, *, needed: bool
) -> dict[str, np.ndarray]:
    """`margins` (rows, outputs) out of fold, and the seconds a fold took; folds are left out (NaN) when time runs
    short, but never the first. Raises TimeoutError when it is stopped and not `needed`."""
    features, margins = blocks.of(rung), np.full(answers.shape, np.nan)
    count, started = int(folds.max()) + 1, time.monotonic()
    for fold in range(count):
        fold_s = (time.monotonic() - started) / max(1, fold)
        if fold and job.clock.left() < fold_s * (1 + FINISH_SHARE):
            break
        inside = folds == fold
        stopped = (lambda: False) if needed and not fold else job.clock.stopped
        try:
            weights, biases = fit_heads(
                features[~inside], signs_of(answers[~inside]), rung.strength, _head_threads(job), stopped  # type: ignore[index]
            )  # fmt: skip
        except TimeoutError:
            if not fold:
                raise
            break
        margins[inside] = features[inside] @ weights + biases  # type: ignore[index]
        total = job.plan.time_s or 0.0
        job.tell(Progress(f"{rung.name}, fold {fold + 1} of {count}", min(job.clock.spent(), total), total))
    done = len(np.unique(folds[np.isfinite(margins).all(axis=1)]))
    return {"margins": margins, "fold_s": np.array((time.monotonic() - started) / max(1, done))}


def _threads(job: Job) -> int:
    return int(job.plan.settings["threads"])


def _head_threads(job: Job) -> int:
    """One where trials are counted: heads that are fitted side by side draw from one random generator (see `heads`)."""
    return _threads(job) if job.order.trials is None else 1


def _vectors(job: Job, texts: list[str], others: list[str]) -> Vectors | None:
    """Sentence vectors, or None with a sentence that says why they are not used."""
    if job.clock.expired() or (job.order.trials is not None and job.order.trials < 2):
        return None
    if os.environ.get("HANDRAIL_OFFLINE") and not job.checkpoint.get("vectors"):
        from handrail.catalog.fetch import is_cached

        if not is_cached(BASE, default_home() / "bases"):
            job.tell(Said("sentence vectors are not used: MiniLM is not at hand and HANDRAIL_OFFLINE is set"))
            return None
    try:
        found = base(
            BASE, default_home() / "bases", job.tell, timeout_s=min(120.0, max(5.0, job.clock.left() * FETCH_SHARE))
        )
    except HandrailError as error:
        job.tell(Warned(f"sentence vectors are not used: {error.problem}"))
        return None
    saved = job.checkpoint.get("vectors")
    raw = saved["raw"] if saved else _embedded(job, found, texts + others)
    if raw is None:
        job.tell(Said("sentence vectors are not used: there is not time enough to make them"))
        return None
    if saved is None:
        job.checkpoint.put("vectors", {"raw": raw})
    train = raw[: len(texts)].astype(np.float64)
    centre = train.mean(axis=0)
    spread, directions = np.linalg.eigh((train - centre).T @ (train - centre))
    turn = directions[:, np.argsort(-spread, kind="stable")[:DIRECTIONS]]
    turned = [((part - centre) @ turn).astype(np.float32) for part in (train, raw[len(texts) :])]
    return Vectors(found, turned[0], turned[1], centre, turn)


def _embedded(job: Job, found: Base, texts: list[str]) -> np.ndarray | None:
    """`(texts, hidden)`: equal texts once, in batches of like length; None when it would take too long."""
    unique, inverse = np.unique(np.array(texts, dtype=object), return_inverse=True)
    pieces = WordPiece(tuple(found.vocabulary.decode("utf-8").split("\n")), found.entry.longest)
    graph = load_graph(found.graph, threads=_threads(job))
    order = np.argsort([len(text) for text in unique], kind="stable")
    starts = np.random.default_rng(job.order.seed).permutation(np.arange(0, len(order), BATCH))
    allowed, started, result = job.clock.left() * EMBED_SHARE, time.monotonic(), None
    # Batches come in random order, so that the time of the first ones tells the time of all.
    for done, start in enumerate(starts, start=1):
        chunk = order[start : start + BATCH]
        numbers, mask = pieces.encode([unique[place] for place in chunk])
        vectors = graph.run({"input_ids": numbers, "attention_mask": mask})["embedding"]
        result = np.zeros((len(unique), vectors.shape[1]), np.float32) if result is None else result
        result[chunk] = vectors
        spent = time.monotonic() - started
        if job.clock.expired() or (spent > 1.0 and done >= 5 and spent / done * len(starts) > allowed):
            return None
        if done % 8 == 0:
            job.tell(Progress("sentence vectors", float(done), float(len(starts))))
    assert result is not None
    return result[inverse]


def _fitted(
    job: Job, best: Judged, tried: list[Judged], ngrams: NGrams, blocks: Blocks, vectors: Vectors | None,
    answers: np.ndarray, others: list[str], curve: list[dict[str, float]],
) -> Fitted:  # fmt: skip
    from handrail.tasks.text_classification.export import exported

    rung, problem = best.rung, job.look.problem
    weights, biases = fit_heads(blocks.of(rung), signs_of(answers), rung.strength, _head_threads(job))
    used = vectors if rung.scale else None
    replay = Blocks(_sparse(ngrams, others), None if used is None else used.replay)
    native = probabilities(replay.of(rung) @ weights + biases, best.temperature, problem)
    count = max(1, len(ngrams.hashes)) if rung.ngrams else 0
    turned, centre_bias = None, np.zeros(len(biases))
    if used is not None:
        turned = rung.scale * (used.turn @ weights[count:])
        centre_bias = used.centre @ turned
    graph = exported(
        weights[:count] if count else None, turned, biases - centre_bias, best.temperature, problem,
        None if used is None else used.base.graph,
    )  # fmt: skip
    files = {"weights/model.onnx": graph}
    if count:
        files |= {"encode/hashes.npy": to_npy(ngrams.hashes), "encode/idf.npy": to_npy(ngrams.weights)}
    if used is not None:
        files["encode/vocabulary.txt"] = used.base.vocabulary
    output = Output(
        job.look.target,
        "labels" if problem == "multilabel" else "label",
        job.look.labels,
        job.look.label_separator or "|",
    )
    return Fitted(
        Signature(job.look.inputs(), output, job.look.ignored()),
        files,
        {"ngrams": bool(count), "longest": used.base.entry.longest if used else 0},
        native,
        "log_loss",
        base=used.base.as_dict() if used else {},
        candidates=_leaderboard(tried, best),
        learning_curve=tuple(curve),
        out_of_fold=_out_of_fold(best, problem),
        notes=(f"'{rung.name}' was chosen of {len(tried)} candidates",),
    )


def _out_of_fold(best: Judged, problem: str) -> np.ndarray:
    known = np.isfinite(best.margins).all(axis=1)
    found = probabilities(np.nan_to_num(best.margins), best.temperature, problem)
    found[~known] = np.nan
    return found


def _leaderboard(tried: list[Judged], best: Judged) -> tuple[dict[str, object], ...]:
    rows = [
        {
            "name": one.rung.name,
            "metric": "log_loss",
            "score": float(f"{one.loss:.6g}"),
            "weight": float(one is best),
            "note": "",
        }
        for one in tried
    ]
    return tuple(sorted(rows, key=lambda row: (row["score"], row["name"])))


def _learning_curve(job: Job, blocks: Blocks, answers: np.ndarray, folds: np.ndarray) -> list[dict[str, float]]:
    """The loss on one fold of n-gram heads learnt from growing shares of the others; [] when there is no time."""
    inside = folds == 0
    pool = np.random.default_rng(job.order.seed).permutation(np.flatnonzero(~inside))
    features, found, started = blocks.of(RUNGS[0]), list[dict[str, float]](), time.monotonic()
    for share in CURVE_SHARES:
        rows = np.sort(pool[: max(10, int(share * len(pool)))])
        if time.monotonic() - started > 0.08 * job.clock.left():
            return []
        try:
            weights, biases = fit_heads(
                features[rows], signs_of(answers[rows]), 1.0, _head_threads(job), job.clock.stopped  # type: ignore[index]
            )  # fmt: skip
        except TimeoutError:
            return []
        margins = features[inside] @ weights + biases  # type: ignore[index]
        temperature = honest_temperature(margins, answers[inside], job.look.problem)
        loss = mean_log_loss(margins, answers[inside], temperature, job.look.problem)
        found.append({"rows": len(rows), "score": float(f"{loss:.6g}")})
    return found
