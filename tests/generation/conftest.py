"""One small model that writes, opened once, for tests that only read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from handrail.model import Model, load
from tests.generation_bundles import generation_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only to be read."""
    return generation_bundle(tmp_path_factory.mktemp("generation") / "tiny")


@pytest.fixture(scope="session")
def model(bundle: Path) -> Model:
    return load(bundle, threads=1)
