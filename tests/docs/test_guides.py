"""The guides are true: their commands work and print what they show, their files are read, their links lead on."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from handrail.core.sockets import is_free
from handrail.deploy.file import read_any
from handrail.store import Store
from handrail.store.home import default_home
from tests.docs.conftest import GUIDES
from tests.docs.walks import ROOT, Walk, blocks_in
from tests.generation_bundles import generation_bundle

ARTICLE = "A version is never replaced. To go back, name the one before. It is served at once. Nothing is lost by it.\n"


def test_the_walk_through_a_deployment_is_as_the_guide_says(walk: Walk) -> None:
    assert (walk.folder / "examples" / "deploy" / "answers.csv").is_file()


def test_what_an_operator_types_is_as_the_guide_says(walk: Walk) -> None:
    walk.follow(GUIDES["operate"])


def test_a_project_of_cortex_is_deployed_as_the_guide_says(walk: Walk) -> None:
    own = next(port for port in range(8888, 9999) if is_free("127.0.0.1", port))
    walk.follow(GUIDES["cortex"], {"8888": str(own)})


def test_texts_are_read_as_the_guide_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the user has minilm at hand; tests fetch nothing."""
    monkeypatch.delenv("HANDRAIL_HOME")
    bases = list((default_home() / "bases").glob("minilm-*"))
    if not bases:
        pytest.skip("minilm is not at hand")
    walk = Walk(tmp_path / "home", 8080, tmp_path)
    for base in bases:
        shutil.copytree(base, walk.home / "bases" / base.name, dirs_exist_ok=True)
    (walk.folder / "notes").mkdir()
    for name, text in {"article.txt": ARTICLE, "titles.txt": "One title\nAnother\n", "notes/back.md": ARTICLE}.items():
        (walk.folder / name).write_text(text, encoding="utf-8")
    walk.follow(GUIDES["texts"])
    assert (walk.folder / "titles.npy").is_file()


def test_texts_are_written_as_the_guide_says(tmp_path: Path) -> None:
    """By a small model under the name of the guide's."""
    walk = Walk(tmp_path / "home", 8080, tmp_path)
    store = Store(walk.home)
    with store.draft() as draft:
        generation_bundle(draft, name="smollm2")
        store.publish(draft, "smollm2")
    walk.follow(GUIDES["writing"])
    assert len((walk.folder / "answers.jsonl").read_text().splitlines()) == 2


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
