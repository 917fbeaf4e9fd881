"""What a PythonPredictor asks for its models: `python_client.get_model("reviews", "2")`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from handrail.core.errors import HandrailError
from handrail.predictors.models import Models
from handrail.predictors.settings import ManagedModels


class PythonClient:
    """Loads models with the predictor's own `load_model`."""

    def __init__(self, models: ManagedModels) -> None:
        self._models = Models(models, self._load)
        self._predictor: Any = None

    def belong_to(self, predictor: Any) -> None:
        """From now on `predictor.load_model` loads."""
        self._predictor = predictor

    def get_model(self, model_name: str | None = None, model_version: str | int | None = None) -> Any:
        """What `load_model` made of the model's path; of the latest version, unless another is named."""
        return self._models.get(model_name, model_version)

    def _load(self, path: Path) -> Any:
        load = getattr(self._predictor, "load_model", None)
        if load is None:
            raise HandrailError("data", "the class has no load_model(self, model_path)", "add it", field="models")
        return load(str(path))
