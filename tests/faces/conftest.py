"""A stocked store for tests that only read it, a copy for those that change it, and the command line in process."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from handrail.deploy.spec import ApiSpec
from handrail.faces.cli import carry_out
from handrail.store import Store
from tests.engines.fake import FakeEngine, engine_saying
from tests.faces.deployed import Apis
from tests.faces.shop import Ended, stock
from tests.serve.bundles import publish

Cli = Callable[..., Ended]


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only to be read."""
    return stock(tmp_path_factory.mktemp("stocked") / "home")


@pytest.fixture
def shop(stocked: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stocked store as HANDRAIL_HOME: only to be read."""
    monkeypatch.setenv("HANDRAIL_HOME", str(stocked))
    return stocked


@pytest.fixture
def own(stocked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the stocked store as HANDRAIL_HOME, to be changed at will."""
    home = tmp_path / "own"
    shutil.copytree(stocked, home)
    monkeypatch.setenv("HANDRAIL_HOME", str(home))
    return home


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs words as `handrail` would, in this process; `stdin` is what is piped in."""

    def call(*words: str, stdin: bytes = b"") -> Ended:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        status = carry_out(words)
        told = capsys.readouterr()
        return Ended(status, told.out, told.err)

    return call


@pytest.fixture
def apis(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Apis:
    """Two versions of the model "churn"; nothing is deployed; the working folder is an empty one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    store = Store(home)
    for _ in range(2):
        publish(store)
    return Apis(home)


@pytest.fixture
def engine(home: Path, apis: Apis) -> Iterator[FakeEngine]:
    with engine_saying(home, apis.answers) as found:
        yield found


@pytest.fixture
def churn(apis: Apis) -> Apis:
    """The API "churn" is deployed."""
    apis.serve(ApiSpec("churn", model="churn@1"))
    return apis
