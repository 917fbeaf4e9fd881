"""Texts to weighted n-grams of words and characters: hashed from prefix sums, a whole batch at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

# An odd multiplier has an inverse modulo 2**64, so that any span's hash follows from two prefix sums:
# hash(i, j) = (H[j] - H[i]) * B**-i  with  H[i] = sum of c[k] * B**k over k < i.
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 2**64))
WORD_SALT = np.uint64(0xD1B54A32D192ED03)
CHUNK_CHARACTERS = 400_000
LONGEST_TEXT = 20_000
BLANK = 32

Sparse = tuple[np.ndarray, np.ndarray, np.ndarray]  # row starts (rows + 1,), feature numbers, float32 values


@dataclass(frozen=True)
class NGrams:
    """The n-grams that count: `hashes` sorted, `weights` their inverse document frequencies.

    The first `word_count` features by `is_word` are words; both blocks of a text have length 1 (L2).
    """

    hashes: np.ndarray  # (features,) uint64, sorted
    weights: np.ndarray  # (features,) float32
    is_word: np.ndarray  # (features,) bool
    words: tuple[int, int] = (1, 2)
    characters: tuple[int, int] = (2, 5)

    def encode(self, texts: Sequence[str | None]) -> Sparse:
        """The n-grams of each text: sublinear counts × inverse document frequency, each block scaled to length 1."""
        if not len(self.hashes) or not len(texts):
            return np.zeros(len(texts) + 1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
        parts = [
            self._encode_chunk(hashes, rows, len(chunk))
            for chunk, hashes, rows in _hashed(texts, self.words, self.characters)
        ]
        starts, offset = [np.zeros(1, np.int64)], 0
        for part in parts:
            starts.append(part[0][1:] + offset)
            offset += part[0][-1]
        return (
            np.concatenate(starts),
            np.concatenate([part[1] for part in parts]),
            np.concatenate([part[2] for part in parts]),
        )

    def _encode_chunk(self, hashes: np.ndarray, rows: np.ndarray, count: int) -> Sparse:
        found = np.searchsorted(self.hashes, hashes)
        found[found == len(self.hashes)] = 0
        kept = self.hashes[found] == hashes
        keys, counts = np.unique(rows[kept] * len(self.hashes) + found[kept], return_counts=True)
        row, feature = keys // len(self.hashes), keys % len(self.hashes)
        values = (1.0 + np.log(counts)).astype(np.float32) * self.weights[feature]
        block = row * 2 + self.is_word[feature]
        lengths = np.sqrt(np.bincount(block, values.astype(np.float64) ** 2, minlength=2 * count))
        values = (values / np.maximum(lengths[block], 1e-12)).astype(np.float32)
        return np.searchsorted(row, np.arange(count + 1)), feature, values


def fit_ngrams(
    texts: Sequence[str | None],
    *,
    max_features: int = 100_000,
    min_rows: int = 2,
    words: tuple[int, int] = (1, 2),
    characters: tuple[int, int] = (2, 5),
) -> NGrams:
    """The n-grams in at least `min_rows` texts, the commonest `max_features` of them where there are more.

    Inverse document frequency as ln((1 + n) / (1 + rows)) + 1 (smoothed; Salton and Buckley 1988).
    """
    hashes, counts, are_words = _document_frequencies(texts, words, characters)
    kept = counts >= min_rows
    hashes, counts, are_words = hashes[kept], counts[kept], are_words[kept]
    if len(hashes) > max_features:
        chosen = np.sort(np.lexsort((hashes, -counts))[:max_features])
        hashes, counts, are_words = hashes[chosen], counts[chosen], are_words[chosen]
    weights = (np.log((1.0 + len(texts)) / (1.0 + counts)) + 1.0).astype(np.float32)
    return NGrams(hashes, weights, are_words, words, characters)


def _document_frequencies(
    texts: Sequence[str | None], words: tuple[int, int], characters: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(hashes sorted, in how many texts, whether they are words)."""
    hashes, counts = np.zeros(0, np.uint64), np.zeros(0, np.int64)
    for _, found, rows in _hashed(texts, words, characters):
        order = np.lexsort((rows, found))
        ordered, at = found[order], rows[order]
        new = np.ones(len(ordered), bool)
        new[1:] = (ordered[1:] != ordered[:-1]) | (at[1:] != at[:-1])
        once, once_counts = np.unique(ordered[new], return_counts=True)
        both = np.concatenate([hashes, once])
        merged, inverse = np.unique(both, return_inverse=True)
        counts = np.bincount(inverse, np.concatenate([counts, once_counts]), minlength=len(merged)).astype(np.int64)
        hashes = merged
    return hashes, counts, (hashes & np.uint64(1)).astype(bool)


def _hashed(
    texts: Sequence[str | None], words: tuple[int, int], characters: tuple[int, int]
) -> Iterator[tuple[Sequence[str | None], np.ndarray, np.ndarray]]:
    """Chunks of texts with (hashes, row in the chunk) of all their n-grams. The lowest bit of a hash says "word"."""
    start, size = 0, 0
    for end, text in enumerate(texts, start=1):
        size += min(len(text or ""), LONGEST_TEXT) + 2
        if size >= CHUNK_CHARACTERS or end == len(texts):
            chunk = texts[start:end]
            yield chunk, *_chunk_hashes([normal(text) for text in chunk], words, characters)
            start, size = end, 0


def normal(text: str | None) -> str:
    """Lower case, one blank between words: what n-grams are made of."""
    return " ".join((text or "")[:LONGEST_TEXT].lower().split())


def _chunk_hashes(
    texts: Sequence[str], words: tuple[int, int], characters: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    joined = "".join(f" {text} " for text in texts)
    codes = np.frombuffer(joined.encode("utf-32-le", "replace"), dtype=np.uint32).astype(np.uint64)
    lengths = np.array([len(text) + 2 for text in texts], dtype=np.int64)
    row_of = np.repeat(np.arange(len(texts)), lengths)
    with np.errstate(over="ignore"):
        powers = np.cumprod(np.full(len(codes), MULTIPLIER, dtype=np.uint64))
        inverses = np.cumprod(np.full(len(codes) + 1, INVERSE, dtype=np.uint64))
        prefix = np.zeros(len(codes) + 1, dtype=np.uint64)
        np.cumsum((codes + np.uint64(1)) * powers, out=prefix[1:])
        found = [*_character_spans(codes, row_of, characters), *_word_spans(codes, row_of, words)]
        hashes = [
            _mixed((prefix[ends] - prefix[starts]) * inverses[starts], is_word) for starts, ends, is_word in found
        ]
    rows = [row_of[starts] for starts, _, _ in found]
    return np.concatenate(hashes), np.concatenate(rows)


def _character_spans(
    codes: np.ndarray, row_of: np.ndarray, sizes: tuple[int, int]
) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
    """Spans of characters inside one word and the blanks around it."""
    blanks = np.concatenate([[0], np.cumsum(codes == BLANK)])
    for size in range(sizes[0], sizes[1] + 1):
        starts = np.arange(max(0, len(codes) - size + 1))
        inner = blanks[starts + size - 1] - blanks[starts + 1]
        starts = starts[(inner == 0) & (row_of[starts] == row_of[starts + size - 1])]
        yield starts, starts + size, False


def _word_spans(
    codes: np.ndarray, row_of: np.ndarray, sizes: tuple[int, int]
) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
    """Spans of one or more whole words; punctuation at a word's edge stays with it for characters, not for words."""
    part = _is_word_part(codes)
    begins = np.flatnonzero(part & ~np.concatenate([[False], part[:-1]]))
    ends = np.flatnonzero(part & ~np.concatenate([part[1:], [False]])) + 1
    for size in range(sizes[0], sizes[1] + 1):
        count = max(0, len(begins) - size + 1)
        starts, stops = begins[:count], ends[size - 1 :]
        same = row_of[starts] == row_of[stops - 1] if count else np.zeros(0, bool)
        yield starts[same], stops[same], True


def _is_word_part(codes: np.ndarray) -> np.ndarray:
    """Letters, digits and everything beyond ASCII; other ASCII marks part words. The apostrophe belongs to its word."""
    lower = (codes >= 97) & (codes <= 122)
    digit = (codes >= 48) & (codes <= 57)
    found: np.ndarray = lower | digit | (codes > 127) | (codes == 39) | (codes == 95)
    return found


def _mixed(hashes: np.ndarray, is_word: bool) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014); the lowest bit says whether it is a word."""
    mixed = hashes ^ WORD_SALT if is_word else hashes
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    found: np.ndarray = (mixed & ~np.uint64(1)) | np.uint64(is_word)
    return found
