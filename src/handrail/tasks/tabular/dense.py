"""A table's matrix made ready for linear models and networks: filled, scaled, bent, one column per word."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST_WORDS_SHOWN = 40
KNOTS = (0.15, 0.5, 0.85)
FURTHEST = 6.0


@dataclass(frozen=True)
class DenseCode:
    """`numbers` are matrix columns taken as amounts; `categories[i]` a column with codes 0 to `sizes[i]` − 1.

    Amounts are filled with `medians`, scaled by `means` and `scales`, clipped to ± FURTHEST, and given bends at `knots`
    (numbers, 3). `gaps` are the columns that get a flag where they are missing.
    """

    numbers: np.ndarray
    categories: np.ndarray
    sizes: np.ndarray
    medians: np.ndarray
    means: np.ndarray
    scales: np.ndarray
    knots: np.ndarray
    gaps: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def encode(self, matrix: np.ndarray) -> np.ndarray:
        """`(rows, inputs)` float32, the same sums as in the exported graph."""
        amounts = matrix[:, self.numbers]
        filled = np.where(np.isnan(amounts), self.medians, amounts)
        scaled = np.clip((filled - self.means) / self.scales, -FURTHEST, FURTHEST).astype(np.float32)
        bent = np.maximum(scaled[:, :, None] - self.knots, np.float32(0)).reshape(len(matrix), -1)
        words = [
            (matrix[:, [column]] == np.arange(size, dtype=np.float32)).astype(np.float32)
            for column, size in zip(self.categories, self.sizes, strict=True)
        ]
        return np.concatenate([scaled, bent, *words, np.isnan(matrix[:, self.gaps]).astype(np.float32)], axis=1)


def fit_dense(matrix: np.ndarray, category_sizes: dict[int, int]) -> DenseCode:
    """`category_sizes`: matrix column → number of words, for columns that hold codes."""
    numbers = np.array([column for column in range(matrix.shape[1]) if column not in category_sizes], dtype=np.int64)
    amounts = matrix[:, numbers].astype(np.float64)
    with np.errstate(all="ignore"):
        known = np.isfinite(amounts).any(axis=0)
        medians = np.where(known, np.nanmedian(np.where(known, amounts, 0.0), axis=0), 0.0)
        filled = np.where(np.isnan(amounts), medians, amounts)
    means, scales = filled.mean(axis=0), filled.std(axis=0)
    scales = np.where(scales > 1e-9 * np.maximum(1.0, np.abs(means)), scales, 1.0)
    scaled = np.clip((filled - means) / scales, -FURTHEST, FURTHEST)
    knots = np.quantile(scaled, KNOTS, axis=0).T if len(numbers) else np.zeros((0, len(KNOTS)))
    columns = sorted(category_sizes)
    gaps = np.flatnonzero(np.isnan(matrix).any(axis=0))
    return DenseCode(
        numbers,
        np.array(columns, dtype=np.int64),
        np.array([min(category_sizes[column], MOST_WORDS_SHOWN) for column in columns], dtype=np.int64),
        medians.astype(np.float32),
        means.astype(np.float32),
        scales.astype(np.float32),
        knots.astype(np.float32),
        gaps.astype(np.int64),
    )
