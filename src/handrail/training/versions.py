"""What a model was made with: the versions that its manifest records."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable

from handrail import __version__


def recorded_versions(packages: Iterable[str]) -> dict[str, str]:
    """Ours, and those of `packages`."""
    return {"handrail": __version__, **{package: _version(package) for package in packages}}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
