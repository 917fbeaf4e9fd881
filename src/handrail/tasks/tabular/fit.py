"""Fits a table: encode, try shapes while there is time, choose the best together, make them honest, export."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from handrail.core.bundle import to_npy
from handrail.core.errors import HandrailError
from handrail.core.events import Progress, Tried
from handrail.core.signature import Columns, Output, Signature
from handrail.encode.columns import TableCode
from handrail.learn.ensemble import greedy_weights
from handrail.learn.folds import fold_numbers
from handrail.learn.losses import best_temperature, doubt, tempered
from handrail.report.words import in_a_sentence
from handrail.tasks import Fitted, Job
from handrail.tasks.tabular.candidates import Data, Piece, fit_shape, piece_from
from handrail.tasks.tabular.encoding import fit_code
from handrail.tasks.tabular.portfolio import Shape, boosted, drawn, first_shapes

# In onnxruntime a row takes about 0.4 ms for a million nodes, and loading them 0.25 s; the file grows by 13 MB.
MOST_NODES = 1_200_000.0
MOST_CANDIDATES = 150
EXPORT_S = 0.4
HURRIED_S = 20.0
# Logarithms are tried where one amount in twenty is this many times the median.
SKEWED = 1.8
CURVE_SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)
INTERVAL = (0.05, 0.95)


@dataclass(frozen=True)
class Target:
    """The answers as models want them: `y`, and (rows, answers) `encoded` for the target's averages."""

    y: np.ndarray
    encoded: np.ndarray
    mean: float
    deviation: float


def fit(job: Job) -> Fitted:
    """Raises HandrailError ("interrupted") when it was stopped before the first candidate was finished."""
    fields = job.look.inputs()
    columns = {field.name: field.parse_column(job.train.columns[field.name]) for field in fields}
    replay = {field.name: field.parse_column(job.replay.columns[field.name]) for field in fields}
    target = _target(job)
    labels = None if job.look.problem == "regression" else target.y
    folds = fold_numbers(job.look, labels, _fold_count(job, labels), job.order.seed)
    code, x = fit_code(fields, columns, target.encoded, folds)
    data = _data(job, code, x, replay, target, folds)
    tried, curve = [], list[dict[str, float]]()
    for candidate in _tried(job, data, target):
        tried.append(candidate)
        if len(tried) == 1:
            curve = _learning_curve(job, data, target)
    if not tried:
        raise HandrailError("interrupted", "stopped before the first model was ready", "give it more --time")
    pieces = [piece for _, piece in tried]
    weights = greedy_weights(
        [piece.out_of_fold for piece in pieces], data.loss, [piece.cost for piece in pieces], MOST_NODES
    )
    return _fitted(job, code, data, target, tried, weights, curve)


def _fold_count(job: Job, labels: np.ndarray | None) -> int:
    wanted = int(job.plan.settings["folds"])
    fewest = len(job.train) if labels is None else int(np.bincount(labels.astype(int)).min())
    return max(2, min(wanted, fewest))


def _target(job: Job) -> Target:
    cells = job.look.target_field.parse_column(job.train.columns[job.look.target])
    if job.look.problem == "regression":
        values = cells.astype(np.float64)
        mean, deviation = float(values.mean()), float(values.std()) or 1.0
        y = (values - mean) / deviation
        return Target(y, y[:, None], mean, deviation)
    places = {label: place for place, label in enumerate(job.look.labels)}
    y = np.array([places[word] for word in cells], dtype=np.int64)
    one_hot = np.eye(len(places))[y]
    return Target(y, one_hot[:, 1:] if len(places) == 2 else one_hot, 0.0, 1.0)


def _data(job: Job, code: TableCode, x: np.ndarray, replay: Columns, target: Target, folds: np.ndarray) -> Data:
    sizes = {one.start: len(one.words) for one in code.codes if one.kind == "category" and one.words}
    outputs = len(job.look.labels) or 1
    problem = "regression" if job.look.problem == "regression" else "classification"
    threads = int(job.plan.settings["threads"])
    lowest = _lowest(target) if problem == "regression" else -np.inf
    return Data(
        x, target.y, folds, code.encode(replay), problem, outputs, sizes, threads, job.order.seed, lowest,
        job.clock.stopped,
    )  # fmt: skip


def _lowest(target: Target) -> float:
    """What 0 is in `target.y`, if all amounts are above it and many are far above: prices, counts, durations."""
    amounts = target.y * target.deviation + target.mean
    if amounts.min() <= 0 or np.quantile(amounts, 0.95) < SKEWED * np.median(amounts):
        return -np.inf
    return -target.mean / target.deviation


def _tried(job: Job, data: Data, target: Target) -> Iterator[tuple[Shape, Piece]]:
    """Candidates as they are finished. Each is begun only when it should end in time, but the first one always is."""
    best, best_shape, costs, count = np.inf, None, dict[str, list[float]](), 0
    wanted = job.order.trials or MOST_CANDIDATES
    logarithms = bool(np.isfinite(data.lowest))
    first = first_shapes(hurried=(job.plan.time_s or np.inf) < HURRIED_S, logarithms=logarithms)
    random = np.random.default_rng(job.order.seed)
    for number in itertools.count():
        few = number < len(first)
        shape = first[number] if few else drawn(random, number, best_shape, logarithms=logarithms)
        left = job.clock.left() - EXPORT_S
        if count and (count >= wanted or job.clock.expired()):
            return
        if count and left < 0.5 * float(np.median(costs.get(shape.kind, [0.0]))):
            if few:
                continue
            return
        started = time.monotonic()
        key = _key(shape)
        saved = job.checkpoint.get(key)
        try:
            piece = (
                piece_from(saved)
                if saved
                else fit_shape(shape, data, _slice(left, count, shape), _progress(job, shape, data, best, target))
            )
        except TimeoutError:
            costs[shape.kind] = [np.inf]
            continue
        if not np.isfinite(piece.out_of_fold).all():
            continue
        if job.clock.stopped() and count:
            return
        if saved is None and not job.clock.stopped():
            job.checkpoint.put(key, piece.arrays())
        seconds = time.monotonic() - started
        if saved is None:
            costs.setdefault(shape.kind, []).append(seconds)
        loss = data.loss(piece.out_of_fold)
        count += 1
        note = "used again" if saved else ""
        job.tell(Tried(shape.name, job.plan.settings["metric"], _shown(loss, target), seconds, loss < best, note))
        if loss < best:
            best, best_shape = loss, shape
        yield shape, piece


def _key(shape: Shape) -> str:
    """What a piece is found by: all that shapes it, whenever its turn comes and whatever it is called."""
    return hashlib.sha256(repr((shape.kind, shape.settings, shape.logarithms)).encode()).hexdigest()[:16]


def _slice(left: float, count: int, shape: Shape) -> float:
    """How long a candidate may take: the first ones leave time for others of another kind."""
    share = 0.5 if count == 0 else 0.5 if shape.kind in ("network", "forest") else 0.8
    return max(0.5, left * share) if np.isfinite(left) else left


def _progress(job: Job, shape: Shape, data: Data, best: float, target: Target):  # type: ignore[no-untyped-def]
    words = f"{in_a_sentence(job.plan.settings['metric'])} {_shown(best, target):.4g}" if np.isfinite(best) else ""

    def told(fold: int) -> None:
        total = job.plan.time_s or 0.0
        job.tell(
            Progress(f"{shape.name}, fold {fold + 1} of {data.fold_count}", min(job.clock.spent(), total), total, words)
        )

    return told


def _shown(loss: float, target: Target) -> float:
    """A loss on the target's own scale."""
    return loss * target.deviation


def _fitted(
    job: Job,
    code: TableCode,
    data: Data,
    target: Target,
    tried: list[tuple[Shape, Piece]],
    weights: np.ndarray,
    curve: list[dict[str, float]],
) -> Fitted:
    from handrail.tasks.tabular.export import exported

    chosen = [(piece, float(weight)) for (_, piece), weight in zip(tried, weights, strict=True) if weight > 0]
    out_of_fold, native = (sum(w * getattr(p, part) for p, w in chosen) for part in ("out_of_fold", "replay"))
    temperature, doubted = 1.0, 0.0
    if data.problem != "regression":
        temperature = best_temperature(out_of_fold, data.y)
        doubted = doubt(len(data.y), data.outputs)
        out_of_fold, native = (
            tempered(answers, temperature) * (1.0 - doubted) + doubted / data.outputs
            for answers in (out_of_fold, native)
        )
    out_of_fold, native = out_of_fold * target.deviation + target.mean, native * target.deviation + target.mean
    weights_file = exported(
        [p for p, _ in chosen], [w for _, w in chosen], data, (temperature, doubted), target.mean, target.deviation
    )
    kind = "number" if data.problem == "regression" else "label"
    output = Output(job.look.target, kind, job.look.labels)  # type: ignore[arg-type]
    return Fitted(
        Signature(job.look.inputs(), output, job.look.ignored()),
        {"weights/model.onnx": weights_file, **_encode_files(code)},
        {"columns": code.settings(), **_interval(job, target, out_of_fold)},
        native,
        job.plan.settings["metric"],
        scale=target.deviation,
        candidates=tuple(_leaderboard(job, data, target, tried, weights)),
        learning_curve=tuple(curve),
        out_of_fold=out_of_fold,
        notes=() if temperature == 1.0 else (f"probabilities were tempered by {temperature:g} to be honest",),
    )


def _interval(job: Job, target: Target, out_of_fold: np.ndarray) -> dict[str, object]:
    """What to add to an amount to cover 90 %: quantiles of the out-of-fold residuals (conformal; Vovk et al. 2005)."""
    if job.look.problem != "regression":
        return {"interval": [0.0, 0.0], "lowest": 0.0}
    values = target.y * target.deviation + target.mean
    low, high = np.quantile(values - out_of_fold[:, 0], INTERVAL)
    return {"interval": [float(low), float(high)], "lowest": 0.0 if values.min() >= 0 else -1e300}


def _encode_files(code: TableCode) -> dict[str, bytes]:
    files = {}
    for place, one in enumerate(code.codes):
        if one.statistics:
            files[f"encode/statistics_{place}.npy"] = to_npy(code.statistics[one.name])
        if one.kind == "text":
            ngrams, weights = code.texts[one.name]
            files[f"encode/hashes_{place}.npy"] = to_npy(ngrams.hashes)
            files[f"encode/idf_{place}.npy"] = to_npy(ngrams.weights)
            files[f"encode/weights_{place}.npy"] = to_npy(weights)
    return files


def _leaderboard(
    job: Job, data: Data, target: Target, tried: list[tuple[Shape, Piece]], weights: np.ndarray
) -> list[dict[str, object]]:
    rows = [
        {"name": shape.name, "metric": job.plan.settings["metric"], "weight": round(float(weight), 4),
         "score": float(f"{_shown(data.loss(piece.out_of_fold), target):.6g}"), "note": ""}
        for (shape, piece), weight in zip(tried, weights, strict=True)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row["score"], row["name"]))


def _learning_curve(job: Job, data: Data, target: Target) -> list[dict[str, float]]:
    """The loss on one fold of quick trees learnt from growing shares of the others; [] when there is no time."""
    import dataclasses

    inside = data.folds == 0
    pool = np.random.default_rng(job.order.seed).permutation(np.flatnonzero(~inside))
    quick = boosted("curve", learning_rate=0.15, num_leaves=15, min_data_in_leaf=10)
    found: list[dict[str, float]] = []
    for share in CURVE_SHARES:
        rows = np.sort(pool[: max(10, int(share * len(pool)))])
        if job.clock.left() < 2 * job.clock.spent():
            return []
        if data.problem != "regression" and len(np.unique(data.y[rows])) < data.outputs:
            continue
        some = np.concatenate([np.flatnonzero(inside), rows])
        part = dataclasses.replace(
            data, x=data.x[some], y=data.y[some], folds=np.where(inside[some], 0, 1), replay=data.x[:1]
        )
        allowed_s = job.clock.left() if job.order.trials else min(2.0, job.clock.left() / 4)
        piece = fit_shape(quick, part, allowed_s, lambda fold: None)
        if job.clock.stopped():
            return []
        loss = part.loss(piece.out_of_fold[part.folds == 0], part.folds == 0)
        found.append({"rows": len(rows), "score": float(f"{_shown(loss, target):.6g}")})
    return found
