"""A store with one model, made once; each test gets a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.jobs.shop import stock


@pytest.fixture(scope="session")
def stocked_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only to be read."""
    return stock(tmp_path_factory.mktemp("jobs") / "home")


@pytest.fixture
def store_home(stocked_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of the test's own, as HANDRAIL_HOME."""
    home = tmp_path / "home"
    shutil.copytree(stocked_home, home)
    monkeypatch.setenv("HANDRAIL_HOME", str(home))
    return home
