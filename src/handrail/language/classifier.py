"""Labels for texts without any training: the label whose description means most nearly what the text does, or none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from handrail.core.errors import HandrailError
from handrail.core.events import Tell, quiet
from handrail.core.field import described
from handrail.core.processors import processors
from handrail.language.background import BACKGROUND
from handrail.language.embedder import BASE
from handrail.language.encoder import encoder
from handrail.language.texts import text_of, texts_of

TEMPLATE: Final = "This text is about {}."
NONE: Final = "none"
MOST_LABELS: Final = 10_000
LEAST_BACKGROUND: Final = 10
# Which label, by the cosines themselves: fitted by log loss to half of banking77's intents and a part of AG News.
SHARPNESS: Final = 16.0
# A label whose cosines hardly differ must not make much of little.
LEAST_DEVIATION: Final = 0.03

Answer = dict[str, Any]


@dataclass(frozen=True)
class Judgement:
    """Whether any label fits, as the logit of a probability: how far the best label stands above what is usual for it,
    in standard deviations of the background (`height`), less what the largest of so many labels is by chance
    (`chance` times sqrt(2 ln(labels + 1))), and how clearly it is chosen among them (`choice`: 0 where all are as near,
    1 where only one is)."""

    height: float
    chance: float
    choice: float
    offset: float

    def logits(self, heights: np.ndarray, shares: np.ndarray, strictness: float) -> np.ndarray:
        """For texts with these heights and shares of labels `(texts, labels)`."""
        count = shares.shape[1]
        by_chance = math.sqrt(2 * math.log(count + 1))
        clear = np.log(shares.max(axis=1, keepdims=True) * count) / math.log(count + 1)
        above = heights.max(axis=1, keepdims=True) - strictness
        found: np.ndarray = self.height * above - self.chance * by_chance + self.choice * clear + self.offset
        return found


# Fitted by logistic regression to 39 of banking77's 77 intents and to AG News, 1 to 30 labels at a time; texts of other
# labels, SMS messages and film reviews as "none", as heavy together as those that fit; the offsets a little kinder to
# labels. What it does with the other 38 intents is in benchmarks/RESULTS.md: texts of an intent that is not given are
# hard to tell from those of one that is (an area under the curve of 0.7 to 0.8, whatever is looked at), others easy.
BY_OURS: Final = Judgement(0.51, 2.42, 2.98, 2.36)
BY_OWN: Final = Judgement(1.02, 2.13, 2.16, 1.84)


class Classifier:
    """`Classifier(["refund", "praise"])("I want my money back")` is `{"label", "probability", "probabilities"}`.

    The label is "none" where it is likelier that no label fits than that one does. Probabilities are rough: they come
    from likeness alone. With 50 examples or more `handrail train` does better.
    """

    def __init__(
        self, labels: Sequence[str] | Mapping[str, str], *, template: str = TEMPLATE, none: bool = True,
        background: Sequence[str] = BACKGROUND, strictness: float = 0.0, base: str = BASE,
        threads: int | None = None, home: Path | None = None, tell: Tell = quiet,
    ) -> None:  # fmt: skip
        """`labels` are words, or words with what they mean: `{"refund": "wanting money back"}`, which `template` turns
        into a sentence. `none=False` always gives a label.

        `background` are texts as they usually come, without labels: 50 or more of your own make "none" much better,
        since a text fits a label when it is nearer to it than those are. `strictness`, in standard deviations of
        theirs, asks for more (above 0) or less (below).
        """
        self.labels, described_as = _labels(labels, none=none)
        self._none = none
        self._strictness = _number(strictness)
        self._judgement = BY_OURS if background is BACKGROUND else BY_OWN
        usual = _background(background)
        self._encoder = encoder(base, threads=threads or processors(), home=home, tell=tell)
        self._vectors = self._encoder.vectors([_filled(template, words) for words in described_as])
        cosines = self._cosines(usual)
        self._mean = cosines.mean(axis=0)
        self._deviation = np.maximum(cosines.std(axis=0), LEAST_DEVIATION)

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
        cosines = self._cosines(texts)
        sharp = np.exp(SHARPNESS * (cosines - cosines.max(axis=1, keepdims=True)))
        shares: np.ndarray = sharp / sharp.sum(axis=1, keepdims=True)
        if not self._none:
            return shares
        heights = (cosines - self._mean) / self._deviation
        fits = 1 / (1 + np.exp(-self._judgement.logits(heights, shares, self._strictness)))
        return np.concatenate([shares * fits, 1 - fits], axis=1)

    def _cosines(self, texts: Sequence[str]) -> np.ndarray:
        """`(texts, labels)`."""
        found: np.ndarray = self._encoder.vectors(texts) @ self._vectors.T
        return found.astype(np.float64)

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


def _background(given: object) -> list[str]:
    found = [text for text in texts_of(given, "background text") if text.strip()]
    if len(found) < LEAST_BACKGROUND:
        problem = f"background: expected {LEAST_BACKGROUND} texts or more, received {len(found)}"
        raise HandrailError("usage", problem, "leave it out, or give 50 of your texts", field="background")
    return found


def _number(strictness: object) -> float:
    if not isinstance(strictness, int | float) or isinstance(strictness, bool) or not -100 <= strictness <= 100:
        problem = f"strictness: expected a number from -100 to 100, received {str(strictness)[:40]}"
        raise HandrailError("usage", problem, "strictness=1.0 says none more often", field="strictness")
    return float(strictness)
