"""Fits the code of a table: word lists, what the target averages for a word, and scores of texts, all out of fold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from handrail.core.field import Field
from handrail.core.signature import Columns
from handrail.encode.columns import DATE_PARTS, TURNS, ColumnCode, TableCode, text_lengths, text_scores
from handrail.encode.ngrams import NGrams, fit_ngrams

MOST_WORDS = 1_000
# Columns with as many words also get the target's average of each. With fewer, trees do better without: the averages
# differ a little from fold to fold, and trees learn to tell folds apart by them (diamonds: RMSE 617 with, 546 without).
STATISTICS_FROM = 40
MOST_STATISTICS = 12
# A word seen this often has an average of its own when words are put in order.
COMMON_ROWS = 20
# A word counts as if it had been seen this often with the overall average (shrinkage towards the mean).
PRIOR_ROWS = 10.0
TEXT_FEATURES = 30_000
RIDGE = 1.0
# How a column of a map is called, and how far from 0 it goes in degrees.
MAP_SIDES = {
    "latitude": (r"(?<![a-z])lat(?:itude)?(?![a-z])", 90.0),
    "longitude": (r"(?<![a-z])(?:lon|lng|long|longitude)(?![a-z])", 180.0),
}


def fit_code(
    fields: Sequence[Field], columns: Columns, answers: np.ndarray, folds: np.ndarray
) -> tuple[TableCode, np.ndarray]:
    """The code, and the training matrix `(rows, width)` in which no row's own answer has a part.

    `answers` is (rows, answers): one-hot labels (the first left out for two) or the standardised amount.
    """
    codes, statistics, texts, start = [], {}, {}, 0
    for field in fields:
        code = _column_code(field, columns[field.name], start, answers)
        if code.statistics:
            statistics[field.name] = _statistics(code, columns[field.name], answers, np.ones(len(answers), bool))
        if code.kind == "text":
            texts[field.name] = _fitted_text(columns[field.name], answers)
        codes.append(code)
        start += code.width
    for latitude, longitude in maps(fields):
        codes.append(ColumnCode(latitude, "turned", start, 2 * len(TURNS), (longitude,)))
        start += 2 * len(TURNS)
    table_code = TableCode(tuple(codes), statistics, texts)
    matrix = table_code.encode(columns)
    for code in codes:
        _out_of_fold(code, table_code, columns[code.name], answers, folds, matrix)
    return table_code, matrix


def maps(fields: Sequence[Field]) -> list[tuple[str, str]]:
    """The pairs of columns that give places on the map: latitude and longitude, alike in the rest of their names."""
    sides: dict[str, dict[str, str]] = {side: {} for side in MAP_SIDES}
    for field in fields:
        for side, (pattern, furthest) in MAP_SIDES.items():
            rest, found = re.subn(pattern, " ", field.name.lower())
            within = max(abs(field.minimum or 0.0), abs(field.maximum or 0.0)) <= furthest
            if found == 1 and field.kind == "number" and within:
                sides[side][rest] = field.name
    latitudes, longitudes = sides.values()
    return [(name, longitudes[rest]) for rest, name in latitudes.items() if rest in longitudes]


def _column_code(field: Field, column: np.ndarray, start: int, answers: np.ndarray) -> ColumnCode:
    width = answers.shape[1]
    if field.kind == "category":
        words = _ordered_words(column, answers)
        many = len(words) >= STATISTICS_FROM and width <= MOST_STATISTICS
        return ColumnCode(field.name, "category", start, 1 + width * many, words, many)
    width = {"date": len(DATE_PARTS), "text": width + 1}.get(field.kind, 1)
    return ColumnCode(field.name, field.kind, start, width)


def _ordered_words(column: np.ndarray, answers: np.ndarray) -> tuple[str, ...]:
    """The commonest words in the order of what the target averages for them, so that one cut parts high from low.

    Rare words stand where the overall average is: their own would tell trees the answers of single rows. Where there
    are many words, which get statistics, or many labels, which give no such order, the commonest come first.
    """
    counts = Counter(word for word in column if word is not None)
    words = sorted(counts, key=lambda word: (-counts[word], word))[:MOST_WORDS]
    if answers.shape[1] > 1 or len(words) >= STATISTICS_FROM:
        return tuple(words)
    places = {word: place for place, word in enumerate(words)}
    found = np.array([places.get(word, len(words)) for word in column])
    sums = np.bincount(found, answers[:, 0], minlength=len(words) + 1)
    overall = float(answers.mean())
    averages = {
        word: sums[place] / counts[word] if counts[word] >= COMMON_ROWS else overall for place, word in enumerate(words)
    }
    return tuple(sorted(words, key=lambda word: (averages[word], word)))


def _statistics(code: ColumnCode, column: np.ndarray, answers: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`(words + 1, answers)` averages over `rows`, shrunk to the overall average; the last row is that average."""
    places = {word: place for place, word in enumerate(code.words)}
    found = np.array([places.get(word, len(places)) for word in column[rows]])
    overall = answers[rows].mean(axis=0)
    counts = np.bincount(found, minlength=len(places) + 1)[:, None]
    sums = np.stack([np.bincount(found, answer, minlength=len(places) + 1) for answer in answers[rows].T], axis=1)
    averages = (sums + PRIOR_ROWS * overall) / (counts + PRIOR_ROWS)
    averages[-1] = overall
    return averages.astype(np.float32)


def _out_of_fold(
    code: ColumnCode,
    table_code: TableCode,
    column: np.ndarray,
    answers: np.ndarray,
    folds: np.ndarray,
    matrix: np.ndarray,
) -> None:
    """Overwrites what would let a row see its own answer with what the other folds say."""
    if code.statistics:
        places = {word: place for place, word in enumerate(code.words)}
        found = np.array([places.get(word, -1) for word in column])
        for fold in np.unique(folds):
            inside = folds == fold
            table = _statistics(code, column, answers, ~inside)
            matrix[inside, code.start + 1 : code.start + code.width] = table[found[inside]]
    if code.kind == "text":
        ngrams = table_code.texts[code.name][0]
        for fold in np.unique(folds):
            inside = folds == fold
            weights = _ridge(ngrams, column[~inside], answers[~inside])
            matrix[inside, code.start : code.start + code.width - 1] = text_scores(ngrams, weights, column[inside])
        matrix[:, code.start + code.width - 1] = text_lengths(column)


def _fitted_text(column: np.ndarray, answers: np.ndarray) -> tuple[NGrams, np.ndarray]:
    ngrams = fit_ngrams(list(column), max_features=TEXT_FEATURES, characters=(3, 4))
    return ngrams, _ridge(ngrams, column, answers)


def _ridge(ngrams: NGrams, column: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """`(features, answers)` weights of a linear score of the texts."""
    import scipy.sparse
    from scipy.sparse.linalg import lsqr

    starts, features, values = ngrams.encode(list(column))
    matrix = scipy.sparse.csr_matrix((values, features, starts), shape=(len(column), len(ngrams.hashes)))
    centred = answers - answers.mean(axis=0)
    solved = [lsqr(matrix, answer, damp=RIDGE**0.5, iter_lim=60)[0] for answer in centred.T]
    return np.stack(solved, axis=1).astype(np.float32)
