"""What every test may use: a store of its own."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# Tests never reach for the network: what is not at hand is done without.
os.environ["HANDRAIL_OFFLINE"] = "1"
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
