"""Labels for texts without any training: the label whose description means most nearly what the text does, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from handrail.core.errors import HandrailError
from handrail.core.events import Tell, quiet
from handrail.core.field import described
from handrail.language.embedder import BASE, processors
from handrail.language.encoder import encoder
from handrail.language.texts import text_of, texts_of

TEMPLATE: Final = "This text is about {}."
NONE: Final = "none"
MOST_LABELS: Final = 10_000
# How probabilities follow from cosines of minilm's vectors. Fitted to half of banking77's intents and half of the AG
# News sample (labels 2 to 20 at a time, with texts of the labels left out and of SST-2 as "none"), log loss; measured
# on the other halves with SMS messages as foreign ones: see dev/LOG.md, "labels without training".
SHARPNESS: Final = 16.0
DOUBT: Final = 5.0
THRESHOLD: Final = 0.25

Answer = dict[str, Any]


class Classifier:
    """`Classifier(["refund", "praise"])("I want my money back")` is `{"label", "probability", "probabilities"}`.

    The label is "none" where it is likelier that no label fits than that one does. Probabilities are rough: they come
    from likeness alone. With 50 examples or more `handrail train` does better.
    """

    def __init__(
        self, labels: Sequence[str] | Mapping[str, str], *, template: str = TEMPLATE, none: bool = True,
        threshold: float = THRESHOLD, base: str = BASE, threads: int | None = None, home: Path | None = None,
        tell: Tell = quiet,
    ) -> None:  # fmt: skip
        """`labels` are words, or words with what they mean: `{"refund": "wanting money back"}`, which `template` turns
        into a sentence. `none=False` always gives a label. A text whose best cosine is `threshold` fits no label with
        probability one half: lower it where too many are "none"."""
        self.labels, described_as = _labels(labels, none=none)
        self._none = none
        self._threshold = _cosine(threshold)
        self._encoder = encoder(base, threads=threads or processors(), home=home, tell=tell)
        self._vectors = self._encoder.vectors([_filled(template, words) for words in described_as])

    def __call__(self, texts: str | Sequence[str]) -> Any:
        """An answer for a text, a list for a list. Raises HandrailError ("usage", "data") for what is no text, or
        empty."""
        if isinstance(texts, str):
            return self._answers([text_of(texts)])[0]
        found = texts_of(texts)
        return self._answers([text_of(text, f"text {place:,}") for place, text in enumerate(found, start=1)])

    def __repr__(self) -> str:
        return f"<handrail.Classifier of {len(self.labels):,} labels, {self._encoder.name}>"

    def _answers(self, texts: Sequence[str]) -> list[Answer]:
        return [self._answer(row) for row in self.probabilities(texts).tolist()]

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """`(texts, labels)` float64, with a last column for "none" where that may be answered; rows add up to 1."""
        cosines = (self._encoder.vectors(texts) @ self._vectors.T).astype(np.float64)
        sharp = np.exp(SHARPNESS * (cosines - cosines.max(axis=1, keepdims=True)))
        shares: np.ndarray = sharp / sharp.sum(axis=1, keepdims=True)
        if not self._none:
            return shares
        fits = 1 / (1 + np.exp(-DOUBT * (cosines.max(axis=1, keepdims=True) - self._threshold)))
        return np.concatenate([shares * fits, 1 - fits], axis=1)

    def _answer(self, row: list[float]) -> Answer:
        names = [*self.labels, NONE] if self._none else list(self.labels)
        fitting = max(range(len(self.labels)), key=row.__getitem__)
        # Not the largest share: among a hundred labels none has half of it.
        best = len(self.labels) if self._none and row[-1] > 0.5 else fitting
        return {"label": names[best], "probability": row[best], "probabilities": dict(zip(names, row, strict=True))}


def _labels(given: object, *, none: bool) -> tuple[tuple[str, ...], list[str]]:
    """Names and what they mean. Raises HandrailError ("usage") that names what is off."""
    if isinstance(given, Mapping):
        names, meanings = [*given], [*given.values()]
    elif isinstance(given, Sequence) and not isinstance(given, str | bytes):
        names = [*given]
        meanings = [name.replace("_", " ") if isinstance(name, str) else name for name in names]
    else:
        problem = f"labels: expected a list of words, received {described(given)}"
        raise HandrailError("usage", problem, 'Classifier(["refund", "praise"])', field="labels")
    names, meanings = texts_of(names, "label"), texts_of(meanings, "the meaning of label")
    problem = _problem(names, meanings, none=none)
    if problem:
        raise HandrailError("usage", problem, 'Classifier(["refund", "praise"])', field="labels")
    return tuple(names), meanings


def _problem(names: list[str], meanings: list[str], *, none: bool) -> str:
    if not 1 <= len(names) <= MOST_LABELS:
        return f"labels: expected 1 to {MOST_LABELS:,}, received {len(names):,}"
    if not none and len(names) == 1:
        return "labels: one label alone is always the answer: give two, or leave none=True"
    for place, (name, meaning) in enumerate(zip(names, meanings, strict=True), start=1):
        if not name.strip() or not meaning.strip():
            return f"label {place:,} is empty, or means nothing"
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        return f"the label '{twice[:40]}' is given twice"
    if none and NONE in names:
        return f"'{NONE}' is what is answered where no label fits: leave it out, or set none=False"
    return ""


def _filled(template: object, words: str) -> str:
    if not isinstance(template, str) or template.count("{}") != 1:
        problem = f"template: expected a text with one {{}}, received {described(template)}"
        raise HandrailError("usage", problem, f"template='{TEMPLATE}'", field="template")
    return template.replace("{}", words)


def _cosine(threshold: object) -> float:
    if not isinstance(threshold, int | float) or isinstance(threshold, bool) or not -1 <= threshold <= 1:
        problem = f"threshold: expected a number from -1 to 1, received {str(threshold)[:40]}"
        raise HandrailError("usage", problem, f"threshold={THRESHOLD}", field="threshold")
    return float(threshold)
