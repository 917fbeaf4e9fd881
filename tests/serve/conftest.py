"""One bundle for all tests of serving."""

from __future__ import annotations

import pytest

from handrail.model import Model
from tests.serve.bundles import make_bundle


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model made by hand, in a folder of its own."""
    return make_bundle(tmp_path_factory.mktemp("churn"))
