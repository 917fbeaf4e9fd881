"""The guides are true: their commands work and print what they show, their files are read, their links lead on."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.walks import ROOT, Walk, a_checkout, blocks_in

from handrail.deploy.file import read_any
from handrail.deployments import down
from handrail.engines.local.place import Place
from handrail.engines.local.settings import write_settings

GUIDES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "guides").glob("*.md"))}
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """A reader who has done what the first guide says; nothing that they started is left."""
    folder = tmp_path_factory.mktemp("walk")
    reader = Walk(folder / "home", free_port(), a_checkout(folder / "checkout"))
    write_settings(Place(reader.home), host="127.0.0.1", port=reader.port)
    try:
        reader.follow(GUIDES["deploy"])
        yield reader
    finally:
        down(home=reader.home)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_the_walk_through_a_deployment_is_as_the_guide_says(walk: Walk) -> None:
    assert (walk.folder / "examples" / "deploy" / "answers.csv").is_file()


@pytest.mark.parametrize(
    ("guide", "text"), [(name, text) for name in GUIDES for text in blocks_in(GUIDES[name], "yaml")]
)
def test_every_file_of_the_guides_is_read(guide: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / ("cortex.yaml" if text.startswith("# cortex.yaml") else "handrail.yaml")
    file.write_text(text)
    for name in ("predictor.py", "task.py"):
        (tmp_path / name).write_text("")
    found = read_any(file)
    assert found.specs
    assert not found.notes


@pytest.mark.parametrize(
    ("guide", "link"), [(name, link) for name in GUIDES for link in re.findall(r"\]\(([^)#:]+)\)", GUIDES[name])]
)
def test_every_link_of_the_guides_leads_somewhere(guide: str, link: str) -> None:
    assert (ROOT / "docs" / "guides" / link).exists()


def test_the_guides_are_no_longer_than_somebody_reads() -> None:
    assert all(len(text.splitlines()) <= 200 for text in GUIDES.values())
