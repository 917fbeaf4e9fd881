"""Where the models are that a predictor asks for by name: checked before anything starts."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from handrail.core.errors import HandrailError, clipped
from handrail.predictors.settings import ManagedModels


def checked_models(project: Path, models: ManagedModels | None) -> ManagedModels | None:
    """The same with absolute paths. Raises HandrailError ("data") for what is not there, or not on this machine."""
    if models is None:
        return None
    given = [models.path is not None, bool(models.paths), models.dir is not None]
    if sum(given) != 1:
        raise HandrailError("data", "expected one of path, paths and dir", "name one of them", field="models")
    if models.dir is not None:
        return replace(models, dir=_folder(project, models.dir))
    if models.path is not None:
        return replace(models, path=_place(project, models.path, "models.path"))
    return replace(models, paths=_named(project, models.paths))


def model_folders(models: ManagedModels | None) -> tuple[Path, ...]:
    """The places that hold models."""
    if models is None:
        return ()
    found = (models.path, models.dir, *(path for _, path in models.paths))
    return tuple(Path(path) for path in found if path is not None)


def _named(project: Path, paths: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    names = [name for name, _ in paths]
    if len(set(names)) < len(names):
        raise HandrailError("data", "two models have one name", "give each its own", field="models.paths")
    return tuple((name, _place(project, path, f"models.paths.{name}")) for name, path in paths)


def _place(project: Path, given: str, field: str) -> str:
    if "://" in given:
        problem = f"'{clipped(given)}' is not on this machine"
        mend = "copy the model here and name its folder, such as ./model"
        raise HandrailError("data", problem, mend, field=field)
    path = Path(os.path.normpath(project / given))
    if not path.exists():
        mend = "paths start at the folder of the configuration file"
        raise HandrailError("data", f"there is nothing at '{clipped(given)}'", mend, where=str(path), field=field)
    return str(path)


def _folder(project: Path, given: str) -> str:
    found = _place(project, given, "models.dir")
    if not Path(found).is_dir():
        raise HandrailError(
            "data", f"'{clipped(given)}' is not a folder", "for one model write path", field="models.dir"
        )
    return found
