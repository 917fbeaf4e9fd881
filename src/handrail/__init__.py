"""From a file to a trained model, to an answer, to a prediction API, with one word each.

model = handrail.train("reviews.csv")     # looks, decides, says why, trains, scores honestly, saves reviews@1
model("I loved it")                       # {"label": "positive", "probability": 0.98, …}
handrail.load("reviews").report           # how good it is, and how that is known
handrail.deploy("reviews").urls           # {"reviews": "http://127.0.0.1:8080/reviews/predict"}
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handrail.core.errors import HandrailError
    from handrail.deployments import deploy
    from handrail.finetuning import finetune
    from handrail.language.classifier import Classifier
    from handrail.language.embedder import Embedder
    from handrail.language.search import Search
    from handrail.language.summarizer import Summarizer
    from handrail.model import Model, load
    from handrail.store import Store
    from handrail.training import train

__version__ = "0.1.0"
__all__ = [
    "Classifier", "Embedder", "HandrailError", "Model", "Search", "Store", "Summarizer", "__version__", "deploy",
    "finetune", "load", "train",
]  # fmt: skip

# Loaded when asked for, so that `import handrail` costs next to nothing.
_HOMES = {
    "Classifier": "handrail.language.classifier",
    "Embedder": "handrail.language.embedder",
    "HandrailError": "handrail.core.errors",
    "deploy": "handrail.deployments",
    "finetune": "handrail.finetuning",
    "Model": "handrail.model",
    "load": "handrail.model",
    "Search": "handrail.language.search",
    "Store": "handrail.store",
    "Summarizer": "handrail.language.summarizer",
    "train": "handrail.training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'handrail' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
