"""What every test may use: a store of its own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HANDRAIL_HOME."""
    folder = tmp_path / "home"
    monkeypatch.setenv("HANDRAIL_HOME", str(folder))
    return folder
