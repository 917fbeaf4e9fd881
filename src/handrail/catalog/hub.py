"""Fetches a model's folder from a hub, where one can be reached, through the hub's own client."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from handrail.core.errors import HandrailError
from handrail.core.events import Said, Tell

# What a model is made of; code, pickled weights and other formats stay where they are, and so do subfolders.
WANTED = ["*.json", "*.safetensors", "*.jinja", "merges.txt", "README.md"]
LEFT = ["*/*"]


def fetched_folder(model: str, tell: Tell, *, offline: str) -> Path:
    """The folder of a hub's model "org/name", in the client's own cache. HF_ENDPOINT names another hub, HF_TOKEN a key.

    Raises HandrailError ("environment") where the client is not installed or the hub is not reached, `offline` being
    what there is instead; ("not_found") where there is no such model.
    """
    client = _client(offline)
    endpoint = os.environ.get("HF_ENDPOINT") or None
    tell(Said(f"fetching {model} from {endpoint or 'huggingface.co'}, once"))
    try:
        importlib.import_module("huggingface_hub.utils").disable_progress_bars()
        found = client.snapshot_download(
            model, allow_patterns=WANTED, ignore_patterns=LEFT, endpoint=endpoint, library_name="handrail"
        )
    except Exception as error:
        raise _refused(model, error, offline) from error
    return Path(found)


def _client(offline: str) -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError as error:
        problem = "fetching a model from a hub needs the package huggingface_hub"
        raise HandrailError("environment", problem, f"pip install huggingface_hub; {offline}") from error


def _refused(model: str, error: Exception, offline: str) -> HandrailError:
    kind = type(error).__name__
    if kind == "GatedRepoError":
        mend = "accept the terms on the model's page, then set HF_TOKEN"
        return HandrailError("forbidden", f"the makers of {model} want to be asked first", mend)
    if kind in ("RepositoryNotFoundError", "HFValidationError", "RevisionNotFoundError"):
        mend = f"check the name, or set HF_TOKEN for a private one; {offline}"
        return HandrailError("not_found", f"the hub has no model '{model}'", mend)
    said = str(error).strip().splitlines()[0][:160] if str(error).strip() else kind
    return HandrailError("environment", f"the hub is not reached: {said}", offline, where=model)
