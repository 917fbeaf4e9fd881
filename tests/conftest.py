"""What every test may use: a store of its own."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import hypothesis
import pytest

# Tests never reach for the network: what is not at hand is done without.
os.environ["HANDRAIL_OFFLINE"] = "1"
# Nor for the models and keys of whoever runs them: a test that asks for no store of its own finds an empty one.
os.environ["HANDRAIL_HOME"] = tempfile.mkdtemp(prefix="handrail-tests-")
# Drawn inputs differ from run to run at a desk, where a new failure is welcome, and are the same for a merge.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HANDRAIL_HOME."""
    folder = tmp_path / "home"
    monkeypatch.setenv("HANDRAIL_HOME", str(folder))
    return folder
