"""Code runs only where somebody agreed to it, and other code is asked about anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from handrail.core.errors import HandrailError
from handrail.deployments.trust import AGREED, refuse_untrusted


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "inner").mkdir(parents=True)
    (folder / "predictor.py").write_text("class PythonPredictor: pass\n")
    (folder / "inner" / "helper.py").write_text("x = 1\n")
    return folder


def asked_about(home: Path, project: Path, answer: bool = True) -> list[Path]:
    """The folders that somebody is asked about."""
    asked: list[Path] = []

    def agree(folder: Path) -> bool:
        asked.append(folder)
        return answer

    refuse_untrusted(home, [(project, project)], agree)
    return asked


def test_who_agreed_once_is_not_asked_again(home: Path, project: Path) -> None:
    assert asked_about(home, project) == [project]
    assert asked_about(home, project) == []
    assert (home / AGREED).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("change", ["content", "name", "more", "less"])
def test_other_code_is_asked_about_anew(change: str, home: Path, project: Path) -> None:
    asked_about(home, project)
    helper = project / "inner" / "helper.py"
    if change == "content":
        helper.write_text("x = 2\n")
    elif change == "name":
        helper.rename(project / "inner" / "other.py")
    elif change == "more":
        (project / "more.py").write_text("")
    else:
        helper.unlink()
    assert asked_about(home, project) == [project]


def test_the_same_code_elsewhere_is_trusted(home: Path, project: Path) -> None:
    asked_about(home, project)
    moved = project.rename(project.with_name("moved"))
    assert asked_about(home, moved) == []


def test_without_agreement_nothing_is_remembered(home: Path, project: Path) -> None:
    for _ in range(2):
        with pytest.raises(HandrailError, match="nobody has agreed to run the code in") as caught:
            asked_about(home, project, answer=False)
    assert caught.value.exit_status == 2
    assert "--yes" in caught.value.mend
    assert not (home / AGREED).exists()


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b'{"a": '])
def test_a_damaged_memory_is_no_agreement(content: bytes, home: Path, project: Path) -> None:
    home.mkdir()
    (home / AGREED).write_bytes(content)
    assert asked_about(home, project) == [project]
    assert asked_about(home, project) == []
