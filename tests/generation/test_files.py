"""`handrail generate --nfiles`: as many files as were asked for, and nothing that was there is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from handrail.store import Store
from tests.faces.conftest import Cli, cli
from tests.generation_bundles import generation_bundle

__all__ = ["cli"]


@pytest.fixture
def writes(home: Path) -> str:
    """The name of a model that writes."""
    store = Store(home)
    with store.draft() as draft:
        generation_bundle(draft)
        store.publish(draft, "tiny")
    return "tiny"


def test_there_are_as_many_files_as_were_asked_for_and_none_is_replaced(writes: str, cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "gen"
    folder.mkdir()
    (folder / "tiny-0002.txt").write_text("mine")
    (folder / "notes.md").write_text("mine, too")
    command = ["generate", writes, "--prompt", "The", "--nfiles", "5", "--folder", str(folder), "--max-tokens", "4"]
    done = cli(*command, "--seed", "3")
    assert done.status == 0, done.err
    written = done.out.split()
    assert [Path(path).name for path in written] == [f"tiny-{number:04d}.txt" for number in (1, 3, 4, 5, 6)]
    assert (folder / "tiny-0002.txt").read_text() == "mine"
    assert (folder / "notes.md").read_text() == "mine, too"
    assert len({Path(path).read_text() for path in written}) > 1
    again = cli(*command, "--seed", "3").out.split()
    assert not set(again) & set(written)
    assert [Path(path).read_text() for path in again] == [Path(path).read_text() for path in written]
