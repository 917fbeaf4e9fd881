"""How good answers are, next to a trivial model, with intervals; and what moved them. numpy only, so it ships.

`classification`, `multilabel` and `regression` give one dict each, ready for JSON: six significant digits, None where a
measure is not defined, never NaN.

| key          | what                                                                                  | of       |
|--------------|---------------------------------------------------------------------------------------|----------|
| metric       | the headline's name among `metrics`                                                   | all      |
| metrics      | name → {"value", "low", "high", "baseline"}: 95 % interval; baseline: trivial model   | all      |
| rows         | how many rows were judged                                                             | all      |
| positive     | the label that `thresholds`, `curves` and `calibration` speak of                      | binary   |
| per_class    | [{"label", "rows", "answered", "precision", "recall", "f1"}]                          | classes  |
| confusion    | {"labels", "matrix"}: `matrix[true][answered]`; rare labels together as "(other)"     | one of n |
| curves       | [{"label", "roc_auc", "average_precision", "positive_share", "roc", …}], ≤ 10 labels  | classes  |
| calibration  | [{"low", "high", "rows", "mean_probability", "share_right"}], 15 bins, filled ones    | one of n |
| thresholds   | [{"threshold", "precision", "recall", "f1", "accuracy", "flagged", tp, fp, fn, tn}]   | binary   |
| residuals    | {"edges", "counts"} of truth − answer                                                 | numbers  |
| sample       | {"truth", "answer"}: at most 500 rows                                                 | numbers  |
"""

from handrail.measure.classes import classification
from handrail.measure.label_sets import multilabel
from handrail.measure.numbers import regression

__all__ = ["classification", "multilabel", "regression"]
