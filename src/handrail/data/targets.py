"""What is to be predicted, when nobody says: the column, and the kind of problem, each with the reason."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.values import Cell, is_blank, is_missing, to_boolean, to_number, to_word
from handrail.data.kinds import Seen

TARGET_WORDS: Final = (
    ("target", "label", "outcome", "output"),
    ("sentiment", "intent", "species", "diagnosis", "churn", "churned", "survived", "default", "spam", "topic"),
    (
        "category",
        "class",
        "price",
        "charges",
        "quality",
        "rating",
        "stars",
        "score",
        "grade",
        "income",
        "sales",
        "revenue",
    ),
    ("cost", "value", "amount", "result", "type", "status", "y"),
)
RATING_NAME: Final = re.compile(r"rating|stars?|quality|score|grade|rank|level|satisfaction|likert", re.IGNORECASE)
CLASS_NAME: Final = re.compile(
    r"(?:label|class|type|category|cluster|species|digit|kind|genre|topic|intent)$", re.IGNORECASE
)
COUNT_NAME: Final = re.compile(
    r"^(?:n|nr|num|number)[_\W]|counts?$|(?:claim|vote|like|view|visit|click|share|download|comment|repl(?:y|ie)|child|"
    r"children|person|people|room|order|sale|item|day|hour|minute)s?$|^(?:qty|quantity|age)$",
    re.IGNORECASE,
)
# Measures hold squares of errors in 32 bits, up to 3e38, and add them up.
LARGEST_AMOUNT: Final = 1e15
# A rating has at most this many steps (0 to 10).
MOST_STEPS: Final = 11
MOST_LABELS: Final = 1_000
FEWEST_ROWS: Final = 10
# Whole numbers with more different values than this are amounts, unless the inputs are texts and they are codes.
MOST_INT_LABELS: Final = 20
# What readers put between the labels of a list.
LIST_MARK: Final = "|"
SEPARATORS: Final = (LIST_MARK, ";", ",")
PAIRS: Final = (("true", "false"), ("t", "f"), ("yes", "no"), ("y", "n"), ("1", "0"), ("on", "off"))
OPPOSITES: Final = {one: other for pair in PAIRS for one, other in (pair, pair[::-1])}


@dataclass(frozen=True)
class Question:
    """The kind of problem with its reason; `labels` sorted (() for regression); `dropped` labels have one row only."""

    problem: str
    reason: str
    labels: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    separator: str = ""
    notes: tuple[str, ...] = ()


def named_target(name: str, names: Sequence[str]) -> tuple[str, str]:
    """The column that was asked for. Raises HandrailError with the nearest name."""
    if name in names:
        return name, "you said so"
    for known in names:
        if known.casefold() == name.casefold():
            return known, f"you said '{name}'"
    hint = did_you_mean(name, names).strip()
    raise HandrailError("data", f"no column '{name}'", f"{hint} columns: {listed(names, 20)}".strip(), field="target")


def guessed_target(kinds: Mapping[str, Seen]) -> tuple[str, str]:
    """The column that is most likely meant. Raises HandrailError when there is no choice."""
    if len(kinds) < 2:
        raise HandrailError(
            "data",
            "there is one column only: nothing to predict it from",
            "give inputs and answers; if another mark stands between cells, say it: --separator ';'",
        )
    usable = [name for name, kind in kinds.items() if kind.kind not in ("id", "constant", "empty", "date")]
    texts = [name for name in usable if kinds[name].kind == "text"]
    for words in TARGET_WORDS:
        found = [name for name in usable if re.sub(r"[\W_]+", "", name).casefold() in words and name not in texts]
        if len(found) == 1:
            return found[0], f"its name is '{found[0]}'; --target says otherwise"
    for word in ("target", "label", "price", "value", "class"):
        found = [name for name in usable if re.search(rf"(?:^|[_\W]){word}$", name.casefold()) and name not in texts]
        if len(found) == 1:
            return found[0], f"its name ends in '{word}'; --target says otherwise"
    others = [name for name in usable if name not in texts]
    if texts and len(others) == 1:
        return others[0], "it is the only column beside the text; --target says otherwise"
    if others:
        return others[-1], "it is the last column; --target says otherwise"
    raise HandrailError("data", "no column looks like an answer", "say which: --target NAME")


def question_of(
    name: str, seen: Seen, cells: Sequence[Cell], asked: str | None, *, all_text: bool, lists: bool = False
) -> Question:
    """What kind of problem the target poses; `lists` says that its cells were lists of labels.

    Raises HandrailError where nothing can be learnt.
    """
    filled = _answers(name, seen, cells, asked)
    if asked == "multilabel" or (asked is None and lists):
        return _several(name, filled, LIST_MARK if lists else _likeliest_separator(filled, all_text), asked)
    separator = _parts_separator(filled, all_text) if asked is None and seen.kind in ("category", "text", "id") else ""
    if separator:
        return _several(name, filled, separator, asked)
    if asked == "regression" or (asked is None and seen.kind == "number"):
        amount = _as_amount(name, seen, filled, asked, all_text)
        if amount is not None:
            return amount
    if asked is None and seen.kind == "date":
        raise HandrailError(
            "data", f"'{name}' holds dates, which are not predicted", "give another --target", field=name
        )
    if seen.kind == "boolean" and asked != "multiclass":
        return _yes_or_no(name, filled, asked)
    return _labelled(name, filled, asked)


def label_of(cell: Cell, labels: Collection[str]) -> str | None:
    """The label that a cell means, in whatever spelling of yes and no; None where it means none of them."""
    word = to_word(cell)
    if word is None or word in labels:
        return word
    truth = _truth(word)
    spelt = {_truth(label): label for label in labels} if truth is not None and len(labels) == 2 else {}
    return spelt.get(truth) if None not in spelt else None


def _answers(name: str, seen: Seen, cells: Sequence[Cell], asked: str | None) -> list[Cell]:
    """The cells that answer. Among numbers, yes and no, a word such as NA is no answer."""
    filled = [cell for cell in cells if not is_blank(cell)]
    known = [cell for cell in filled if not is_missing(cell)]
    if not known:
        words = f": all its cells mean missing ({_listed_words(filled)})" if filled else ""
        raise HandrailError("data", f"no row has a value in '{name}'{words}", "give another --target", field=name)
    if asked == "regression" or seen.kind in ("number", "boolean"):
        filled = known
    if len(filled) < FEWEST_ROWS:
        raise HandrailError(
            "data", f"need at least {FEWEST_ROWS} rows with an answer, got {len(filled)}", "give more rows", field=name
        )
    return filled


def _listed_words(cells: Sequence[Cell]) -> str:
    return listed(sorted({str(cell).strip() for cell in cells}), 5)


def _as_amount(name: str, seen: Seen, filled: Sequence[Cell], asked: str | None, all_text: bool) -> Question | None:
    """The regression that the numbers pose, None where they name classes."""
    counts = Counter(filled)
    try:
        known = sorted({to_number(cell, seen.style) for cell in counts})
    except ValueError as error:
        if asked is None:
            return None
        raise HandrailError(
            "data", f"'{name}' is no number: {error}", "mend it, or --task classification", field=name
        ) from None
    if len(known) < 2:
        raise HandrailError(
            "data", f"'{name}' has one value only: nothing to learn", "give another --target", field=name
        )
    if max(-known[0], known[-1]) > LARGEST_AMOUNT:
        problem = f"amounts in '{name}' reach {max(-known[0], known[-1]):g}; at most {LARGEST_AMOUNT:g} is learnt"
        raise HandrailError("data", problem, "give them in a larger unit, or their logarithms", field=name)
    if asked == "regression":
        return Question("regression", "you said so")
    low, high = known[0], known[-1]
    if not all(value.is_integer() for value in known):
        return Question("regression", f"numbers with fractions, from {low:g} to {high:g}")
    kind = _kind_of_amounts(name, known, len(filled) / len(known), all_text)
    if not kind:
        return None
    return Question("regression", f"{kind}, from {low:g} to {high:g}; --task classification for classes")


def _kind_of_amounts(name: str, known: Sequence[float], repeated: float, all_text: bool) -> str:
    """What whole numbers stand for, told by their name first; "" where they name classes."""
    low, high, distinct = known[0], known[-1], len(known)
    if distinct == 2 or (CLASS_NAME.search(name) and distinct <= MOST_INT_LABELS and repeated >= 2):
        return ""
    if low >= 1800 and high <= 2200:
        return "years"
    if RATING_NAME.search(name) and distinct <= MOST_STEPS:
        return "an ordered rating, where 4 is nearer to 5 than to 1"
    if COUNT_NAME.search(name):
        return "whole numbers that count"
    if all_text and repeated >= 4 and distinct <= MOST_LABELS:
        return ""
    if low in (0.0, 1.0) and high - low == distinct - 1 and repeated >= 10 and distinct <= 5:
        return ""
    return "whole numbers that count or measure" if distinct > 5 else "ordered whole numbers"


def _yes_or_no(name: str, filled: Sequence[Cell], asked: str | None) -> Question:
    """Two labels, each in its commonest spelling, however many spellings there are."""
    counts = Counter(word for cell in filled if (word := to_word(cell)) is not None)
    common = _commonest_pair(counts)
    plain = _labelled(name, [common[_truth(word)] for word in counts.elements()], asked)
    if len(counts) == 2:
        return plain
    spelt = {label: sorted(word for word in counts if common[_truth(word)] == label) for label in plain.labels}
    note = "; ".join(f"{', '.join(words)} mean '{label}'" for label, words in spelt.items())
    return replace(plain, notes=(*plain.notes, f"the answers in '{name}' are yes or no in several spellings: {note}"))


def _commonest_pair(counts: Counter[str]) -> dict[bool | None, str]:
    """The commonest word, and its opposite where that occurs in kind (yes and no), else in another spelling."""
    (first, _), *rest = counts.most_common()
    others = [word for word, _ in rest if _truth(word) != _truth(first)]
    opposite = OPPOSITES.get(first.casefold())
    second = next((word for word in others if word.casefold() == opposite), others[0])
    return {_truth(first): first, _truth(second): second}


def _truth(word: str) -> bool | None:
    try:
        value = to_boolean(word)
    except ValueError:
        return None
    return None if math.isnan(value) else value == 1.0


def _in_order(words: Collection[str]) -> tuple[str, ...]:
    """By alphabet; of two that say no and yes, yes last: it is what is looked for, however it is spelt."""
    if len(words) == 2 and {_truth(word) for word in words} == {False, True}:
        return tuple(sorted(words, key=lambda word: _truth(word) is True))
    return tuple(sorted(words))


def _labelled(name: str, filled: Sequence[Cell], asked: str | None) -> Question:
    counts = Counter(word for cell in filled if (word := to_word(cell)) is not None)
    _refuse_labels(name, counts, len(filled))
    dropped = tuple(sorted(word for word, count in counts.items() if count < 2))
    labels = _in_order(set(counts) - set(dropped))
    if len(labels) < 2:
        raise HandrailError(
            "data", f"class '{dropped[0]}' has 1 row; need at least 2", "give more rows of it", field=name
        )
    notes = []
    if dropped:
        notes.append(f"{len(dropped)} classes of '{name}' have 1 row only and are left out: {listed(dropped, 5)}")
    twins = _case_twins(labels)
    if twins:
        notes.append(f"labels that may be the same: {' and '.join(twins)}")
    reason = "two different words" if len(labels) == 2 else f"{len(labels)} different words"
    if all(is_number(label) for label in labels):
        reason = f"{len(labels)} whole numbers that name classes; --task regression for amounts"
    return Question(
        "binary" if len(labels) == 2 else "multiclass",
        reason if asked is None else "you said so",
        labels,
        dropped,
        notes=tuple(notes),
    )


def _refuse_labels(name: str, counts: Counter[str], rows: int) -> None:
    if len(counts) < 2:
        (only,) = counts
        problem, mend = f"every answer in '{name}' is '{only}': nothing to tell apart", "give rows of two kinds"
    elif len(counts) > 0.9 * rows and rows > 20:
        problem = f"nearly every answer in '{name}' is different ({len(counts):,} of {rows:,})"
        mend = "give another --target"
    elif len(counts) > MOST_LABELS:
        problem = f"'{name}' has {len(counts):,} classes, at most {MOST_LABELS:,} are learnt"
        mend = "join rare ones"
    else:
        return
    raise HandrailError("data", problem, mend, field=name)


def _several(name: str, filled: Sequence[Cell], separator: str, asked: str | None) -> Question:
    counts = Counter(part for cell in filled for part in parts_of(cell, separator))
    labels = tuple(sorted(word for word, count in counts.items() if count >= 2))
    if len(labels) < 2:
        raise HandrailError("data", f"'{name}' holds fewer than two labels", "write labels as a|b|c", field=name)
    dropped = tuple(sorted(set(counts) - set(labels)))
    notes = []
    if dropped:
        notes.append(f"{len(dropped)} labels of '{name}' have 1 row only and are left out: {listed(dropped, 5)}")
    if not any(separator in str(cell) for cell in filled):
        notes.append(f"no cell of '{name}' holds several labels; write them as a|b|c")
    reason = "you said so" if asked else f"cells hold several labels with '{separator}' between them"
    return Question("multilabel", reason, labels, dropped, separator, tuple(notes))


def parts_of(cell: Cell, separator: str) -> list[str]:
    """The labels in a cell of a multi-label target."""
    return [part.strip() for part in str(cell).split(separator) if part.strip()] if not is_missing(cell) else []


def is_number(word: str) -> bool:
    try:
        return to_number(word) is not None
    except ValueError:
        return False


def _likeliest_separator(filled: Sequence[Cell], all_text: bool) -> str:
    """The mark between several labels where there are said to be some."""
    held = {mark: sum(isinstance(cell, str) and mark in cell for cell in filled) for mark in SEPARATORS}
    return _parts_separator(filled, all_text) or max(SEPARATORS, key=lambda mark: held[mark])


def _parts_separator(filled: Sequence[Cell], all_text: bool) -> str:
    """The mark between several labels in a cell, "" where there is none: its parts recur.

    A path such as sport|tennis is one label: its cells have more parts than there are cells. A comma is common within
    one label, and tables have no task for several: there, the parts must be fewer by half.
    """
    for separator in SEPARATORS:
        several = [cell for cell in filled if isinstance(cell, str) and separator in cell]
        if len(several) < 0.1 * len(filled):
            continue
        parts = Counter(part for cell in filled for part in parts_of(cell, separator))
        wholes = len(set(filled))
        combined = len(parts) <= wholes if all_text and separator != "," else len(parts) < 0.5 * wholes
        if combined and 1 < len(parts) < 0.2 * len(filled) and all(len(part.split()) <= 4 for part in parts):
            return separator
    return ""


def _case_twins(labels: Sequence[str]) -> tuple[str, ...]:
    folded: dict[str, str] = {}
    for label in labels:
        plain = unicodedata.normalize("NFC", label).casefold()
        if plain in folded:
            return (f"'{folded[plain]}'", f"'{label}'")
        folded[plain] = label
    return ()
